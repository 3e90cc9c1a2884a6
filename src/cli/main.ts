import { once } from 'node:events';
import type { Command, Io } from './command.ts';
import { check } from './commands/check.ts';
import { gateway } from './commands/gateway.ts';
import { sessionsList, sessionsReplay, sessionsShow } from './commands/sessions.ts';
import { sessionsDenials, sessionsLogins, sessionsSearch } from './commands/sessions-search.ts';
import { tokenIssue } from './commands/token-issue.ts';
import { verify } from './commands/verify.ts';
import { runCommand } from './run.ts';

/** Every command; the overview lists them in this order. */
const commands: readonly Command[] = [
  gateway,
  check,
  tokenIssue,
  sessionsList,
  sessionsShow,
  sessionsReplay,
  sessionsSearch,
  sessionsDenials,
  sessionsLogins,
  verify,
];

// Whoever read our output has gone (`| head`): nothing is left to say. Any other failure to write is an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

const io: Io = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  env: process.env,
  now: Date.now,
  async stopped() {
    const taken = new AbortController();
    const { signal } = taken;
    await Promise.race(
      [once(process, 'SIGTERM', { signal }), once(process, 'SIGINT', { signal }), once(process, 'SIGHUP', { signal })].map((one) =>
        one.catch(() => {}),
      ),
    );
    // Without our handlers a second signal ends the process at once.
    taken.abort();
  },
};

process.exitCode = await runCommand(process.argv.slice(2), commands, io);

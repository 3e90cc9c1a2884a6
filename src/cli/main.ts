import { once } from 'node:events';
import type { Command, Io } from './command.ts';
import { approvalsApprove, approvalsDeny, approvalsList, approvalsShow } from './commands/approvals.ts';
import { check } from './commands/check.ts';
import {
  keysCreate,
  keysList,
  keysRevoke,
  keysRotate,
  revocationsList,
  tokensList,
  tokensRevoke,
  usersRestore,
  usersRevoke,
} from './commands/credentials.ts';
import { explain } from './commands/explain.ts';
import { gateway } from './commands/gateway.ts';
import { grantsApprove, grantsDeny, grantsList, grantsRevoke, grantsShow, request } from './commands/grants.ts';
import { alerts, events, liveKill, liveList } from './commands/live.ts';
import { login, logout, reachableList } from './commands/login.ts';
import { sessionsList, sessionsReplay, sessionsShow } from './commands/sessions.ts';
import { sessionsDenials, sessionsLogins, sessionsSearch } from './commands/sessions-search.ts';
import { tokenIssue } from './commands/token-issue.ts';
import { verify } from './commands/verify.ts';
import { runCommand } from './run.ts';

/** Every command; the overview lists them in this order. */
const commands: readonly Command[] = [
  gateway,
  check,
  explain,
  tokenIssue,
  sessionsList,
  sessionsShow,
  sessionsReplay,
  sessionsSearch,
  sessionsDenials,
  sessionsLogins,
  verify,
  login,
  logout,
  reachableList,
  request,
  approvalsList,
  approvalsShow,
  approvalsApprove,
  approvalsDeny,
  grantsList,
  grantsShow,
  grantsApprove,
  grantsDeny,
  grantsRevoke,
  liveList,
  liveKill,
  events,
  alerts,
  tokensList,
  tokensRevoke,
  usersRevoke,
  usersRestore,
  revocationsList,
  keysList,
  keysCreate,
  keysRotate,
  keysRevoke,
];

// Whoever read our output has gone (`| head`): nothing is left to say. Any other failure to write is an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

/** Somebody wants SIGHUP for reading files anew. */
let reloads = false;

const io: Io = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  env: process.env,
  now: Date.now,
  async stopped() {
    const taken = new AbortController();
    const { signal } = taken;
    const signals = reloads ? (['SIGTERM', 'SIGINT'] as const) : (['SIGTERM', 'SIGINT', 'SIGHUP'] as const);
    await Promise.race(signals.map((name) => once(process, name, { signal }).catch(() => {})));
    // Without our handlers a second signal ends the process at once.
    taken.abort();
  },
  onReload(fn) {
    reloads = true;
    process.on('SIGHUP', fn);
  },
};

process.exitCode = await runCommand(process.argv.slice(2), commands, io);

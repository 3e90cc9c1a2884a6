// Runs a TypeScript entry under the project's own Node, after installing and building what is missing.
// Plain JavaScript, because it has to start on any Node >= 20 in a clone where nothing is installed yet.
// Everything it says goes to stderr: stdout belongs to the entry (`token issue` prints the token alone).
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bootstrap, root } from './bootstrap.mjs';

try {
  await bootstrap();
} catch (error) {
  process.stderr.write(`sluice: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}

const [entry, ...args] = process.argv.slice(2);
if (entry === undefined) process.exit(0);

const bin = join(root, 'node_modules', '.bin');
// The channel is how the entry learns that we are gone, even when we were killed: nothing is sent over it.
const options = ['--disable-warning=ExperimentalWarning', '--import', pathToFileURL(join(root, 'scripts', 'with-parent.mjs')).href];
const child = spawn(join(bin, 'node'), [...options, join(root, entry), ...args], {
  stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ''}` },
});
child.on('error', (error) => {
  process.stderr.write(`sluice: cannot start ${join(bin, 'node')}: ${error.message}\n`);
  process.exit(1);
});
for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT']) {
  // A terminal sends Ctrl-C to the whole group: the entry has it already, and a second one would cut its shutdown short.
  process.on(signal, () => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  });
}
child.on('exit', (code, signal) => process.exit(signal === null ? code : 128 + (constants.signals[signal] ?? 0)));

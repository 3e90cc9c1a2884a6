import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const script = join(root, 'scripts', 'run.mjs');
const folder = mkdtempSync(join(tmpdir(), 'sluice-run-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function entry(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return relative(root, join(folder, name));
}

test('stdout is the entry’s alone, arguments and the exit code pass through, Node is the project’s own', () => {
  const file = entry(
    'a.ts',
    'const [, , ...args]: string[] = process.argv;\nconsole.log(process.versions.node.split(".")[0], ...args);\nprocess.exit(7);\n',
  );
  const { status, stdout } = spawnSync('node', [script, file, '--flag', 'b c'], { encoding: 'utf8' });
  assert.equal(stdout, '22 --flag b c\n');
  assert.equal(status, 7);
});

test('signals reach the entry, and its answer to them comes back', async () => {
  const file = entry('b.ts', 'process.on("SIGTERM", () => process.exit(3));\nconsole.log("up");\nsetInterval(() => {}, 1000);\n');
  const child = spawn('node', [script, file], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => createInterface(child.stdout).once('line', resolve));
  const code = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  assert.equal(await code, 3);
});

test('an entry ends when what started it was killed', { timeout: 30_000 }, async () => {
  const file = entry(
    'd.ts',
    'process.on("SIGTERM", () => { console.log("asked to end"); process.exit(0); });\nconsole.log(String(process.pid));\nsetInterval(() => {}, 1000);\n',
  );
  const child = spawn('node', [script, file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const pid = Number((await lines.next()).value);
  assert.ok(pid > 0);
  child.kill('SIGKILL');
  assert.equal((await lines.next()).value, 'asked to end');
  // The end of its stdout, which it alone holds by now.
  assert.equal((await lines.next()).done, true);
});

test('the channel to what started it keeps no entry alive', () => {
  const file = entry('e.ts', 'console.log(typeof process.send);\n');
  assert.equal(spawnSync('node', [script, file], { timeout: 20_000 }).status, 0);
});

test('an entry ended by a signal gives the shell’s code for it', async () => {
  const file = entry('c.ts', 'process.kill(process.pid, "SIGKILL");\n');
  assert.equal(spawnSync('node', [script, file]).status, 137);
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

for (const program of [
  'bench/main.ts',
  'bench/e2e/main.ts',
  'bench/guard.ts',
  'demo/main.ts',
  'tools/verify-record.mjs',
  'src/cli/main.ts',
]) {
  test(`${program} explains itself, and refuses what it does not know in one line`, () => {
    const run = (arg: string): { status: number | null; stdout: string; stderr: string } =>
      spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, program), arg], { encoding: 'utf8' });
    const help = run('--help');
    assert.deepEqual([help.status, help.stderr], [0, '']);
    assert.match(help.stdout, /^usage: /);
    const wrong = run('--nope');
    assert.deepEqual([wrong.status, wrong.stdout], [2, '']);
    assert.match(wrong.stderr, /^[\w:-]+: [^\n]*--nope[^\n]*\n/);
  });
}

test('bin/sluice.mjs is the command line, also through a link and from elsewhere', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bin-'));
  try {
    const link = join(folder, 'sluice');
    symlinkSync(join(root, 'bin', 'sluice.mjs'), link);
    const { status, stdout } = spawnSync(link, ['--version'], { encoding: 'utf8', cwd: folder });
    assert.equal(status, 0);
    assert.match(stdout, /^sluice \d+\.\d+\.\d+\n$/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readLines } from '../../src/recording/read.ts';
import { CHAIN, TempDir, testRecorder, verifyBoth } from '../../src/recording/testing.ts';

const WRITER = fileURLToPath(new URL('./record-writer.ts', import.meta.url));

describe('a file system that takes no more', () => {
  for (const durability of ['durable', 'buffered']) {
    test(`${durability}: nothing is acknowledged that is not in the record, and every waiter hears of it`, async () => {
      const dir = new TempDir();
      // No file may grow past 16 blocks of 512 or 1024 bytes: the kernel refuses the write with EFBIG, since SIGXFSZ is ignored.
      const shell = `trap '' XFSZ; ulimit -f 16; exec "$0" "$@"`;
      const run = spawnSync('/bin/sh', ['-c', shell, process.execPath, WRITER, dir.path, durability], {
        encoding: 'utf8',
        timeout: 30_000,
      });
      assert.equal(run.status, 0, run.stderr);
      const printed = run.stdout.split('\n').slice(0, -1);
      const failed = printed.filter((line) => line === 'failed record_failed');
      const acknowledged = printed.filter((line) => line.startsWith('s')).map((line) => Number(line.split(' ')[1]));
      assert.equal(failed.length, 5, 'each of the five sessions was waiting, and was told');
      assert.ok(acknowledged.length > 10);
      const lines = [...readLines(join(dir.path, CHAIN))].map(({ line }) => line);
      for (const seq of acknowledged) assert.deepEqual([lines[seq]?.seq, lines[seq]?.type], [seq, 'intent']);
      const intents = lines.filter(({ type }) => type === 'intent').map(({ seq }) => seq);
      assert.deepEqual(
        intents,
        [...acknowledged].sort((a, b) => a - b),
        'and nothing is in the record that was not',
      );
      const again = testRecorder(dir.path);
      await again.close();
      assert.deepEqual(verifyBoth(dir.path).problems, []);
      dir.remove();
    });
  }
});

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readLines } from '../../src/recording/read.ts';
import { CHAIN, TempDir, testRecorder, verifyBoth } from '../../src/recording/testing.ts';

const WRITER = fileURLToPath(new URL('./record-writer.ts', import.meta.url));

/** What the writer acknowledged must be in the record after recovery, the record must hold, and must say what stayed open. */
async function checkAfterKill(dir: TempDir, printed: string): Promise<void> {
  const acknowledged = printed
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split(' '))
    .map(([sid, seq]) => ({ sid, seq: Number(seq) }));
  const again = testRecorder(dir.path);
  await again.close();
  assert.deepEqual(verifyBoth(dir.path).problems, []);
  const lines = [...readLines(join(dir.path, CHAIN))].map(({ line }) => line);
  for (const { sid, seq } of acknowledged) {
    const line = lines[seq];
    assert.deepEqual([line?.seq, line?.type, line?.sid], [seq, 'intent', sid], `acknowledged line ${seq}`);
  }
  const recover = lines.findLast((line) => line['event'] === 'recover');
  const open = lines
    .filter(({ type }) => type === 'intent')
    .map(({ seq }) => seq)
    .filter((seq) => !lines.some((line) => line.type === 'result' && line['intent'] === seq));
  assert.deepEqual(recover?.['intents'], open, 'the outcome of exactly these is unknown');
  assert.deepEqual(new Set(recover?.['sessions'] as string[] | undefined), new Set(['s1', 's2', 's3', 's4', 's5']));
}

describe('kill -9 of the process that writes the record', () => {
  for (const [durability, failpoint] of [
    ['durable', 'record.written-not-synced'],
    ['durable', 'record.synced-not-released'],
    ['buffered', 'record.written-not-synced'],
  ] as const) {
    for (const hits of [1, 2, 7, 60]) {
      test(`${durability}, at ${failpoint}, time ${hits}: no acknowledged line is lost`, async () => {
        const dir = new TempDir();
        const run = spawnSync(process.execPath, [WRITER, dir.path, durability, failpoint, String(hits)], { encoding: 'utf8' });
        assert.equal(run.signal, 'SIGKILL', run.stderr);
        assert.ok(hits === 1 || run.stdout.length > 0, 'it acknowledged something before');
        await checkAfterKill(dir, run.stdout);
        dir.remove();
      });
    }
  }

  test('from outside, at any time: no acknowledged line is lost, and a second writer never shares the chain', async () => {
    const dir = new TempDir();
    const child = spawn(process.execPath, [WRITER, dir.path, 'durable'], { stdio: ['ignore', 'pipe', 'inherit'] });
    let printed = '';
    const exited = new Promise((resolve) => child.on('close', resolve));
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (chunk: Buffer) => {
        printed += chunk.toString();
        if (printed.length > 2000) resolve();
      });
    });
    const beside = testRecorder(dir.path);
    assert.equal(beside.origin, 'gw-2/record', 'the first chain is locked while its writer lives');
    await beside.close();
    child.kill('SIGKILL');
    await exited;
    await checkAfterKill(dir, printed);
    dir.remove();
  });
});

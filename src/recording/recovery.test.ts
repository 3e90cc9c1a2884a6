import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { GatewayError } from '../errors.ts';
import { listSegments } from './directory.ts';
import type { RecordLine } from './read.ts';
import { readLines } from './read.ts';
import { recoverChain, recoveryLines } from './recovery.ts';
import { CHAIN, recorded, recordSession, TempDir, testRecorder, verifyBoth } from './testing.ts';
import { verifyRecord } from './verify.ts';

let dir: TempDir;
beforeEach(() => {
  dir = new TempDir();
});
afterEach(() => dir.remove());

const chain = (): string => join(dir.path, CHAIN);
const linesOf = (): RecordLine[] => [...readLines(chain())].map(({ line }) => line);

/** A crash: what is on disk now, taken up by another process that gets no word from this one. */
function crashed(): TempDir {
  return dir.copy();
}

describe('recovery', () => {
  test('names the sessions without an end and the intents without a result', async () => {
    const recorder = testRecorder(dir.path, { segmentBytes: 1500 });
    await recordSession(recorder, 'ended', 3);
    recorder.append('session', 'open', '"event":"start"');
    const unknown = recorder.append('intent', 'open', '"op":1,"text":"select 1"');
    await recorded(recorder);
    // Their lines are segments away by the end: the header of the last one carries them.
    await recordSession(recorder, 'busy', 12);
    const copy = crashed();
    const again = testRecorder(copy.path);
    await again.close();
    const recover = [...readLines(join(copy.path, CHAIN))].map(({ line }) => line).filter((line) => line['event'] === 'recover');
    assert.equal(recover.length, 1);
    assert.deepEqual(recover[0]?.['sessions'], ['open']);
    assert.deepEqual(recover[0]?.['intents'], [unknown]);
    assert.deepEqual(recover[0]?.['dropped'], []);
    assert.deepEqual(verifyBoth(copy.path).problems, []);
    const headers = [...readLines(join(copy.path, CHAIN))]
      .map(({ line }) => line)
      .filter((line) => line.type === 'recorder' && line['event'] === 'start');
    assert.deepEqual(
      headers.map((line) => line['open']),
      [
        { sessions: [], intents: [] },
        { sessions: ['open'], intents: [unknown] },
      ],
      'the header says what was open before the recovery closed it',
    );
    await testRecorder(copy.path).close();
    assert.equal([...readLines(join(copy.path, CHAIN))].filter(({ line }) => line['event'] === 'recover').length, 1, 'once');
    copy.remove();
    await recorder.close();
  });

  test('at every byte of the last batch: what was acknowledged stays, what was torn is set aside', async () => {
    const recorder = testRecorder(dir.path);
    await recordSession(recorder, 's1', 2);
    const path = listSegments(chain())[0] as string;
    const acknowledged = readFileSync(path);
    const kept = linesOf().length;
    recorder.append('intent', 's1', '"op":3,"text":"select 3"');
    recorder.append('intent', 's1', '"op":4,"text":"é"');
    await recorded(recorder);
    const whole = readFileSync(path);
    assert.ok(whole.length - acknowledged.length > 300);
    const copy = crashed();
    const target = join(copy.path, CHAIN);
    for (let size = acknowledged.length; size <= whole.length; size++) {
      for (const name of readdirSync(target)) if (name.endsWith('.torn')) truncateSync(join(target, name));
      writeFileSync(join(target, '000001.jsonl'), whole.subarray(0, size));
      const end = recoverChain(target);
      const after = readFileSync(join(target, '000001.jsonl'));
      assert.ok(after.subarray(0, acknowledged.length).equals(acknowledged), `size ${size}`);
      assert.equal(after.at(-1), 10);
      const state = JSON.parse(end.state) as { size: number };
      assert.ok(state.size >= kept && state.size <= kept + 2);
      const dropped = size - after.length;
      assert.equal(end.dropped.length, dropped > 0 ? 1 : 0);
      if (dropped > 0) {
        assert.equal(end.dropped[0]?.bytes, dropped);
        assert.ok(readFileSync(join(target, end.dropped[0]?.file as string)).equals(whole.subarray(after.length, size)));
      }
    }
    copy.remove();
    await recorder.close();
  });

  test('goes on after a torn tail, and says what it dropped', async () => {
    const recorder = testRecorder(dir.path);
    await recordSession(recorder, 's1', 2);
    const copy = crashed();
    const path = join(copy.path, CHAIN, '000001.jsonl');
    // A file that grew before its last pages reached the disk.
    writeFileSync(path, Buffer.concat([readFileSync(path).subarray(0, -50), Buffer.alloc(4096)]));
    const again = testRecorder(copy.path);
    await recordSession(again, 's2', 2);
    await again.close();
    assert.deepEqual(verifyBoth(copy.path).problems, []);
    const recover = [...readLines(join(copy.path, CHAIN))].map(({ line }) => line).find((line) => line['event'] === 'recover');
    assert.deepEqual(
      (recover?.['dropped'] as { lines: number }[] | undefined)?.map(({ lines }) => lines),
      [1],
    );
    copy.remove();
    await recorder.close();
  });

  test('a segment whose header was torn is set aside, and the one before goes on', async () => {
    const recorder = testRecorder(dir.path);
    await recordSession(recorder, 's1', 2);
    await recorder.close();
    writeFileSync(join(chain(), '000002.jsonl'), '{"v":1,"prev":"12');
    const again = testRecorder(dir.path);
    await again.close();
    assert.deepEqual(verifyBoth(dir.path).problems, []);
    assert.ok(existsSync(join(chain(), '000002.torn')));
    assert.deepEqual(linesOf().find((line) => line['event'] === 'recover')?.['dropped'], [{ file: '000002.torn', bytes: 17, lines: 1 }]);
  });

  test('refuses to start over damage that no crash does, naming file and line', async () => {
    const recorder = testRecorder(dir.path);
    await recordSession(recorder, 's1', 6);
    const path = listSegments(chain())[0] as string;
    const good = readFileSync(path, 'utf8').split('\n');
    await recorder.close();
    const damage: readonly [string, string[], number][] = [
      ['edited', good.map((line, i) => (i === 6 ? line.replace('"t":"2026-01', '"t":"2026-02') : line)), 8],
      ['deleted', good.filter((_, i) => i !== 6), 7],
      ['swapped', good.map((line, i) => (i === 6 ? good[7] : i === 7 ? good[6] : line) as string), 7],
      ['garbled', good.map((line, i) => (i === 6 ? line.slice(9) : line)), 7],
    ];
    for (const [what, lines, number] of damage) {
      writeFileSync(path, lines.join('\n'));
      assert.throws(
        () => testRecorder(dir.path),
        (error: unknown) =>
          error instanceof GatewayError && error.code === 'record_broken' && error.publicMessage.startsWith(`${path}:${number}:`),
        what,
      );
      assert.equal(readFileSync(path, 'utf8'), lines.join('\n'), 'and nothing was changed');
    }
    writeFileSync(path, good.join('\n'));
    await testRecorder(dir.path).close();
  });

  test('refuses to start when the segment before the last ends otherwise than the last begins', async () => {
    const recorder = testRecorder(dir.path, { segmentBytes: 3000 });
    await recordSession(recorder, 's1', 12);
    await recorder.close();
    const segments = listSegments(chain());
    const before = segments.at(-2) as string;
    const text = readFileSync(before, 'utf8');
    writeFileSync(before, text.slice(0, text.lastIndexOf('\n', text.length - 2) + 1));
    assert.throws(() => testRecorder(dir.path), /is not the one that/);
  });

  test('buffered: lines after the last known sync may be dropped, lines before it not', async () => {
    const recorder = testRecorder(dir.path, { durability: 'buffered' });
    await recordSession(recorder, 's1', 3);
    const path = listSegments(chain())[0] as string;
    const copy = crashed();
    const copied = join(copy.path, CHAIN, '000001.jsonl');
    const lines = readFileSync(copied, 'utf8').split('\n');
    writeFileSync(copied, lines.map((line, i) => (i === 4 ? '\0'.repeat(line.length) : line)).join('\n'));
    const again = testRecorder(copy.path);
    await again.close();
    assert.deepEqual(verifyRecord(copy.path).problems, []);
    copy.remove();

    // A checkpoint syncs in the background; the next one says so.
    for (let synced = 0; synced < 5; ) {
      recorder.checkpoint();
      await recorded(recorder);
      synced = Number(linesOf().findLast(({ type }) => type === 'checkpoint')?.['synced']);
    }
    await recorder.close();
    const all = readFileSync(path, 'utf8').split('\n');
    writeFileSync(path, all.map((line, i) => (i === 4 ? '\0'.repeat(line.length) : line)).join('\n'));
    assert.throws(() => testRecorder(dir.path), /record_broken/);
  });

  test('lists everything left open, in as many lines as it takes', () => {
    const sessions = Array.from({ length: 2500 }, (_, i) => `s${i}`);
    const lines = recoveryLines({ state: '', segment: 1, dropped: [], sessions, intents: [7], clean: false }).map(
      (members) => JSON.parse(`{${members}}`) as { sessions: string[]; intents: number[]; incomplete?: number },
    );
    assert.equal(lines.length, 3);
    assert.deepEqual(
      lines.flatMap((line) => line.sessions),
      sessions,
    );
    assert.deepEqual(
      lines.flatMap((line) => line.intents),
      [7],
    );
    assert.equal(lines[0]?.incomplete, 2500);
  });

  test('leaf hashes that a crash left behind are made good', async () => {
    const recorder = testRecorder(dir.path);
    await recordSession(recorder, 's1', 5);
    const copy = crashed();
    const segment = join(copy.path, CHAIN, '000001.jsonl');
    await testRecorder(copy.path).close();
    assert.equal(readFileSync(segment.replace('.jsonl', '.leaves')).length, (readFileSync(segment, 'utf8').split('\n').length - 1) * 32);
    copy.remove();
    await recorder.close();
  });

  test('a directory with only a lock in it is a new chain', async () => {
    mkdirSync(chain(), { recursive: true });
    writeFileSync(join(chain(), 'lock'), '');
    await testRecorder(dir.path).close();
    assert.deepEqual(verifyBoth(dir.path).problems, []);
  });
});

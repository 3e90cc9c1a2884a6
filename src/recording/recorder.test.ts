import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { GatewayError } from '../errors.ts';
import { listSegments } from './directory.ts';
import type { RecordFiles } from './files.ts';
import { diskFiles } from './files.ts';
import { jsonBytes, jsonString } from './json.ts';
import type { Durability } from './model.ts';
import type { RecordLine } from './read.ts';
import { readLines } from './read.ts';
import { CHAIN, recorded, recordSession, TempDir, testRecorder, verifyBoth } from './testing.ts';
import { verifyRecord } from './verify.ts';

let dir: TempDir;
beforeEach(() => {
  dir = new TempDir();
});
afterEach(() => dir.remove());

const linesOf = (chain = CHAIN): RecordLine[] => [...readLines(join(dir.path, chain))].map(({ line }) => line);

for (const durability of ['durable', 'buffered'] satisfies Durability[]) {
  describe(`a ${durability} recorder`, () => {
    test('writes lines that both verifiers accept, in order and without gap', async () => {
      const recorder = testRecorder(dir.path, { durability });
      await recordSession(recorder, 's1', 5);
      await recorder.close();
      const lines = linesOf();
      assert.deepEqual(
        lines.map(({ seq }) => seq),
        lines.map((_, i) => i),
      );
      assert.deepEqual(
        lines.filter(({ type }) => type === 'intent').map((line) => line['text']),
        [1, 2, 3, 4, 5].map((n) => `select ${n}`),
      );
      assert.equal(Buffer.from(String(lines.find(({ type }) => type === 'output')?.['data']), 'base64').toString(), 'row 1\n');
      assert.deepEqual(verifyBoth(dir.path).problems, []);
    });

    test('tells waiters in order, once their lines are in the file', async () => {
      const recorder = testRecorder(dir.path, { durability });
      const told: string[] = [];
      const path = listSegments(recorder.directory)[0] as string;
      await new Promise<void>((resolve) => {
        for (let n = 0; n < 5; n++) {
          const seq = recorder.append('intent', 's1', `"op":${n}`);
          recorder.whenRecorded({
            onRecorded: (error) => {
              assert.equal(error, null);
              assert.match(readFileSync(path, 'utf8'), new RegExp(`"seq":${seq},`));
              told.push(`${n}`);
              if (n === 2) {
                // What a waiter appends goes into the next batch, and does not disturb this one.
                recorder.append('result', 's1', '"intent":2');
                recorder.whenRecorded({
                  onRecorded: () => {
                    told.push('again');
                    resolve();
                  },
                });
              }
            },
          });
        }
        assert.deepEqual(told, [], 'nobody is told before the caller returns');
      });
      assert.deepEqual(told, ['0', '1', '2', '3', '4', 'again']);
      await recorder.close();
    });

    test('starts another segment when one is full, and signs the end of each', async () => {
      const recorder = testRecorder(dir.path, { durability, segmentBytes: 2000 });
      await recordSession(recorder, 's1', 30);
      await recorder.close();
      const segments = listSegments(join(dir.path, CHAIN));
      assert.ok(segments.length > 5);
      for (const segment of segments) {
        const last = JSON.parse(readFileSync(segment, 'utf8').split('\n').at(-2) as string) as RecordLine;
        assert.deepEqual([last.type, last['seal']], ['checkpoint', true]);
        assert.equal(statSync(segment).mode & 0o777, 0o600);
      }
      assert.deepEqual(verifyBoth(dir.path).problems, []);
    });

    test('takes a line larger than its buffers', async () => {
      const recorder = testRecorder(dir.path, { durability });
      const text = '\u0001é\ud800"'.repeat(700_000);
      recorder.append('intent', 's1', `"text":${jsonString(text)}`);
      recorder.append('intent', 's1', '"text":"small"');
      await recorded(recorder);
      await recorder.close();
      assert.equal(linesOf().find(({ type }) => type === 'intent')?.['text'], text);
      assert.deepEqual(verifyBoth(dir.path).problems, []);
    });

    test('refuses a line past all bounds, and goes on', async () => {
      const recorder = testRecorder(dir.path, { durability });
      assert.throws(
        () => recorder.append('intent', 's1', `"text":"${'x'.repeat(65 << 20)}"`),
        (error: unknown) => error instanceof GatewayError && error.code === 'record_too_large',
      );
      recorder.append('intent', 's1', '"op":1');
      await recorded(recorder);
      await recorder.close();
      assert.deepEqual(verifyRecord(dir.path).problems, []);
    });

    test('refuses lines after it was closed', async () => {
      const recorder = testRecorder(dir.path, { durability });
      await recorder.close();
      assert.throws(() => recorder.append('intent', 's1', '"op":1'), /record_closed/);
      await assert.rejects(recorded(recorder), /record_closed/);
    });

    test('holds producers off above its high-water mark', async () => {
      const recorder = testRecorder(dir.path, { durability, highWater: 10_000 });
      const chunk = Buffer.alloc(6000, 'x');
      recorder.appendOutput('s1', '"intent":1', chunk, 0, chunk.length);
      assert.ok(recorder.pendingBytes < recorder.highWater);
      recorder.appendOutput('s1', '"intent":1', chunk, 0, chunk.length);
      assert.ok(recorder.pendingBytes >= recorder.highWater);
      await new Promise<void>((resolve) => recorder.onceDrained(resolve));
      assert.equal(recorder.pendingBytes, 0);
      await recorder.close();
    });

    test('writes a checkpoint when asked to, even when idle', async () => {
      const recorder = testRecorder(dir.path, { durability });
      const before = verifyRecord(dir.path).checkpoints;
      recorder.checkpoint();
      await recorded(recorder);
      assert.equal(verifyRecord(dir.path).checkpoints, before + 1);
      await recorder.close();
    });

    /** Files whose nth call of one kind fails, with a short write before it. */
    function failing(what: 'write' | 'sync', code: string, nth: number): RecordFiles {
      let calls = 0;
      const error = (): Error => Object.assign(new Error(`${code}: it failed`), { code });
      return {
        ...diskFiles,
        write(fd, buf, off, len) {
          if (what !== 'write' || ++calls < nth) return diskFiles.write(fd, buf, off, Math.min(len, 100));
          if (calls === nth) return diskFiles.write(fd, buf, off, Math.min(len, 37));
          throw error();
        },
        syncData(fd, done) {
          if (what === 'sync' && ++calls >= nth) setImmediate(done, error());
          else diskFiles.syncData(fd, done);
        },
      };
    }

    test('a full disk fails every waiter, refuses further lines, and leaves no torn line', async () => {
      const recorder = testRecorder(dir.path, { durability, files: failing('write', 'ENOSPC', 40) });
      let acknowledged = -1;
      const outcomes: string[] = [];
      await assert.rejects(
        async () => {
          for (;;) {
            const seq = recorder.append('intent', 's1', `"op":1,"text":"${'x'.repeat(300)}"`);
            recorder.whenRecorded({ onRecorded: (error) => outcomes.push(error === null ? 'ok' : 'error') });
            await recorded(recorder);
            acknowledged = seq;
          }
        },
        (error: unknown) =>
          error instanceof GatewayError && error.code === 'record_failed' && (error.cause as NodeJS.ErrnoException).code === 'ENOSPC',
      );
      assert.ok(acknowledged > 0);
      assert.equal(outcomes.filter((outcome) => outcome === 'error').length, 1);
      assert.equal(recorder.failure?.code, 'record_failed');
      assert.throws(() => recorder.append('intent', 's1', '"op":1'), /record_failed/);
      assert.throws(() => recorder.appendOutput('s1', '', Buffer.alloc(3), 0, 3), /record_failed/);
      await assert.rejects(recorder.close(), /record_failed/);
      assert.deepEqual(verifyRecord(dir.path).problems, []);
      assert.equal(linesOf().at(-1)?.seq, acknowledged, 'the last line is the last one acknowledged');
    });

    if (durability === 'durable') {
      test('a failed sync acknowledges nothing, and stays a failure', async () => {
        const recorder = testRecorder(dir.path, { files: failing('sync', 'EIO', 3) });
        await recordSession(recorder, 's1', 1);
        recorder.append('intent', 's1', '"op":9');
        await assert.rejects(recorded(recorder), /record_failed/);
        await assert.rejects(recorded(recorder), /record_failed/);
        await assert.rejects(recorder.close(), /record_failed/);
      });

      test('lines of one tick share one sync, and lines that nobody waits for share the next write', async () => {
        let syncs = 0;
        const files: RecordFiles = {
          ...diskFiles,
          syncData: (fd, done) => {
            syncs++;
            diskFiles.syncData(fd, done);
          },
        };
        const recorder = testRecorder(dir.path, { files });
        const all = Array.from({ length: 50 }, (_, n) => {
          recorder.append('intent', `s${n}`, '"op":1');
          return recorded(recorder);
        });
        await Promise.all(all);
        assert.equal(syncs, 1);
        recorder.append('result', 's1', '"intent":3');
        await new Promise((resolve) => setImmediate(resolve));
        assert.equal(syncs, 1);
        assert.ok(recorder.pendingBytes > 0, 'they wait for lines that somebody waits for');
        recorder.append('intent', 's2', '"op":2');
        await recorded(recorder);
        assert.equal(syncs, 2, 'and go out with them');
        assert.equal(recorder.pendingBytes, 0);
        await recorder.close();
      });
    }

    test('two recorders on one data directory have a chain each, and a closed one is taken up again', async () => {
      const one = testRecorder(dir.path, { durability });
      const two = testRecorder(dir.path, { durability });
      assert.deepEqual([one.origin, two.origin], ['gw-1/record', 'gw-2/record']);
      await Promise.all([recordSession(one, 's1', 3), recordSession(two, 's2', 3)]);
      await Promise.all([one.close(), two.close()]);
      const again = testRecorder(dir.path, { durability });
      assert.equal(again.origin, 'gw-1/record');
      await again.close();
      assert.deepEqual(verifyBoth(dir.path).problems, []);
      assert.equal(
        linesOf()
          .filter(({ type }) => type === 'recorder')
          .map((line) => line['event'])
          .join(),
        'start,stop,start,stop',
        'a clean start recovers nothing',
      );
    });
  });
}

test('a data directory that cannot be written is a clear error, and so is a disk that is full at the start', () => {
  const file = join(dir.path, 'file');
  writeFileSync(file, '');
  assert.throws(
    () => testRecorder(file),
    (error: unknown) => error instanceof GatewayError && /^the record under .* cannot be opened: E/.test(error.publicMessage),
  );
  const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
  const files: RecordFiles = {
    ...diskFiles,
    write: () => {
      throw full;
    },
  };
  assert.throws(() => testRecorder(dir.path, { files }), /cannot be opened: ENOSPC/);
  // The lock was let go.
  const recorder = testRecorder(dir.path);
  assert.equal(recorder.origin, 'gw-1/record');
  return recorder.close();
});

test('JSON strings survive whatever they hold', () => {
  for (const text of ['', 'plain', 'a"b\\c', '\0\x1f\x7f', '\ud800', 'x\udfff', '\u2028', 'é\u{1f600}']) {
    assert.equal(JSON.parse(jsonString(text)), text);
    const bytes = Buffer.from(jsonString(text));
    assert.equal(JSON.parse(bytes.toString('utf8')), text, 'as UTF-8 too');
  }
  assert.equal(JSON.parse(jsonBytes(Buffer.from([0x61, 0xff, 0x00, 0x62]))), 'a\ufffd\0b');
  assert.equal(JSON.parse(jsonBytes(Buffer.from('select 1'), 7, 1)), '1');
});

import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { appendFileSync, copyFileSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { CheckpointSigner } from './checkpoint.ts';
import { listSegments } from './directory.ts';
import { CHAIN, recorded, recordSession, TempDir, testRecorder, verifyBoth } from './testing.ts';
import { verifyRecord } from './verify.ts';

describe('verifying a record', () => {
  const original = new TempDir();
  let segments: string[] = [];

  before(async () => {
    const recorder = testRecorder(original.path, { segmentBytes: 6000 });
    await recordSession(recorder, 's1', 12);
    recorder.checkpoint();
    await recordSession(recorder, 's2', 12);
    await recorder.close();
    segments = listSegments(join(original.path, CHAIN)).map((path) => path.slice(original.path.length + 1));
    assert.ok(segments.length >= 3, `${segments.length} segments`);
  });
  after(() => original.remove());

  /** Damages a copy, and returns what the verifiers say. */
  function tampered(change: (dir: string) => void, options: Parameters<typeof verifyBoth>[1] = {}): ReturnType<typeof verifyBoth> {
    const copy = original.copy();
    try {
      change(copy.path);
      return verifyBoth(copy.path, options);
    } finally {
      copy.remove();
    }
  }

  const lines = (path: string): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1);
  const rewrite = (path: string, change: (all: string[]) => string[]): void => writeFileSync(path, `${change(lines(path)).join('\n')}\n`);

  test('an untouched record holds, as a whole, as a chain and by the segment', () => {
    const whole = verifyBoth(original.path);
    assert.deepEqual(whole.problems, []);
    assert.equal(
      whole.lines,
      segments.reduce((sum, path) => sum + lines(join(original.path, path)).length, 0),
    );
    assert.equal(verifyBoth(join(original.path, CHAIN)).ok, true);
    for (const segment of segments)
      assert.deepEqual(
        verifyBoth(join(original.path, segment), { keys: readFileSync(join(original.path, 'keys/record.pub'), 'utf8') }).problems,
        [],
      );
  });

  test('a record holds after older segments expired, by their leaves', () => {
    const expired = tampered((dir) => rmSync(join(dir, segments[0] as string)));
    assert.deepEqual(expired.problems, []);
    const leaves = (segments[0] as string).replace('.jsonl', '.leaves');
    assert.deepEqual(
      tampered((dir) => {
        rmSync(join(dir, segments[0] as string));
        rmSync(join(dir, leaves));
      }).problems,
      [],
    );
    const altered = tampered((dir) => {
      rmSync(join(dir, segments[0] as string));
      const bytes = readFileSync(join(dir, leaves));
      bytes[40] = (bytes[40] as number) ^ 1;
      writeFileSync(join(dir, leaves), bytes);
    });
    assert.match(altered.problems.join(), /leaf hashes kept for the older segments/);
  });

  const edits: readonly [string, (all: string[]) => string[], RegExp][] = [
    [
      'an edited line',
      (all) => all.map((line, i) => (i === 4 ? line.replace('"t":"2026-01', '"t":"2026-02') : line)),
      /:6: the line does not continue/,
    ],
    ['a deleted line', (all) => all.filter((_, i) => i !== 4), /:5: seq is/],
    ['a doubled line', (all) => [...all.slice(0, 5), all[4] as string, ...all.slice(5)], /:6: seq is/],
    ['two lines swapped', (all) => [...all.slice(0, 4), all[5] as string, all[4] as string, ...all.slice(6)], /:5: seq is/],
    [
      'a line without the fixed members',
      (all) => all.map((line, i) => (i === 4 ? line.replace('"v":1', '"v":2') : line)),
      /:5: the line is not/,
    ],
    ['a space put in', (all) => all.map((line, i) => (i === 6 ? `${line} ` : line)), /:8: the line does not continue/],
    ['an empty line put in', (all) => [...all.slice(0, 6), '', ...all.slice(6)], /:7: the line is not a JSON object/],
    ['a line that is not JSON', (all) => all.map((line, i) => (i === 6 ? line.slice(0, -1) : line)), /:7: the line is not a JSON object/],
    ['the header taken away', (all) => all.slice(1), /:1: the segment does not begin with a header/],
  ];
  for (const [name, change, expected] of edits) {
    test(`${name} is reported`, () => {
      const found = tampered((dir) => rewrite(join(dir, segments[1] as string), change));
      assert.match(found.problems.join('\n'), expected);
    });
  }

  test('a segment that is missing, empty or cut off is reported', () => {
    assert.match(tampered((dir) => rmSync(join(dir, segments[1] as string))).problems.join(), /the header follows segment 2/);
    assert.match(tampered((dir) => truncateSync(join(dir, segments[1] as string))).problems.join(), /holds no line/);
    assert.match(
      tampered((dir) => rewrite(join(dir, segments[1] as string), (all) => all.slice(0, -2))).problems.join(),
      /its end was cut off/,
    );
    assert.match(tampered((dir) => truncateSync(join(dir, segments[1] as string), 1000)).problems.join(), /is incomplete/);
  });

  test('leaf hashes that are altered, missing or too few are reported', () => {
    const leaves = (dir: string): string => join(dir, (segments[1] as string).replace('.jsonl', '.leaves'));
    assert.match(tampered((dir) => rmSync(leaves(dir))).problems.join(), /\.leaves\) are missing/);
    assert.match(tampered((dir) => truncateSync(leaves(dir), 64)).problems.join(), /:3: leaf hashes are missing/);
    assert.match(
      tampered((dir) => writeFileSync(leaves(dir), Buffer.alloc(statSync(leaves(dir)).size))).problems.join(),
      /:1: the leaf hash kept/,
    );
  });

  test('the end of the last segment cut off is reported as long as leaves or a checkpoint kept elsewhere know better', async () => {
    const last = segments.at(-1) as string;
    assert.match(tampered((dir) => rewrite(join(dir, last), (all) => all.slice(0, -1))).problems.join(), /its end was cut off/);
    const checkpoint = JSON.parse(lines(join(original.path, last)).at(-1) as string) as { note: string };
    const kept = join(original.path, 'kept.txt');
    writeFileSync(kept, checkpoint.note);
    const known = [{ path: kept, text: checkpoint.note }];
    assert.deepEqual(tampered(() => {}, { known }).problems, []);
    const cut = tampered(
      (dir) => {
        rewrite(join(dir, last), (all) => all.slice(0, -3));
        const leaves = join(dir, last.replace('.jsonl', '.leaves'));
        truncateSync(leaves, statSync(leaves).size - 3 * 32);
      },
      { known },
    );
    assert.match(cut.problems.join(), /a checkpoint kept elsewhere covers/);
    // The whole chain taken away, with another one left.
    const gone = await goneChain(known);
    assert.match(gone.problems.join(), /no chain here is that of a checkpoint kept elsewhere, gw-1\/record/);
  });

  test('an end cut off together with its checkpoint is reported, since its leaves were written with it', async () => {
    const dir = new TempDir();
    const recorder = testRecorder(dir.path);
    await recordSession(recorder, 's1', 3);
    recorder.checkpoint();
    await recorded(recorder);
    const copy = dir.copy();
    assert.deepEqual(verifyBoth(copy.path).problems, [], 'leaves of a record that is being written hold');
    rewrite(join(copy.path, CHAIN, '000001.jsonl'), (all) => all.slice(0, -3));
    assert.match(verifyBoth(copy.path).problems.join('\n'), /its end was cut off/);
    await recorder.close();
    copy.remove();
    dir.remove();
  });

  test('without keys one problem says so, and everything but the signatures is checked all the same', async () => {
    const dir = original.copy();
    await testRecorder(dir.path, { gateway: 'other' }).close();
    rmSync(join(dir.path, 'keys/record.pub'));
    const bare = verifyBoth(dir.path);
    assert.equal(bare.ok, false);
    assert.equal(bare.problems.length, 1);
    assert.match(bare.problems[0] ?? '', /record\.pub:0: there are no verifier keys here.*--keys/);
    rewrite(join(dir.path, segments[0] as string), (all) => all.map((line) => line.replace('select 1', 'select 2')));
    const damaged = verifyBoth(dir.path).problems;
    assert.match(damaged[0] ?? '', /there are no verifier keys here/);
    assert.ok(damaged.length > 1);
    dir.remove();
  });

  test('a checkpoint signed with another key is reported', () => {
    const other = generateKeyPairSync('ed25519').privateKey;
    const found = tampered((dir) => {
      rewrite(join(dir, segments.at(-1) as string), (all) =>
        all.map((text, i) => {
          if (i !== all.length - 1) return text;
          const line = JSON.parse(text) as { note: string; size: number };
          const root = Buffer.from(line.note.split('\n')[2] as string, 'base64').toString('hex');
          return text.replace(JSON.stringify(line.note), JSON.stringify(new CheckpointSigner('gw-1/record', other).sign(line.size, root)));
        }),
      );
    });
    assert.match(found.problems.join(), /no signature by the key/);
    const otherKey = new CheckpointSigner('gw-1/record', other).verifierKey();
    assert.match(verifyBoth(original.path, { keys: otherKey }).problems.join(), /no signature by the key/);
    assert.match(tampered((dir) => writeFileSync(join(dir, 'keys/record.pub'), '')).problems.join(), /no key/);
  });

  test('an altered signature is reported, also when leaf and line are made to fit', () => {
    const found = tampered((dir) => {
      const last = join(dir, segments.at(-1) as string);
      rewrite(last, (all) => [
        ...all.slice(0, -1),
        (all.at(-1) as string).replace(/.(.{20}\\n"\})$/, (end) => `${end[0] === 'A' ? 'B' : 'A'}${end.slice(1)}`),
      ]);
      const leaves = readFileSync(last.replace('.jsonl', '.leaves'));
      const leaf = createHash('sha256')
        .update(Buffer.of(0))
        .update(lines(last).at(-1) as string)
        .digest();
      writeFileSync(last.replace('.jsonl', '.leaves'), Buffer.concat([leaves.subarray(0, -32), leaf]));
    });
    assert.match(found.problems.join(), /^[^ ]+: the signature does not match the checkpoint$/);
  });

  test('a tail rewritten from some line on, with hashes made good, is reported by the signed root', async () => {
    const forged = new TempDir();
    // The same gateway, key and clock, and another story.
    await copyKeys(original.path, forged.path);
    const recorder = testRecorder(forged.path, { segmentBytes: 6000 });
    await recordSession(recorder, 's1', 12);
    recorder.append('intent', 's9', '"op":1,"kind":"query","text":"drop table cards"');
    await recorded(recorder);
    await recorder.close();
    const note = lines(join(original.path, segments.at(-1) as string))
      .map((line) => JSON.parse(line) as { type: string; note?: string })
      .findLast(({ type }) => type === 'checkpoint')?.note as string;
    const kept = join(forged.path, 'kept.txt');
    writeFileSync(kept, note);
    assert.equal(verifyBoth(forged.path).ok, true);
    assert.match(verifyBoth(forged.path, { known: [{ path: kept, text: note }] }).problems.join(), /kept elsewhere/);
    forged.remove();
  });

  test('property: any one byte changed is reported', () => {
    const copy = original.copy();
    fc.assert(
      fc.property(
        fc.nat(segments.length - 1),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.integer({ min: 1, max: 255 }),
        (segment, place, flip) => {
          const path = join(copy.path, segments[segment] as string);
          const good = readFileSync(path);
          const bad = Buffer.from(good);
          const at = Math.floor(place * bad.length);
          bad[at] = (bad[at] as number) ^ flip;
          writeFileSync(path, bad);
          const found = verifyRecord(copy.path);
          writeFileSync(path, good);
          return !found.ok;
        },
      ),
      { numRuns: 300 },
    );
    copy.remove();
  });

  test('property: any run of bytes moved, doubled or taken away is reported by both verifiers', () => {
    fc.assert(
      fc.property(
        fc.nat(segments.length - 1),
        fc.nat(),
        fc.integer({ min: 1, max: 700 }),
        fc.constantFrom('drop', 'double', 'move'),
        (segment, from, length, what) => {
          const found = tampered((dir) => {
            const path = join(dir, segments[segment] as string);
            const bytes = readFileSync(path);
            const start = from % (bytes.length - 1);
            const end = Math.min(bytes.length, start + length);
            const run = bytes.subarray(start, end);
            const parts =
              what === 'drop'
                ? [bytes.subarray(0, start), bytes.subarray(end)]
                : what === 'double'
                  ? [bytes.subarray(0, end), bytes.subarray(start)]
                  : [bytes.subarray(0, start), bytes.subarray(end), run];
            const result = Buffer.concat(parts);
            fc.pre(!result.equals(bytes));
            writeFileSync(path, result);
          });
          return !found.ok;
        },
      ),
      { numRuns: 25 },
    );
  });

  test('lines after the last checkpoint are noted', async () => {
    const dir = new TempDir();
    const recorder = testRecorder(dir.path);
    await recordSession(recorder, 's1', 3);
    const report = verifyRecord(dir.path);
    assert.deepEqual(report.problems, []);
    assert.match(report.notes.map(({ message }) => message).join(), /^11 lines follow the last checkpoint/);
    await recorder.close();
    assert.deepEqual(verifyRecord(dir.path).notes, []);
    dir.remove();
  });

  test('bytes after the last line are reported', () => {
    assert.match(tampered((dir) => appendFileSync(join(dir, segments.at(-1) as string), '{"v":1')).problems.join(), /is incomplete/);
  });
});

async function copyKeys(from: string, to: string): Promise<void> {
  // Through a recorder, so that the directory is made as it always is.
  await testRecorder(to, { gateway: 'tmp' }).close();
  for (const name of ['record.key', 'record.pub']) copyFileSync(join(from, 'keys', name), join(to, 'keys', name));
  rmSync(join(to, 'record'), { recursive: true });
}

async function goneChain(known: readonly { path: string; text: string }[]): Promise<ReturnType<typeof verifyBoth>> {
  const dir = new TempDir();
  await testRecorder(dir.path, { gateway: 'other' }).close();
  const found = verifyBoth(dir.path, { known });
  dir.remove();
  return found;
}

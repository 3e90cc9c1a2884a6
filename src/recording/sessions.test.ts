import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { leavesPath, listSegments } from './directory.ts';
import { readLines } from './read.ts';
import { recordReading } from './reading.ts';
import { replaySession } from './replay.ts';
import { expireSegments } from './retention.ts';
import { searchRecord } from './search.ts';
import { listSessions, showSession } from './sessions.ts';
import { CHAIN, recorded, recordSession, TempDir, testRecorder, verifyBoth } from './testing.ts';

let dir: TempDir;
beforeEach(() => {
  dir = new TempDir();
});
afterEach(() => dir.remove());

/** A session with a prepared statement, a denial and output in two pieces. */
async function record(): Promise<{ parse: number; bind: number }> {
  const recorder = testRecorder(dir.path);
  recorder.append(
    'session',
    'a1',
    '"event":"start","principal":{"name":"ann","issuer":"local","subject":"ann","kind":"user","groups":["analysts"],"credential":{"kind":"token","id":"t1","expires":"2026-02-01T00:00:00.000Z"}},"source":"127.0.0.1:5","target":{"resource":"payments","kind":"thing","account":"read-only"},"protocol":"thing"',
  );
  const parse = recorder.append(
    'intent',
    'a1',
    '"kind":"parse","action":"select","objects":["select public.Cards"],"text":"select * from Cards where id = $1"',
  );
  recorder.append('result', 'a1', `"intent":${parse},"status":"ok"`);
  const bind = recorder.append('intent', 'a1', `"kind":"bind","stmt":${parse},"objects":["select public.Cards"],"params":["4711"]`);
  recorder.appendOutput('a1', `"intent":${bind}`, Buffer.from('first '), 0, 6);
  recorder.appendOutput('a1', `"intent":${bind}`, Buffer.from('xsecond'), 1, 6);
  recorder.append('result', 'a1', `"intent":${bind},"status":"ok","tag":"SELECT 2","rows":2,"bytes":12,"us":90,"masked":{"pan":2}`);
  recorder.append(
    'deny',
    'a1',
    '"kind":"query","action":"drop","objects":["drop public.cards"],"policies":["no-drop"],"text":"drop table cards","reason":"forbidden","message":"not allowed"',
  );
  recorder.append('session', 'a1', '"event":"end","reason":"terminate","ops":3,"denied":1,"seconds":1,"masked":{"pan":2}');
  recorder.append(
    'session',
    'b1',
    '"event":"start","principal":{"name":"bob"},"target":{"resource":"payments","account":"read-write"},"protocol":"thing"',
  );
  recorder.append('intent', 'b1', '"kind":"query","action":"update","text":"update orders set x = 1"');
  await recorded(recorder);
  await recorder.close();
  return { parse, bind };
}

describe('reading a record', () => {
  test('lists sessions with their totals, open ones counted', async () => {
    await record();
    const sessions = listSessions(dir.path);
    assert.deepEqual(
      sessions.map(({ sid, principal, account, state, ops, denied, masked }) => ({ sid, principal, account, state, ops, denied, masked })),
      [
        { sid: 'a1', principal: 'ann', account: 'read-only', state: 'ended', ops: 3, denied: 1, masked: { pan: 2 } },
        { sid: 'b1', principal: 'bob', account: 'read-write', state: 'open', ops: 1, denied: 0, masked: {} },
      ],
    );
    // The next start finds that nobody ended it.
    await testRecorder(dir.path).close();
    assert.equal(listSessions(dir.path)[1]?.state, 'incomplete');
  });

  test('shows the operations of one, executions with the text of their statement', async () => {
    const { parse, bind } = await record();
    const detail = showSession(dir.path, 'a1');
    assert.deepEqual(
      detail?.operations.map(({ seq, kind, text, status, rows, params }) => [seq, kind, text, status, rows, params]),
      [
        [parse, 'parse', 'select * from Cards where id = $1', 'ok', 0, []],
        [bind, 'bind', 'select * from Cards where id = $1', 'ok', 2, ['4711']],
        [bind + 4, 'query', 'drop table cards', 'denied', 0, []],
      ],
    );
    assert.equal(showSession(dir.path, 'b1')?.operations[0]?.status, 'pending');
    assert.equal(showSession(dir.path, 'nobody'), null);
  });

  test('replays a session in order, output rendered by the protocol', async () => {
    const { bind } = await record();
    const replay = replaySession(dir.path, 'a1', (protocol, bytes, stream) => `${protocol}${stream}:${bytes.toString()}`);
    const steps = [...(replay?.steps ?? [])].map((step) =>
      step.kind === 'operation' ? step.operation.text : `${step.intent} ${step.text}`,
    );
    assert.deepEqual(steps, [
      'select * from Cards where id = $1',
      'select * from Cards where id = $1',
      `${bind} thing:first second`,
      'drop table cards',
    ]);
    assert.equal(
      replaySession(dir.path, 'nobody', () => ''),
      null,
    );
  });

  test('searches by text, principal, object and time', async () => {
    const { parse, bind } = await record();
    const seqs = (query: Parameters<typeof searchRecord>[1]): number[] => [...searchRecord(dir.path, query)].map(({ seq }) => seq);
    assert.deepEqual(seqs({ text: 'CARDS' }), [parse, bind, bind + 4]);
    assert.deepEqual(seqs({ text: '4711' }), [bind]);
    assert.deepEqual(seqs({ object: 'cards' }), [bind + 4]);
    assert.deepEqual(seqs({ object: 'public.Cards' }), [parse, bind]);
    assert.deepEqual(seqs({ object: 'ards' }), []);
    assert.equal(seqs({ principal: 'bob' }).length, 1);
    assert.equal(seqs({ since: '2026-01-31' }).length, 4);
    assert.deepEqual(seqs({ since: '2026-02-01' }), []);
    assert.deepEqual(seqs({ until: '2026-01-31' }), []);
    assert.deepEqual(seqs({ text: 'cards', principal: 'bob' }), []);
  });

  test('a reading is recorded itself, on a chain of its own', async () => {
    await record();
    await recordReading({ dataDir: dir.path, gateway: 'gw', version: '0', command: 'sessions show', args: ['a1'] });
    const reads = [...readLines(join(dir.path, 'record/gw-cli-1'), { types: ['read'] })];
    assert.deepEqual(
      reads.map(({ line }) => [line['command'], line['args']]),
      [['sessions show', ['a1']]],
    );
    assert.deepEqual(verifyBoth(dir.path).problems, []);
  });

  test('expires whole segments, oldest first, and keeps their leaves', async () => {
    const day = 86_400_000;
    let now = Date.UTC(2026, 0, 1) * 1000;
    const recorder = testRecorder(dir.path, { segmentBytes: 2000, clock: { micros: () => (now += 3_600_000_000) } });
    await recordSession(recorder, 's1', 30);
    await recorder.close();
    const chain = join(dir.path, CHAIN);
    const all = listSegments(chain);
    assert.deepEqual(expireSegments(dir.path, 365, Date.UTC(2026, 0, 20)), []);
    const deleted = expireSegments(dir.path, 1, Date.UTC(2026, 0, 1) + 3 * day);
    assert.ok(deleted.length > 0 && deleted.length < all.length - 1, `${deleted.length} of ${all.length}`);
    assert.deepEqual(listSegments(chain), all.slice(deleted.length));
    assert.ok(deleted.every((segment) => existsSync(leavesPath(segment))));
    assert.deepEqual(verifyBoth(dir.path).problems, []);
    assert.equal(expireSegments(dir.path, 0, now / 1000 + day).length, all.length - deleted.length - 1, 'the newest stays');
    assert.deepEqual(verifyBoth(dir.path).problems, []);
  });
});

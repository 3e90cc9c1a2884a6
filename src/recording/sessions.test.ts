import assert from 'node:assert/strict';
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { leavesPath, listSegments } from './directory.ts';
import { listLogins } from './logins.ts';
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
    assert.equal(showSession(dir.path, 'b1')?.operations[0]?.status, 'unknown');
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
    assert.deepEqual(seqs({ denied: true }), [bind + 4]);
    assert.equal(seqs({ principal: 'bob' }).length, 1);
    assert.equal(seqs({ since: '2026-01-31' }).length, 4);
    assert.deepEqual(seqs({ since: '2026-02-01' }), []);
    assert.deepEqual(seqs({ until: '2026-01-31' }), []);
    assert.deepEqual(seqs({ text: 'cards', principal: 'bob' }), []);
  });

  test('what the API refused names who asked and what for', async () => {
    const recorder = testRecorder(dir.path);
    const by = '"by":{"name":"mallory","issuer":"gw-1"}';
    recorder.append('deny', '', `"kind":"api","action":"grant.decide","objects":["grant.decide payments"],${by},"message":"no"`);
    recorder.append('deny', '', `"kind":"api","action":"key.manage","objects":[],"by":{"name":"eve"},"message":"no"`);
    await recorder.close();
    const found = [...searchRecord(dir.path, { denied: true })].filter(({ sid }) => sid === '');
    assert.deepEqual(
      found.map(({ principal, text }) => [principal, text]),
      [
        ['mallory', 'grant.decide payments'],
        ['eve', 'key.manage'],
      ],
    );
    assert.equal([...searchRecord(dir.path, { denied: true, principal: 'eve' })].length, 1);
  });

  test('an object is found whether it was written with its schema or without', async () => {
    const recorder = testRecorder(dir.path);
    const names = ['cards', 'public.cards', 'audit.cards', 'discards', 'public."a.b"', 'my table', 'role:cards'];
    const first = names.map((name) => recorder.append('intent', 's', `"kind":"query","objects":${JSON.stringify([`select ${name}`])}`))[0];
    await recorder.close();
    const found = (object: string): (string | undefined)[] =>
      [...searchRecord(dir.path, { object })].map(({ seq }) => names[seq - (first ?? 0)]);
    assert.deepEqual(found('public.cards'), ['cards', 'public.cards']);
    assert.deepEqual(found('cards'), ['cards', 'public.cards', 'audit.cards']);
    assert.deepEqual(found('pay.public.cards'), ['cards', 'public.cards']);
    assert.deepEqual(found('b'), []);
    assert.deepEqual(found('"a.b"'), ['public."a.b"']);
    assert.deepEqual(found('my table'), ['my table']);
    assert.deepEqual(found(''), []);
  });

  test('log-ins are listed, refused ones with their reason', async () => {
    const recorder = testRecorder(dir.path);
    recorder.append('auth', 'a1', '"ok":true,"user":"ann","source":"127.0.0.1:5","credential":"t1"');
    recorder.append('session', 'a1', '"event":"start","principal":{"name":"ann"},"target":{"resource":"payments"}');
    recorder.append('auth', '', '"ok":false,"code":"token_expired","user":"bob+rw","resource":"payments","source":"127.0.0.1:6"');
    await recorder.close();
    const logins = (query: Parameters<typeof listLogins>[1]): string[] =>
      [...listLogins(dir.path, query)].map(({ user, ok, code, resource }) => `${user} ${ok} ${code} ${resource}`);
    assert.deepEqual(logins({}), ['ann true  payments', 'bob+rw false token_expired payments']);
    assert.deepEqual(logins({ failed: true }), ['bob+rw false token_expired payments']);
    assert.deepEqual(logins({ user: 'bob' }), ['bob+rw false token_expired payments']);
    assert.deepEqual(logins({ since: '2026-02-01' }), []);
    assert.deepEqual(logins({ until: '2026-01-31' }), []);
  });

  test('readings go on in one segment as long as the same software writes them, and account for what a crash left', async () => {
    await record();
    const reading = { dataDir: dir.path, gateway: 'gw', version: '0', command: 'sessions ls', args: [] };
    const chain = join(dir.path, 'record/gw-cli-1');
    for (let i = 0; i < 3; i++) await recordReading(reading);
    assert.equal(listSegments(chain).length, 1);
    assert.deepEqual(verifyBoth(dir.path).problems, []);
    const [segment = ''] = listSegments(chain);
    const whole = readFileSync(segment);
    // Cut off in its last line, the checkpoint, and gone on with.
    truncateSync(segment, whole.length - 10);
    await recordReading(reading);
    assert.equal(listSegments(chain).length, 1);
    assert.deepEqual(verifyBoth(dir.path).problems, []);
    assert.equal([...readLines(chain, { types: ['recorder'] })].filter(({ line }) => line['event'] === 'recover').length, 1);
    await recordReading({ ...reading, version: '1' });
    assert.equal(listSegments(chain).length, 2);
    assert.equal([...readLines(chain, { types: ['read'] })].length, 5);
    assert.deepEqual(verifyBoth(dir.path).problems, []);
    // An altered line with others after it is no crash.
    await recordReading({ ...reading, version: '1' });
    const last = listSegments(chain).at(-1) ?? '';
    writeFileSync(last, readFileSync(last, 'utf8').replace('sessions ls', 'sessions xx'));
    await assert.rejects(recordReading({ ...reading, version: '1' }), /the chain of the record is broken here/);
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

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Stage, startStage } from '../support/stage.ts';
import type { Wire } from '../support/wire.ts';
import { encode, type Message } from '../support/wire-messages.ts';

/**
 * A denial is an error of the server's at that very place: what follows is skipped or run as after any error, and the
 * transaction is in the state that an error leaves. So each script runs twice: through the gateway with a statement that
 * policy denies, and directly with one that the server itself refuses.
 */
let stage: Stage;
before(async () => {
  stage = await startStage({ setup: 'create table lines (id int, body text); grant select, insert, delete on lines to app_rw' });
});
after(() => stage.stop());

type Script = (denied: string) => readonly Buffer[];
const { query, parse, bind, describe, execute, sync, flush, close, copyData, copyDone } = encode;

const scripts: Readonly<Record<string, Script>> = {
  'a query': (no) => [query(no)],
  'queries around it': (no) => [query('select 1'), query(no), query('select 2')],
  'several in a row': (no) => [query(no), query(no), query(no)],
  'a query in a transaction': (no) => [query('begin'), query(no), query('select 1'), query('rollback'), query('select 2')],
  'a query in an aborted transaction': (no) => [query('begin'), query('select 1/0'), query(no), query('rollback')],
  'a commit of what it aborted': (no) => [query('begin'), query(no), query('commit'), query('select 1')],
  'a savepoint around it': (no) => [
    query('begin'),
    query('savepoint a'),
    query(no),
    query('rollback to a'),
    query('select 1'),
    query('commit'),
  ],
  'the last of several statements in one query': (no) => [query(`select 1; ${no}`)],
  'the first of several statements in one query': (no) => [query(`${no}; select 1`)],
  'the middle of several with a transaction inside': (no) => [query(`begin; select 1; ${no}; commit`), query('select 1')],
  'a Parse': (no) => [parse({ text: no }), bind(), execute(), sync()],
  'a Parse with everything after it': (no) => [
    parse({ text: no }),
    describe('S', ''),
    bind(),
    describe('P', ''),
    execute(),
    close('S', ''),
    sync(),
    query('select 1'),
  ],
  'a Parse in mid-pipeline': (no) => [
    parse({ text: 'select 1' }),
    bind(),
    execute(),
    parse({ text: no }),
    bind(),
    execute(),
    parse({ text: 'select 2' }),
    bind(),
    execute(),
    sync(),
    parse({ text: 'select 3' }),
    bind(),
    execute(),
    sync(),
  ],
  'a Parse in a transaction': (no) => [
    query('begin'),
    parse({ text: no }),
    bind(),
    execute(),
    sync(),
    parse({ text: 'select 1' }),
    sync(),
    query('rollback'),
  ],
  'a Parse in an aborted transaction': (no) => [
    query('begin'),
    query('select 1/0'),
    parse({ text: no }),
    bind(),
    execute(),
    sync(),
    query('rollback'),
  ],
  'a Parse with its answer flushed': (no) => [parse({ text: no }), flush(), bind(), execute(), sync()],
  'a named Parse, referred to later': (no) => [
    parse({ name: 's', text: no }),
    sync(),
    bind({ statement: 's' }),
    execute(),
    sync(),
    describe('S', 's'),
    sync(),
  ],
  'a named Parse over an existing name': (no) => [
    parse({ name: 's', text: 'select 1' }),
    sync(),
    parse({ name: 's', text: no }),
    sync(),
    bind({ statement: 's' }),
    execute(),
    sync(),
    close('S', 's'),
    sync(),
  ],
  'an unnamed Parse over an existing one': (no) => [
    parse({ text: 'select 1' }),
    sync(),
    parse({ text: no }),
    sync(),
    bind(),
    execute(),
    sync(),
  ],
  'a Parse behind an error': (no) => [
    parse({ text: 'select 1/0' }),
    bind(),
    execute(),
    parse({ text: no }),
    bind(),
    execute(),
    sync(),
    query('select 1'),
  ],
  'several Syncs behind it': (no) => [parse({ text: no }), bind(), execute(), sync(), sync(), sync(), query('select 1')],
  'a query between extended ones': (no) => [
    parse({ text: 'select 1' }),
    bind(),
    execute(),
    sync(),
    query(no),
    parse({ text: 'select 2' }),
    bind(),
    execute(),
    sync(),
  ],
  'a query where Sync is owed': (no) => [parse({ text: no }), query('select 1'), sync(), query('select 2')],
  'a COPY out before and after': (no) => [query('copy lines to stdout'), query(no), query('copy lines to stdout')],
  'a COPY in before and after': (no) => [
    query('copy lines from stdin'),
    copyData('1\ta\n'),
    copyDone(),
    query(no),
    query('copy lines from stdin'),
    copyData('2\tb\n'),
    copyDone(),
  ],
  'CopyData that nobody asked for': (no) => [query(no), copyData('1\ta\n'), copyDone(), query('select 1')],
  'a COPY in by the extended protocol': (no) => [
    parse({ text: 'copy lines from stdin' }),
    bind(),
    execute(),
    copyData('3\tc\n'),
    copyDone(),
    parse({ text: no }),
    bind(),
    execute(),
    sync(),
    query('select 1'),
  ],
  'a Bind to no statement': () => [bind({ statement: 'nowhere' }), execute(), sync(), query('select 1')],
  'an Execute of no portal': () => [execute('nowhere'), sync(), query('select 1')],
  'an Execute of no portal in a transaction': () => [query('begin'), execute('nowhere'), sync(), query('select 1'), query('rollback')],
};

/** What the server refuses by itself, at the place where the gateway denies. */
const REFUSED = 'selec 1';
const DENIED = 'drop table cards';

for (const [name, script] of Object.entries(scripts)) {
  for (const pace of ['at once', 'message by message'] as const) {
    test(`${name}, sent ${pace}: replies and transaction state are those of an error`, async () => {
      const [through, straight] = [await stage.connect(stage.developer), await stage.direct(stage.developer)];
      const expected = await play(straight, script(REFUSED), pace);
      const actual = await play(through, script(DENIED), pace);
      assert.deepEqual(actual.map(outline), expected.map(outline));
      for (const [i, message] of actual.entries()) {
        if (message.name !== 'ErrorResponse' || expected[i]?.error['C'] !== '42601') {
          assert.equal(message.error['C'], expected[i]?.error['C']);
          continue;
        }
        assert.equal(message.error['C'], '42501');
        assert.match(message.error['M'] ?? '', /destructive\.drop/);
        assert.notEqual(message.error['H'] ?? '', '');
      }
      assert.deepEqual((await through.query("select 'alive'")).rows, [['alive']]);
      await Promise.all([through.end(), straight.end()]);
    });
  }
}

test('nothing denied has reached the server', () => {
  assert.doesNotMatch(stage.server.log(), /drop table cards/);
});

test('each denial is recorded with its text and policy, and what the server never came to says so', async () => {
  const wire = await stage.connect(stage.developer);
  const earlier = stage.record().length;
  await play(wire, scripts['a Parse behind an error']?.(DENIED) ?? [], 'at once');
  await play(wire, scripts['a query']?.(DENIED) ?? [], 'at once');
  await wire.end();
  const lines = (await stage.settledRecord()).slice(earlier);
  const denials = lines.filter((line) => line.type === 'deny');
  assert.equal(denials.length, 2);
  for (const line of denials) {
    assert.equal(line['text'], DENIED);
    assert.deepEqual(line['policies'], ['destructive.drop']);
  }
  const notReached = lines.filter((line) => line.type === 'result' && line['status'] === 'not-reached').map((line) => line['intent']);
  assert.ok(notReached.includes(denials[0]?.seq), 'the swallowed denial is marked');
  assert.ok(!notReached.includes(denials[1]?.seq));
});

test('the record verifies', () => {
  assert.equal(stage.gateway.sluice('verify', stage.gateway.recordDir).status, 0);
});

/** Sends the script and a marker behind it; returns the replies up to the marker. */
async function play(wire: Wire, messages: readonly Buffer[], pace: 'at once' | 'message by message'): Promise<Message[]> {
  const all = [...messages, query("select 'end'")];
  if (pace === 'at once') wire.send(...all);
  else {
    wire.socket.setNoDelay(true);
    for (const message of all) await new Promise<void>((resolve) => wire.socket.write(message, () => resolve()));
  }
  const replies: Message[] = [];
  for (;;) {
    const cycle = await wire.cycle();
    if (cycle.rows.at(-1)?.[0] === 'end') return replies;
    replies.push(...cycle.messages);
    assert.notEqual(cycle.status, '', 'the connection ended');
  }
}

function outline(message: Message): string {
  return `${message.name} ${message.tag}${message.name === 'ReadyForQuery' ? message.body.toString('latin1') : ''}${message.values.map(String).join('|')}`;
}

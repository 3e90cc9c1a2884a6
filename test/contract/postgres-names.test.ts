import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type RecordLine, type Stage, startStage } from '../support/stage.ts';
import type { Cycle, Wire } from '../support/wire.ts';
import { encode, type Message } from '../support/wire-messages.ts';

/** Games with the names of statements and portals: whatever runs is what was decided, masked and recorded. */
let stage: Stage;
let wire: Wire;
let straight: Wire;
before(async () => {
  stage = await startStage();
});
after(() => stage.stop());

const { query, parse, bind, describe, execute, sync, close, flush } = encode;

/** `secret` has a value that no pattern finds: only the plan of the right statement hides it. */
const SECRET = 'select cvv from cards where id = 1';
const PLAIN = 'select brand from cards where id = 1';
const card = (): { cvv: string; brand: string } => stage.seeded.cards[0] ?? { cvv: '', brand: '' };

/**
 * Each script runs through the gateway and directly. The replies are the same but for the masked values: where the server
 * gives the CVV, the gateway gives stars.
 */
const games: Readonly<Record<string, readonly Buffer[]>> = {
  'a name defined anew in one pipeline': [
    parse({ name: 's', text: PLAIN }),
    bind({ statement: 's' }),
    execute(),
    close('S', 's'),
    parse({ name: 's', text: SECRET }),
    bind({ statement: 's' }),
    execute(),
    sync(),
  ],
  'a name defined anew across Sync groups': [
    parse({ name: 's', text: PLAIN }),
    sync(),
    bind({ statement: 's' }),
    execute(),
    sync(),
    close('S', 's'),
    sync(),
    parse({ name: 's', text: SECRET }),
    sync(),
    bind({ statement: 's' }),
    execute(),
    sync(),
  ],
  'a definition that is refused because the name is taken': [
    parse({ name: 's', text: SECRET }),
    sync(),
    parse({ name: 's', text: PLAIN }),
    sync(),
    bind({ statement: 's' }),
    execute(),
    sync(),
  ],
  'a definition that is refused, and a Bind behind it in the same group': [
    parse({ name: 's', text: SECRET }),
    sync(),
    parse({ name: 's', text: PLAIN }),
    bind({ statement: 's' }),
    execute(),
    sync(),
    bind({ statement: 's' }),
    execute(),
    sync(),
  ],
  'the unnamed statement anew in group after group, some of them refused': [
    parse({ text: SECRET }),
    bind(),
    execute(),
    sync(),
    parse({ text: PLAIN }),
    bind(),
    execute(),
    sync(),
    parse({ text: 'selec' }),
    bind(),
    execute(),
    sync(),
    parse({ text: SECRET }),
    bind(),
    execute(),
    sync(),
    parse({ text: 'select 1/0' }),
    bind(),
    execute(),
    sync(),
    bind(),
    execute(),
    sync(),
    parse({ text: PLAIN }),
    bind(),
    execute(),
    sync(),
  ],
  'a name defined in group after group, refused while it is taken': [
    parse({ name: 's', text: SECRET }),
    sync(),
    parse({ name: 's', text: PLAIN }),
    bind({ statement: 's' }),
    execute(),
    sync(),
    close('S', 's'),
    sync(),
    parse({ name: 's', text: PLAIN }),
    bind({ statement: 's' }),
    execute(),
    sync(),
    parse({ name: 's', text: SECRET }),
    sync(),
    bind({ statement: 's' }),
    execute(),
    sync(),
    close('S', 's'),
    sync(),
  ],
  'a refused definition, then one that is taken, then its use': [
    parse({ name: 's', text: 'selec' }),
    sync(),
    parse({ name: 's', text: SECRET }),
    bind({ statement: 's' }),
    execute(),
    sync(),
    parse({ name: 's', text: 'selec' }),
    sync(),
    bind({ statement: 's' }),
    execute(),
    sync(),
    close('S', 's'),
    sync(),
  ],
  'a skipped Parse, then a Bind of what was there before': [
    parse({ name: 's', text: SECRET }),
    sync(),
    parse({ text: 'select 1/0' }),
    bind(),
    execute(),
    close('S', 's'),
    parse({ name: 's', text: PLAIN }),
    sync(),
    bind({ statement: 's' }),
    execute(),
    sync(),
  ],
  'a skipped Close': [
    parse({ name: 's', text: SECRET }),
    sync(),
    parse({ text: 'select 1/0' }),
    bind(),
    execute(),
    close('S', 's'),
    sync(),
    bind({ statement: 's' }),
    execute(),
    sync(),
  ],
  'a Close, then a Bind': [
    parse({ name: 's', text: SECRET }),
    close('S', 's'),
    bind({ statement: 's' }),
    execute(),
    sync(),
    bind({ statement: 's' }),
    sync(),
  ],
  'a Close of what does not exist': [close('S', 'nowhere'), close('P', 'nowhere'), sync()],
  'the unnamed statement redefined under a bound portal': [
    query('begin'),
    parse({ text: SECRET }),
    bind({ portal: 'p' }),
    parse({ text: PLAIN }),
    execute('p'),
    bind(),
    execute(),
    sync(),
    query('commit'),
  ],
  'a statement closed under its portal': [
    query('begin'),
    parse({ name: 's', text: SECRET }),
    bind({ portal: 'p', statement: 's' }),
    close('S', 's'),
    execute('p'),
    sync(),
    query('commit'),
  ],
  'an unnamed statement gone after a simple query': [parse({ text: SECRET }), sync(), query('select 1'), bind(), execute(), sync()],
  'an unnamed portal gone after a simple query': [
    query('begin'),
    parse({ text: SECRET }),
    bind(),
    sync(),
    query('select 1'),
    execute(),
    sync(),
    query('rollback'),
  ],
  'portals gone at the end of the transaction': [parse({ text: SECRET }), bind({ portal: 'p' }), sync(), execute('p'), sync()],
  'two portals by turns': [
    query('begin'),
    parse({ name: 'a', text: 'select cvv from cards order by id' }),
    parse({ name: 'b', text: 'select brand from cards order by id' }),
    bind({ portal: 'pa', statement: 'a' }),
    bind({ portal: 'pb', statement: 'b' }),
    execute('pa', 2),
    execute('pb', 2),
    execute('pa', 3),
    execute('pb', 3),
    sync(),
    execute('pa', 1),
    execute('pb', 1),
    sync(),
    close('P', 'pa'),
    close('P', 'pb'),
    close('S', 'a'),
    close('S', 'b'),
    sync(),
    query('commit'),
  ],
  'one portal in pieces, described in between': [
    query('begin'),
    parse({ text: 'select cvv, brand from cards order by id' }),
    bind({ portal: 'p' }),
    execute('p', 2),
    describe('P', 'p'),
    execute('p', 2),
    flush(),
    execute('p', 0),
    execute('p', 0),
    sync(),
    query('commit'),
  ],
  'one portal name bound to another statement': [
    query('begin'),
    parse({ name: 'a', text: PLAIN }),
    parse({ name: 'b', text: SECRET }),
    bind({ portal: 'p', statement: 'a' }),
    execute('p'),
    close('P', 'p'),
    bind({ portal: 'p', statement: 'b' }),
    execute('p'),
    sync(),
    query('commit'),
    close('S', 'a'),
    close('S', 'b'),
    sync(),
  ],
  'a portal name that is taken': [
    query('begin'),
    parse({ name: 'a', text: SECRET }),
    bind({ portal: 'p', statement: 'a' }),
    parse({ text: PLAIN }),
    bind({ portal: 'p' }),
    execute('p'),
    sync(),
    query('rollback'),
    close('S', 'a'),
    sync(),
  ],
  'the unnamed portal bound again and again': [
    parse({ name: 'a', text: PLAIN }),
    parse({ name: 'b', text: SECRET }),
    bind({ statement: 'a' }),
    execute(),
    bind({ statement: 'b' }),
    execute(),
    bind({ statement: 'a' }),
    execute(),
    sync(),
    close('S', 'a'),
    close('S', 'b'),
    sync(),
  ],
  'PREPARE by SQL, Bind by protocol': [query(`prepare s as ${SECRET}`), bind({ statement: 's' }), execute(), sync(), query('deallocate s')],
  'PREPARE by SQL, Describe and Bind by protocol in one pipeline': [
    query(`prepare s as ${SECRET}`),
    describe('S', 's'),
    bind({ statement: 's' }),
    describe('P', ''),
    execute(),
    sync(),
    query('deallocate s'),
  ],
  'Parse by protocol, EXECUTE by SQL': [parse({ name: 's', text: SECRET }), sync(), query('execute s'), query('deallocate s')],
  'Parse by protocol, EXECUTE by SQL in the extended protocol': [
    parse({ name: 's', text: SECRET }),
    sync(),
    parse({ text: 'execute s' }),
    bind(),
    execute(),
    sync(),
    close('S', 's'),
    sync(),
  ],
  'PREPARE and EXECUTE by SQL with a value': [
    query('prepare s (int) as select brand, cvv from cards where id = $1'),
    query('execute s(2)'),
    query('execute s(3)'),
    query('deallocate s'),
  ],
  'DEALLOCATE by SQL, Bind by protocol': [
    parse({ name: 's', text: SECRET }),
    sync(),
    query('deallocate s'),
    bind({ statement: 's' }),
    execute(),
    sync(),
  ],
  'DEALLOCATE, then another statement by that name': [
    parse({ name: 's', text: PLAIN }),
    sync(),
    query('deallocate s'),
    parse({ name: 's', text: SECRET }),
    bind({ statement: 's' }),
    execute(),
    sync(),
    close('S', 's'),
    sync(),
  ],
  'DEALLOCATE ALL, then another statement by that name': [
    parse({ name: 's', text: PLAIN }),
    sync(),
    query('deallocate all'),
    parse({ name: 's', text: SECRET }),
    bind({ statement: 's' }),
    execute(),
    sync(),
    close('S', 's'),
    sync(),
  ],
  'DISCARD ALL, then the name': [
    parse({ name: 's', text: SECRET }),
    sync(),
    query('discard all'),
    bind({ statement: 's' }),
    execute(),
    sync(),
  ],
  'a PREPARE that fails over a name that exists': [
    parse({ name: 's', text: SECRET }),
    sync(),
    query(`prepare s as ${PLAIN}`),
    query('execute s'),
    bind({ statement: 's' }),
    execute(),
    sync(),
    query('deallocate s'),
  ],
  'a DEALLOCATE that fails with its transaction': [
    parse({ name: 's', text: SECRET }),
    sync(),
    query('begin'),
    query('select 1/0'),
    query('deallocate s'),
    query('rollback'),
    bind({ statement: 's' }),
    execute(),
    sync(),
    query('deallocate s'),
  ],
  'a cursor by SQL, fetched by SQL': [
    query('begin'),
    query('declare c cursor for select cvv, brand from cards order by id'),
    query('fetch 2 from c'),
    query('fetch 2 from c'),
    query('close c'),
    query('commit'),
  ],
  'a cursor with hold, fetched in the extended protocol': [
    query(`declare c cursor with hold for ${SECRET}`),
    parse({ text: 'fetch all from c' }),
    bind(),
    execute(),
    sync(),
    query('close c'),
  ],
  'Describe of a statement, then its execution': [
    parse({ name: 's', text: SECRET }),
    describe('S', 's'),
    sync(),
    bind({ statement: 's' }),
    execute(),
    sync(),
    close('S', 's'),
    sync(),
  ],
  'a statement without rows among others': [
    parse({ text: 'begin' }),
    bind(),
    describe('P', ''),
    execute(),
    parse({ text: SECRET }),
    bind(),
    execute(),
    parse({ text: 'commit' }),
    bind(),
    execute(),
    sync(),
  ],
  'an empty statement among others': [
    parse({ text: '' }),
    bind(),
    describe('P', ''),
    execute(),
    parse({ text: SECRET }),
    bind(),
    execute(),
    sync(),
  ],
};

for (const [name, messages] of Object.entries(games)) {
  for (const pace of ['at once', 'reply by reply'] as const) {
    test(`${name}, ${pace}`, async () => {
      [wire, straight] = await Promise.all([stage.connect(stage.analyst), stage.direct(stage.analyst)]);
      const actual = await play(wire, messages, pace);
      const expected = await play(straight, messages, pace);
      assert.deepEqual(
        actual.map((message) => outline(message, false)),
        expected.map((message) => outline(message, true)),
      );
      await Promise.all([wire.end(), straight.end()]);
    });
  }
}

test('each execution is recorded under the text that ran', async () => {
  const sql = await stage.connect(stage.analyst);
  const earlier = stage.record().length;
  await play(sql, games['a name defined anew in one pipeline'] ?? [], 'at once');
  await sql.end();
  const lines = (await stage.settledRecord()).slice(earlier);
  const texts = new Map(lines.filter((line) => line['kind'] === 'parse').map((line) => [line.seq, line['text']]));
  const runs = lines.filter((line) => line['kind'] === 'bind').map((line) => texts.get(line['stmt'] as number));
  assert.deepEqual(
    runs.map((text) => /cvv|brand/.exec(String(text))?.[0]),
    ['brand', 'cvv'],
  );
  const masked = lines.filter((line) => line.type === 'result' && line['columns'] !== undefined);
  assert.deepEqual(
    masked.map((line: RecordLine) => line['columns']),
    [['cvv']],
  );
});

async function play(on: Wire, messages: readonly Buffer[], pace: 'at once' | 'reply by reply'): Promise<Message[]> {
  const replies: Message[] = [];
  const until = async (done: (cycle: Cycle) => boolean): Promise<void> => {
    for (;;) {
      const cycle = await on.cycle();
      assert.notEqual(cycle.status, '', 'the connection ended');
      if (done(cycle)) return;
      replies.push(...cycle.messages);
    }
  };
  if (pace === 'at once') {
    on.send(...messages, query("select 'end'"));
    await until((cycle) => cycle.rows[0]?.[0] === 'end');
    return replies;
  }
  let group: Buffer[] = [];
  for (const message of messages) {
    group.push(message);
    const type = String.fromCharCode(message[0] ?? 0);
    if (type !== 'S' && type !== 'Q') continue;
    on.send(...group);
    group = [];
    replies.push(...(await on.cycle()).messages);
  }
  return replies;
}

/** `mask`: shows each CVV of the server's as the gateway should. */
function outline(message: Message, mask: boolean): string {
  const cvvs = new Set(stage.seeded.cards.map((one) => one.cvv));
  const values = message.values.map((value) => {
    const text = value?.toString('utf8') ?? 'null';
    return mask && cvvs.has(text) ? '*'.repeat(text.length) : text;
  });
  const status = message.name === 'ReadyForQuery' ? message.body.toString('latin1') : '';
  return `${message.name} ${message.tag}${status}${message.error['C'] ?? ''} ${message.fields.map((field) => field.name).join()} ${values.join('|')}`;
}

test('the values that the games are about are what they seem', async () => {
  const [row] = (await stage.server.sql(`${SECRET.replace('cvv', 'cvv, brand')}`, 'payments'))[0]?.rows ?? [];
  assert.deepEqual(row, { cvv: card().cvv, brand: card().brand });
});

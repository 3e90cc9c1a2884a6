import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { recordedBytes, type Stage, startStage } from '../support/stage.ts';
import type { Cycle, Wire } from '../support/wire.ts';
import { encode } from '../support/wire-messages.ts';

/**
 * No type hides a card number. The list is the server's own catalog: each type that takes the number in some form that its kind
 * has, in tables of one column; so a type that a new version brings is tried as well.
 */
const CARD = '4111111111111111';
const FORMS = [
  CARD,
  `[${CARD},${CARD}]`,
  `{[${CARD},${CARD}]}`,
  `(${CARD},0)`,
  `((${CARD},0),(0,${CARD}))`,
  `{${CARD},0,1}`,
  `<(${CARD},0),1>`,
  `{"n":${CARD}}`,
  `{${CARD}}`,
  `{"[${CARD},${CARD}]"}`,
  `{"{[${CARD},${CARD}]}"}`,
  `{"(${CARD},0)"}`,
  `{"((${CARD},0),(0,${CARD}))"}`,
  `{"{${CARD},0,1}"}`,
  `{"<(${CARD},0),1>"}`,
  `\\x${Buffer.from(CARD).toString('hex')}`,
];
const OWN_TYPES = `
create domain cardno as int8;
create domain cardnos as int8[];
create domain amount as numeric check (value > 0);
create domain likely as float8;
create type pair as (id int, card int8);
create type nested as (cards int8[], n cardno, f float8, m money, p pair, b bytea);
create type span as range (subtype = cardno, multirange_type_name = spans);
create type label as enum ('${CARD}', 'none');
create table made_1 (v cardno); insert into made_1 values (${CARD});
create table made_2 (v cardno[]); insert into made_2 values (array[${CARD}]::cardno[]);
create table made_3 (v cardnos); insert into made_3 values (array[${CARD}]);
create table made_4 (v amount[]); insert into made_4 values (array[${CARD}]::amount[]);
create table made_5 (v likely[]); insert into made_5 values (array[${CARD}]::likely[]);
create table made_6 (v pair); insert into made_6 values (row(1, ${CARD}));
create table made_7 (v pair[]); insert into made_7 values (array[row(1, ${CARD})]::pair[]);
create table made_8 (v nested);
insert into made_8 values (row(array[${CARD}], ${CARD}, ${CARD}, ${CARD}::money, row(1, ${CARD}), '${CARD}'));
create table made_9 (v nested[]); insert into made_9 select array_agg(v) from made_8;
create table made_10 (v span); insert into made_10 values (span(${CARD}, null));
create table made_11 (v spans); insert into made_11 values (spans(span(${CARD}, null)));
create table made_12 (v label); insert into made_12 values ('${CARD}');
create table made_13 (v json); insert into made_13 values (to_json(${CARD}::float8));
create table made_14 (v bytea[]); insert into made_14 values (array['${CARD}'::bytea]);
create domain word as text;
create table made_15 (v word[]); insert into made_15 values (array['${CARD}']::word[]);
create domain price as money;
create table made_16 (v price[]); insert into made_16 values (array[${CARD}::money]::price[]);
`;
const SETUP = `${OWN_TYPES}
create table held (name text, made text);
do $$
declare t record; form text; made int := 0; name text;
begin
  for t in select oid, typname from pg_type
    where typnamespace = 'pg_catalog'::regnamespace and typtype in ('b', 'r', 'm') order by oid
  loop
    foreach form in array array[${FORMS.map((form) => `'${form}'`).join(',')}]
    loop
      begin
        name := 'type_' || made;
        execute format('create table %I (v pg_catalog.%I)', name, t.typname);
        execute format('insert into %I values (%L::pg_catalog.%I)', name, form, t.typname);
        insert into held values (t.typname, name);
        made := made + 1;
        exit;
      exception when others then null;
      end;
    end loop;
  end loop;
end $$;
insert into held select 'made', 'made_' || i from generate_series(1, 16) i;
grant all on all tables in schema public to app_rw, app_ro;`;

/** How a card number shows: as text, in the binary forms of the types, and in what the text formats make of those. */
function clear(bytes: Buffer): string | null {
  const number = Buffer.alloc(8);
  number.writeBigInt64BE(BigInt(CARD));
  const float = Buffer.alloc(8);
  float.writeDoubleBE(Number(CARD));
  const cents = Buffer.alloc(8);
  cents.writeBigInt64BE(BigInt(CARD) * 100n);
  const shows: readonly (readonly [string, Buffer])[] = [
    ['text', Buffer.from(CARD)],
    ['exponent', Buffer.from('4.111111111111111e+15')],
    ['grouped', Buffer.from('4,111,111,111,111,111')],
    ['hexadecimal', Buffer.from(Buffer.from(CARD).toString('hex'))],
    ['int8', number],
    ['float8', float],
    ['money', cents],
    ['numeric', Buffer.from([4111, 1111, 1111, 1111].flatMap((group) => [group >> 8, group & 255]))],
  ];
  return shows.find(([, form]) => bytes.includes(form))?.[0] ?? null;
}

let stage: Stage;
let wire: Wire;
let held: (readonly [string, string])[];
before(async () => {
  stage = await startStage({ setup: SETUP });
  wire = await stage.connect(stage.developer);
  held = (await wire.query('select name, made from held')).rows.map(([name, made]) => [name ?? '', made ?? '']);
});
after(async () => {
  await wire?.end();
  await stage?.stop();
});

const ways: Record<string, (table: string) => Promise<Cycle>> = {
  'text rows': (table) => wire.query(`select v from ${table}`),
  'binary rows': (table) => wire.extended(`select v from ${table}`, [], { binary: true }),
  'binary rows of records': (table) => wire.extended(`select t, array[v] from ${table} t`, [], { binary: true }),
  'text rows of records': (table) => wire.query(`select t, array[v] from ${table} t`),
};
for (const format of ['text', 'csv', 'binary']) {
  ways[`${format} COPY of a table`] = (table) => wire.query(`copy ${table} to stdout (format ${format})`);
  ways[`${format} COPY of a query`] = (table) => wire.query(`copy (select v from ${table}) to stdout (format ${format})`);
  ways[`${format} COPY of a query of records, extended`] = (table) => {
    wire.send(
      encode.parse({ text: `copy (select t, v from ${table} t) to stdout (format ${format})` }),
      encode.bind(),
      encode.execute(),
      encode.sync(),
    );
    return wire.cycle();
  };
}

// An array type without the number in it would be a hole in the test itself.
test('the list holds what is known to hold numbers', () => {
  const names = new Set(held.map(([name]) => name));
  for (const name of [
    'int8',
    '_int8',
    'numeric',
    '_numeric',
    'float8',
    '_float8',
    'money',
    '_money',
    'int8range',
    'int8multirange',
    'numrange',
  ])
    assert.ok(names.has(name), name);
  for (const name of [
    '_int8range',
    'point',
    'polygon',
    'path',
    'xid8',
    'json',
    'jsonb',
    'bytea',
    '_bytea',
    'xml',
    'tsvector',
    'text',
    '_text',
  ])
    assert.ok(names.has(name), name);
});

for (const [way, ask] of Object.entries(ways)) {
  test(`no type shows a card number: ${way}`, async () => {
    const shown: string[] = [];
    for (const [name, table] of held) {
      const cycle = await ask(table);
      const errors = cycle.errors.map((error) => error['M']);
      // Some types have no binary form, or no array.
      if (errors.length > 0 && !/no binary output function|could not find array type/.test(errors.join()))
        shown.push(`${name} ${table}: ${errors.join()}`);
      const form = clear(Buffer.concat(cycle.messages.map((message) => message.raw)));
      if (form !== null) shown.push(`${name} ${table}: ${form}`);
      assert.equal(cycle.status, 'I');
    }
    assert.deepEqual(shown, []);
  });
}

test('what is masked keeps its type and its last digits', async () => {
  const rows = async (text: string) => (await wire.query(text)).copied.trim();
  assert.equal(
    await rows(`copy (select ${CARD}, '${CARD}', ${CARD}::float8) to stdout`),
    '0000000000001111\t************1111\t0.000000000000000e+00',
  );
  assert.equal(await rows(`copy (select json '{"n":${CARD}}') to stdout`), '{"n":            1111}');
  assert.deepEqual((await wire.query(`select ${CARD}::float8, ${CARD}::money, int8range(${CARD}, null)`)).rows, [
    ['0.000000000000000e+00', '$0,000,000,000,000,000.00', '[0000000000001111,)'],
  ]);
});

test('a COPY of a query is like any other: errors, transactions, positions', async () => {
  const wrong = await wire.query('copy (select 1, nothing) to stdout');
  assert.equal(wrong.errors[0]?.['C'], '42703');
  assert.equal(wrong.errors[0]?.['P'], '17', 'where the client wrote it');
  assert.equal(wrong.status, 'I');
  assert.equal((await wire.query('begin')).status, 'T');
  assert.equal((await wire.query('copy (select 1) to stdout')).status, 'T');
  assert.equal((await wire.query('copy (select nothing) to stdout')).status, 'E');
  assert.equal((await wire.query('copy (select 1) to stdout')).errors[0]?.['C'], '25P02');
  assert.equal((await wire.query('rollback')).status, 'I');
  const odd = await wire.query(`copy ( select ')' as ")", (1 + 1) /* ) ( */ , E'a'\n'\\')' -- )\n ) to stdout`);
  assert.deepEqual([odd.errors, odd.copied, odd.tags], [[], ")\t2\ta')\n", ['COPY 1']]);
  const two = await wire.query(`select 1; copy (select ${CARD}) to stdout (format binary)`);
  assert.deepEqual([two.errors[0]?.['C'], two.rows], ['0A000', []]);
  assert.match(two.errors[0]?.['H'] ?? '', /by itself, or use its text format/);
  assert.equal((await wire.query(`select 1; copy (select ${CARD}, '${CARD}'::bytea) to stdout`)).copied.includes(CARD), false);
});

test('the name of a column shows no card number', async () => {
  const text = `select 1 as "${CARD}", 2 as "a ${CARD}", 3 as "plain"`;
  const names = ['************1111', 'a ************1111', 'plain'];
  for (let i = 0; i < 2; i++) {
    assert.deepEqual((await wire.query(text)).columns, names);
    assert.deepEqual((await wire.extended(text)).columns, names);
  }
  wire.send(encode.parse({ text }), encode.describe('S', ''), encode.sync());
  assert.deepEqual((await wire.cycle()).columns, names);
  await wire.query(`copy (${text}) to stdout (format csv, header)`);
  await wire.query(`select repeat('x', 3) || name as "${CARD}" from held limit 1`);
});

test('nor do escapes in what is recorded of a statement', async () => {
  for (const text of [
    "select U&'4111111111\\003111111'",
    "select E'4111\\x31111 11111111'",
    "select E'4111'\n'\\061111 11111111'",
    "do $$ begin perform E'4111\\x31111 11111111'; end $$",
  ])
    await wire.query(text);
});

test('nor does the record', async () => {
  await wire.end();
  await stage.settledRecord();
  const bytes = Buffer.from(recordedBytes(stage.gateway.recordDir), 'latin1');
  assert.equal(clear(bytes), null);
  assert.ok(bytes.includes("U&'***") && !/x31111|0031111|061111/.test(bytes.toString('latin1')));
});

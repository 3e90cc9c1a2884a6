import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { recordedBytes, type Stage, startStage } from '../support/stage.ts';
import type { Wire } from '../support/wire.ts';
import { encode } from '../support/wire-messages.ts';

// Copying a protected value into a column that nobody declared, to read it there. The policies allow creating tables here,
// so that it is the gateway itself that refuses.
const CODE = 'CODEX9';
const setup = `
create table vault (id int primary key, cvv text, pan text, holder text, brand text);
insert into vault select i, '${CODE}' || i, '41111111111111' || 10 + i, 'holder ' || i, 'visa' from generate_series(1, 3) i;
create table spare (id int, pan text, cvv text);
create table notes (id int primary key, note text, meta jsonb);
insert into notes values (1, 'open'), (2, 'shut');
create function addcode(text) returns text language sql as $$ select 'added' $$;
grant all on vault, spare, notes to app_rw;`;

let stage: Stage;
let wire: Wire;
const policies = mkdtempSync(join(tmpdir(), 'sluice-policies-'));
before(async () => {
  const shipped = join(import.meta.dirname, '../../deploy/policies');
  mkdirSync(policies, { recursive: true });
  for (const file of readdirSync(shipped)) copyFileSync(join(shipped, file), join(policies, file));
  writeFileSync(
    join(policies, '50-create.cedar'),
    '@id("test.create") permit (principal, action in [Action::"create", Action::"alter"], resource);',
  );
  stage = await startStage({ setup, gateway: { sections: { policies } } });
  wire = await stage.connect(stage.developer);
});
after(async () => {
  await wire?.end();
  await stage?.stop();
  rmSync(policies, { recursive: true, force: true });
});

const code = (errors: readonly Readonly<Record<string, string>>[]): string | undefined => errors[0]?.['C'];

const copies = [
  'update notes set note = (select cvv from vault where id = 1) where id = 1',
  'update notes set note = v.pan from vault v where v.id = notes.id',
  "update notes set (id, note) = (select id, cvv || '' from vault where id = 1) where id = 1",
  'update vault set brand = cvv where id = 1',
  // A subscript is stored as well.
  "update notes set meta[(select cvv from vault where id = 1)] = '1' where id = 1",
  'update notes set meta[(select cvv from vault where id = 1)] = to_jsonb(1 + 1) where id = 1',
  "insert into notes (id, meta[(select cvv from vault where id = 1)]) values (9, '1')",
  'update vault set pan = cvv where id = 1',
  // The last digits of a card number's column are shown: this would show the first.
  "update vault set pan = '000000000000' || left(pan, 4) where id = 1",
  'insert into notes select id + 10, cvv from vault',
  'insert into notes (id, note) select id + 10, v from (select id, cvv as v from vault) s',
  "insert into notes values (1, 'x') on conflict (id) do update set note = (select cvv from vault where id = 1)",
  'with u as (insert into notes select id + 10, cvv from vault returning id) select id from u',
  'merge into notes n using vault v on n.id = v.id when matched then update set note = v.cvv',
  'merge into notes n using vault v on n.id = v.id + 10 when not matched then insert values (v.id + 10, v.cvv)',
  'copy (insert into notes select id + 10, cvv from vault returning id) to stdout',
  'explain analyze update notes set note = (select cvv from vault where id = 1) where id = 1',
  'create table loot as select cvv as note from vault',
  'create temporary table loot as select cvv as note from vault',
  'create materialized view loot as select cvv as note from vault',
  'select cvv as note into loot from vault',
];

test('a protected value is not copied into a column that is not protected', async () => {
  for (const text of copies) {
    for (const cycle of [await wire.query(text), await wire.extended(text)]) {
      assert.equal(code(cycle.errors), '42501', text);
      assert.match(cycle.errors[0]?.['M'] ?? '', /would be copied into .*, which does not protect it as well/, text);
      assert.match(JSON.stringify(cycle.errors[0]), /sluice\.copy-out/);
      assert.equal(cycle.status, 'I', 'the connection stays usable');
    }
    const prepared = await wire.query(`prepare p as ${text}`);
    assert.ok(['42501', '42601'].includes(code(prepared.errors) ?? ''), text);
  }
  assert.deepEqual((await wire.query('select id, note from notes order by id')).rows, [
    ['1', 'open'],
    ['2', 'shut'],
  ]);
});

test('a value that goes through an object of the same transaction or a prepared statement is not copied either', async () => {
  await wire.query('begin');
  assert.deepEqual((await wire.query('create table fresh (id int, note text)')).errors, []);
  assert.equal(code((await wire.query('insert into fresh select id, cvv from vault')).errors), '42501');
  await wire.query('rollback');
  await wire.query('prepare codes as select cvv as note from vault');
  assert.equal(code((await wire.query('create table loot as execute codes')).errors), '42501');
  await wire.query('deallocate codes');
});

test('what a transaction defines is not taken for what had the name before, nor is it once it is committed', async () => {
  const redefine = 'create or replace view plainly as select id, cvv as note from vault';
  await wire.query('create view plainly as select id, note from notes');
  const read = "select upper(note) || '' as note from plainly where id = 1";
  assert.deepEqual((await wire.query(read)).rows, [['OPEN']]);
  const cycles = [
    await wire.query(`begin; ${redefine}; ${read}`),
    await wire.query(read),
    await wire.extended(read),
    await wire.query(`copy (${read}) to stdout`),
    await wire.query(`declare c cursor for ${read}; fetch c`),
    await wire.query('select n.nspname || 1 from pg_namespace n limit 1'),
    await wire.query('commit'),
    await wire.query(read),
    await wire.extended(read),
  ];
  for (const cycle of cycles) {
    assert.deepEqual(cycle.errors, []);
    const text = Buffer.concat(cycle.messages.map((message) => message.raw)).toString('latin1');
    assert.ok(!text.includes(CODE), text);
  }
  assert.match(cycles[5]?.rows[0]?.[0] ?? '', /1$/, 'the catalog is what it is');
  // Sent without waiting: the second is on its way before the first is done.
  await wire.query('create or replace view plainly as select id, note from notes');
  for (const text of [redefine, read]) {
    wire.send(encode.parse({ text }), encode.bind(), encode.describe('P', ''), encode.execute(), encode.sync());
  }
  for (const cycle of [await wire.cycle(), await wire.cycle()]) {
    assert.deepEqual(cycle.errors, []);
    assert.ok(!Buffer.concat(cycle.messages.map((message) => message.raw)).includes(CODE));
  }
  await wire.query('create or replace view plainly as select id, note from notes');
  assert.deepEqual((await wire.query('select id from plainly where id = 1')).rows, [['1']]);
});

test('what keeps its protection, or holds nothing protected, is written', async () => {
  for (const text of [
    'update vault set pan = pan where id = 1',
    'update vault set holder = upper(holder) where id = 1',
    'update vault set cvv = reverse(cvv) where id = 1',
    'update vault set brand = lower(brand) where pan is not null',
    'insert into spare (id, pan, cvv) select id, pan, cvv from vault',
    'insert into spare select id, pan, cvv from vault',
    'merge into spare s using vault v on s.id = v.id when matched then update set pan = v.pan',
    'insert into notes select id + 20, brand from vault',
    'insert into notes select 30, count(*)::text from vault',
    "update notes set note = 'seen' where id in (select id from vault where pan like '4%')",
    'create table brands as select id, brand from vault',
    'create view codes as select cvv as note from vault',
    'create temporary table mine (a text, b text); update mine set a = b where a is null',
  ]) {
    const cycle = await wire.query(`begin; explain analyze select 1; ${text}; rollback`);
    assert.deepEqual(cycle.errors, [], text);
  }
  assert.deepEqual((await wire.extended('insert into notes (id, note) values ($1, $2)', ['40', 'bound'])).errors, []);
});

test('literals that are compared with whole rows or renamed columns, or given to functions of users, are not recorded', async () => {
  for (const text of [
    "select id from vault t(id, a, b, c, d) where a = 'RECORDED1'",
    "select id from vault where vault = row(1, 'RECORDED1'::text, ''::text, ''::text, ''::text)",
    "select id from vault where vault::text like '%RECORDED1%'",
    "select id from (select * from vault) s(id, a) where a = 'RECORDED1'",
    "select id from vault where (1, 'RECORDED1', '', '', '') in (table vault)",
    "select addcode('RECORDED1')",
    "select public.addcode('RECORDED1')",
  ]) {
    assert.deepEqual((await wire.query(text)).errors, [], text);
  }
  await wire.extended('select addcode($1)', ['RECORDED1']);
  await wire.query("select id from notes n(id, a) where a = 'LEGIBLE1'");
  await wire.end();
  await stage.settledRecord();
  const record = recordedBytes(stage.gateway.recordDir);
  assert.ok(!record.includes('RECORDED1'));
  assert.ok(record.includes('LEGIBLE1'));
  assert.ok(!record.includes(CODE));
});

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CARRIERS, HARMLESS } from '../../src/protocols/postgres/carriers.ts';
import { startPostgres } from '../support/postgres.ts';
import { type Stage, startStage } from '../support/stage.ts';
import type { Wire } from '../support/wire.ts';

/** Functions that could carry a protected value out of a statement: the list is the server's own, and none goes unlooked at. */
const SETUP = `
create sequence seq; grant all on seq to app_rw;
create table notes (id int primary key, note text); insert into notes values (1, 'open'); grant all on notes to app_rw, app_ro;
create type pair as (id int, name text); create table pairs (p pair); insert into pairs values ((1, 'one')); grant all on pairs to app_rw;`;
const VOLATILE = `select distinct proname::text as name from pg_proc where pronamespace = 'pg_catalog'::regnamespace and provolatile = 'v'
  and pronargs > 0 and not 'internal'::regtype = any (proargtypes)`;

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

let stage: Stage;
let wire: Wire;
before(async () => {
  stage = await startStage({ setup: SETUP });
  wire = await stage.connect(stage.developer);
});
after(async () => {
  await wire?.end();
  await stage?.stop();
});

const namesOf = (results: readonly { readonly rows: readonly { readonly name: string }[] }[]): string[] =>
  (results[0]?.rows ?? []).map(({ name }) => name);
/** In neither list, or in both. */
const unlooked = (names: readonly string[]): string[] => names.filter((name) => CARRIERS.has(name) === HARMLESS.has(name));

test('every volatile function of the server has been looked at', async () => {
  const names = namesOf(await stage.server.sql(VOLATILE));
  for (const name of ['setseed', 'setval', 'pg_sleep', 'pg_advisory_lock', 'lo_put', 'nextval', 'random'])
    assert.ok(names.includes(name), `the list itself holds ${name}`);
  assert.deepEqual(unlooked(names), []);
});

test('and of an older one', { skip: existsSync('/usr/lib/postgresql/15') ? false : 'needs the PostgreSQL 15 of Debian' }, async () => {
  const older = await startPostgres({ version: 'debian' });
  try {
    assert.deepEqual(unlooked(namesOf(await older.sql(VOLATILE))), []);
  } finally {
    await older.stop();
  }
});

test('what is listed is there', async () => {
  const names = new Set(
    namesOf(await stage.server.sql("select proname::text as name from pg_proc where pronamespace = 'pg_catalog'::regnamespace")),
  );
  // Of servers up to 15.
  const gone = ['pg_read_file_old', 'pg_start_backup', 'pg_stop_backup'];
  assert.deepEqual([...CARRIERS, ...HARMLESS].filter((name) => !names.has(name)).sort(), gone);
});

test('the lists of the analysis and of the shipped policies say the same where they speak of the same functions', async () => {
  const forbidden = new Set([...read('deploy/policies/30-escapes.cedar').matchAll(/"([\w.]+)"/g)].map(([, name]) => name ?? ''));
  const body = /pub fn reaches_data[^{]*\{([\s\S]*?)\n\}/.exec(read('native/sql/src/builtins.rs'))?.[1] ?? '';
  const [prefixes = [], exact = []] = [...body.matchAll(/= &\[([^\]]*)\]/g)].map(([, list]) =>
    [...(list ?? '').matchAll(/"(\w+)"/g)].map(([, name]) => name ?? ''),
  );
  assert.ok(prefixes.includes('lo_') && exact.includes('query_to_xml') && forbidden.has('pg_read_file'), 'the lists were found');
  const reaches = (name: string): boolean => exact.includes(name) || prefixes.some((prefix) => name.startsWith(prefix));

  assert.deepEqual(
    [...HARMLESS].filter((name) => forbidden.has(name) || reaches(name)),
    [],
    'harmless to all or to none',
  );
  // They show what this session has prepared and declared itself.
  const own = ['pg_cursor', 'pg_prepared_statement'];
  const known = read('native/sql/data/functions.txt').split('\n');
  assert.deepEqual(
    known.filter((name) => reaches(name) && !forbidden.has(name)),
    own,
    'what reaches data is forbidden',
  );
  const volatile = namesOf(await stage.server.sql(VOLATILE));
  assert.deepEqual(
    volatile.filter((name) => (reaches(name) || forbidden.has(name)) && !CARRIERS.has(name)),
    [],
    'and carries',
  );
});

const CODE = '(select cvv from cards where id = 1)';
const carrying = [
  `select setseed(${CODE}::float8 / 1000)`,
  `select pg_catalog.setseed(${CODE}::float8 / 1000)`,
  `select payments.pg_catalog.setseed(${CODE}::float8 / 1000)`,
  `select U&"\\0073etseed"(${CODE}::float8 / 1000)`,
  // PostgreSQL reads a field that is not there as a call.
  `select (${CODE}::float8 / 1000).setseed`,
  `select (select ${CODE}::float8 / 1000).setseed`,
  `select (${CODE}::int8).pg_advisory_lock`,
  `select * from setseed(${CODE}::float8 / 1000)`,
  `select 1 from notes where setseed(${CODE}::float8 / 1000) is null`,
  `select pg_restore_relation_stats('schemaname', 'public', 'relname', 'notes', 'relpages', ${CODE}::int)`,
  `select pg_restore_attribute_stats('schemaname', 'public', 'relname', 'notes', 'null_frac', ${CODE}::real)`,
  `select pg_clear_relation_stats('public', ${CODE})`,
  `select setval('seq', ${CODE}::int8)`,
  `select array_sample(array[1, 2, 3], ${CODE}::int % 3)`,
  `select pg_sleep(${CODE}::float8 / 1000000)`,
  `select pg_notify('x', ${CODE})`,
  `select pg_advisory_xact_lock(${CODE}::int8)`,
  `select pg_stat_reset_single_table_counters(${CODE}::oid)`,
  `with c as (select cvv from cards) select setseed(cvv::float8 / 1000) from c`,
  `prepare leak as select setseed(${CODE}::float8 / 1000)`,
];
for (const text of carrying)
  test(`carries: ${text}`, async () => {
    for (const cycle of [await wire.query(text), ...(text.startsWith('prepare') ? [] : [await wire.extended(text)])]) {
      assert.deepEqual([cycle.errors[0]?.['C'], cycle.rows], ['42501', []]);
      assert.match(cycle.errors[0]?.['M'] ?? '', /sluice\.carrier|escape\./);
    }
  });

for (const text of [
  "select nextval('seq'), currval('seq')",
  'select pg_sleep(0.001)',
  'select setseed(0.5)',
  'select pg_advisory_xact_lock(7)',
  "insert into notes select nextval('seq') + 100, 'x' from cards limit 1",
  'select brand from cards order by random() limit 1',
  "select brand, pg_relation_size('cards') from cards limit 1",
  'select (p).id, (p).name from pairs',
])
  test(`does not: ${text}`, async () => {
    assert.deepEqual((await wire.query(text)).errors, []);
  });

test('a field that is a function of the server is seen by the policies', async () => {
  for (const text of ["select ('/etc/hostname'::text).pg_read_file", "select ('.'::text).pg_ls_dir", 'select (1).pg_stat_get_activity'])
    assert.match((await wire.query(text)).errors[0]?.['M'] ?? '', /by policy escape\./, text);
});

test('what no list knows carries by the word of the server', async () => {
  await stage.server.sql(
    'set allow_system_table_mods = on; create function pg_catalog.pg_of_tomorrow(text) returns void language sql as $$ select $$',
    'payments',
  );
  while (!/sluice\.carrier/.test((await wire.query(`select pg_of_tomorrow(${CODE})`)).errors[0]?.['M'] ?? '')) await readAgain();
});

let made = 0;
/** The gateway reads the catalog when a reply names a table that it does not know. */
async function readAgain(): Promise<void> {
  made++;
  await stage.server.sql(`create table made_${made} (id int); grant all on made_${made} to app_rw`, 'payments');
  await wire.query(`select id from made_${made}`);
}

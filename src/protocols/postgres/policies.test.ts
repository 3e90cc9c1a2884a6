import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { analyzeSql } from '../../../native/binding/index.js';
import { adminVocabulary } from '../../policy/admin-vocabulary.ts';
import { loadPolicies } from '../../policy/engine.ts';
import type { Decision, Principal, Target } from '../../policy/model.ts';
import { analysisOf } from './analysis.ts';
import { operationOf } from './policy-operation.ts';
import { postgresVocabulary } from './vocabulary.ts';

// The policies that ship, with statements as real clients send them.
const engine = loadPolicies(join(import.meta.dirname, '../../../deploy/policies'), [postgresVocabulary, adminVocabulary]);
const target: Target = { resource: 'payments', kind: 'postgres', account: 'read-only', address: '127.0.0.1:5432' };

function member(...groups: string[]): Principal {
  return {
    kind: 'user',
    name: 'dev1',
    issuer: 'gw-1',
    subject: 'dev1',
    groups,
    credential: { kind: 'local-token', id: 'j', expiresAt: 0 },
    claims: {},
  };
}
const analyst = member('analysts');
const developer = member('developers');

/** Decides every statement of the text; the first denial counts. */
function decide(principal: Principal, sql: string, account = 'read-only'): Decision {
  const bytes = Buffer.from(sql);
  const analysis = analysisOf(analyzeSql(bytes, 0, bytes.length));
  assert.equal(analysis.error, undefined, `${sql}: ${analysis.error}`);
  const decisions = (analysis.statements ?? []).map((statement) =>
    engine.decide(principal, { ...target, account }, operationOf(statement)),
  );
  assert.ok(decisions.length > 0, sql);
  return (
    decisions.find((decision) => decision.kind === 'deny') ?? decisions.find(({ kind }) => kind === 'approve') ?? (decisions[0] as Decision)
  );
}

function allowed(principal: Principal, ...statements: string[]): void {
  for (const sql of statements) {
    const decision = decide(principal, sql);
    assert.equal(decision.kind, 'allow', `${sql}\n${decision.kind === 'allow' ? '' : decision.message}`);
  }
}

/** `policy` undefined: nothing permits it. */
function denied(principal: Principal, policy: string | undefined, ...statements: string[]): void {
  for (const sql of statements) {
    const decision = decide(principal, sql);
    assert.ok(decision.kind === 'deny', `${sql} is allowed by ${decision.policies.join()}`);
    assert.notEqual(decision.reason, 'error', `${sql}: ${decision.message}`);
    if (policy === undefined) assert.equal(decision.reason, 'no-permit', `${sql}: ${decision.message}`);
    else assert.ok(decision.policies.includes(policy), `${sql} is denied by ${decision.policies.join()}, not by ${policy}`);
    assert.notEqual(decision.hint, '');
  }
}

function needsApproval(principal: Principal, policy: string, group: string, ...statements: string[]): void {
  for (const sql of statements) {
    const decision = decide(principal, sql);
    assert.ok(decision.kind === 'approve', `${sql}: ${decision.kind}`);
    assert.deepEqual([decision.policies, decision.approvers], [[policy], [{ group, needed: 1 }]], sql);
  }
}

test('the documentation lists every action in its group, and every fact', () => {
  const docs = readFileSync(join(import.meta.dirname, '../../../docs/policy.md'), 'utf8');
  const rows = new Map(
    [...docs.matchAll(/^\| (?:`(\w+)`|none) \| ([a-z_, ]+) \|$/gm)].map(([, group = '', actions = '']) => [group, actions.split(', ')]),
  );
  for (const [action, groups] of Object.entries(postgresVocabulary.actions)) assert.ok(rows.get(groups[0] ?? '')?.includes(action), action);
  const groups = new Set(Object.values(postgresVocabulary.actions).map(([group]) => group ?? ''));
  const listed = [...rows].flatMap(([group, actions]) => (groups.has(group) ? actions : []));
  assert.equal(listed.length, Object.keys(postgresVocabulary.actions).length);
  for (const name of Object.keys(postgresVocabulary.context)) assert.ok(docs.includes(`| \`${name}\` |`), name);
});

test('nobody without a group gets anything', () => {
  for (const who of [member(), member('guests')])
    denied(who, undefined, 'select 1', 'select * from cards', 'begin', 'set work_mem = 1', 'select relname from pg_class');
});

test('analysts read', () => {
  allowed(
    analyst,
    'select * from cards c join public.customers u on u.id = c.customer_id where u.name like $1 order by 1 limit 10',
    'select count(*), sum(amount) from payments group by day',
    'with recent as (select * from payments) select * from recent',
    'table cards',
    'values (1), (2)',
    'explain select * from cards',
    'explain (analyze, buffers) select * from cards',
    'show search_path',
    'copy cards to stdout',
    'copy (select id from cards) to stdout (format csv)',
    'begin isolation level repeatable read read only',
    'savepoint a',
    'rollback to a',
    'commit',
    'rollback',
    'prepare q (int) as select * from cards where id = $1',
    'execute q (1)',
    'deallocate q',
    'declare c cursor for select * from cards',
    'fetch 10 from c',
    'move 1 in c',
    'close c',
    'listen jobs',
    'unlisten *',
    'discard all',
    'reset all',
  );
});

test('analysts change nothing', () => {
  denied(
    analyst,
    undefined,
    'insert into cards values (1)',
    'update cards set x = 1 where id = 1',
    'delete from cards where id = 1',
    'with gone as (delete from cards where id = 1 returning *) select * from gone',
    'explain analyze update cards set x = 1 where id = 1',
    'prepare p as delete from cards where id = 1',
    'select * into copy_of_cards from cards',
    'create table t as select * from cards',
    'copy cards from stdin',
    'lock table cards',
    'call settle()',
    'create view v as select 1',
    'vacuum cards',
    'refresh materialized view m',
    'comment on table cards is $$x$$',
  );
});

test('developers insert, update, delete and merge', () => {
  allowed(
    developer,
    'insert into cards (id) select id from staging on conflict do nothing returning id',
    'update cards set x = 1 where id = $1',
    'delete from only cards where id = 1',
    'with moved as (delete from cards where id = 1 returning *) insert into old_cards select * from moved',
    'merge into cards c using staging s on c.id = s.id when not matched then insert values (s.id)',
    'copy staging from stdin with (format binary)',
    'lock table cards in access share mode',
    'select * from cards for update',
    'explain analyze update cards set x = 1 where id = 1',
  );
  denied(
    developer,
    undefined,
    'create table t (a int)',
    'alter table cards add column x int',
    'call settle()',
    'create index on cards (id)',
  );
});

test('an analyst on the read-write account is refused, a developer is not', () => {
  const decision = decide(analyst, 'select 1', 'read-write');
  assert.ok(decision.kind === 'deny');
  assert.deepEqual(
    [decision.reason, decision.policies, decision.hint],
    ['forbidden', ['access.analysts-read-only'], 'log in as <user>+read-only, or ask: sluice request RESOURCE --role read-write'],
  );
  assert.equal(decide(member('analysts', 'developers'), 'select 1', 'read-write').kind, 'allow');
});

test('nothing is dropped or truncated', () => {
  denied(
    developer,
    'destructive.drop',
    'drop table cards',
    'drop table if exists a, b cascade',
    'drop schema public cascade',
    'drop view v',
    'truncate cards',
    'drop function f(int)',
    'drop database x',
  );
});

test('rows are changed without WHERE, and protected tables exported, when somebody else approves it', () => {
  needsApproval(
    developer,
    'approve.no-where',
    'dba',
    'update cards set x = 1',
    'delete from cards',
    'explain analyze delete from cards',
    'prepare p as delete from cards',
    'with gone as (delete from cards returning *) select * from gone',
    'with a as (update cards set x = 1 returning 1) insert into t select * from a',
    'merge into cards using t on true when matched then delete',
    'merge into cards c using t on c.id = t.id when not matched by source then update set x = 1',
  );
  needsApproval(developer, 'approve.bulk-export', 'security', 'copy cards to stdout', 'copy (select * from cards) to stdout');
  needsApproval({ ...developer, groups: ['analysts', 'developers'] }, 'approve.bulk-export', 'security', 'copy cards to stdout');
  // Those who may not write are not asked to find an approver, and neither are those whom something else forbids it.
  denied(analyst, undefined, 'delete from cards', 'update cards set x = 1');
  denied(developer, 'escape.catalog-writes', 'delete from pg_catalog.pg_class');
});

test('what does not touch protected tables is exported freely', () => {
  const bytes = Buffer.from('copy orders to stdout');
  const analysis = analysisOf(analyzeSql(bytes, 0, bytes.length));
  assert.ok(analysis.error === undefined);
  const [statement] = analysis.statements;
  assert.ok(statement !== undefined);
  const decide = (touchesProtected: boolean): string =>
    engine.decide(developer, target, operationOf({ ...statement, touchesProtected })).kind;
  assert.deepEqual([decide(false), decide(true)], ['allow', 'approve']);
});

test('a grant gives what its account is for, and no more', () => {
  const granted = member('analysts', 'payments/read-write');
  assert.equal(decide(granted, 'insert into cards (id) values (1)', 'read-write').kind, 'allow');
  assert.equal(decide(member('payments/read-only'), 'select * from cards').kind, 'allow');
  assert.equal(decide(granted, 'delete from cards', 'read-write').kind, 'approve');
  for (const [who, sql, account] of [
    [member('payments/read-only'), 'insert into cards (id) values (1)', 'read-only'],
    [granted, 'drop table cards', 'read-write'],
    [granted, 'insert into cards (id) values (1)', 'read-only'],
    [member('ledger/read-write'), 'select 1', 'read-write'],
  ] as const)
    assert.equal(decide(who, sql, account).kind, 'deny', sql);
});

test('privileges, roles, code and the server are out of reach', () => {
  denied(
    developer,
    'destructive.admin',
    'grant select on cards to public',
    'revoke all on cards from app',
    'grant admin to dev1',
    'alter default privileges grant select on tables to public',
    'create role x superuser',
    'alter role app set work_mem = 1',
    'drop role x',
    'alter user app password $$x$$',
    'reassign owned by a to b',
    'do $$ begin execute $x$ drop table cards $x$; end $$',
    'load $$x$$'.replaceAll('$$', "'"),
    'checkpoint',
    'create publication p for all tables',
  );
  denied(developer, 'destructive.lasting-settings', "alter system set log_statement = 'all'", 'alter database x set search_path = y');
  denied(
    developer,
    'escape.server',
    'select pg_terminate_backend(1)',
    'select pg_catalog.pg_reload_conf()',
    "select * from pg_logical_slot_get_changes('s', null, null)",
  );
});

test('files, hidden SQL and secrets in catalogs are out of reach', () => {
  denied(
    developer,
    'escape.copy-file',
    "copy cards to '/tmp/x'",
    "copy cards from '/etc/passwd'",
    "copy cards to program 'curl -d @- x'",
    "copy (select 1) to program 'x'",
  );
  denied(
    analyst,
    'escape.files',
    "select pg_read_file('/etc/passwd')",
    "select PG_CATALOG.PG_READ_BINARY_FILE('x')",
    "select * from pg_ls_dir('.')",
    'select lo_get(1)',
    "select lo_import('/x')",
    "select lo_export(1, '/x')",
    "select id from cards where name = (select pg_read_file('x'))",
    "select * from cards order by pg_read_file('x')",
    "declare c cursor for select pg_read_file('x')",
    "copy (select pg_read_file('x')) to stdout",
    "execute q (pg_read_file('x'))",
    "explain select pg_read_file('x')",
  );
  denied(
    analyst,
    'escape.hidden-sql',
    "select query_to_xml('select * from cards', true, true, '')",
    "select table_to_xml('cards', true, true, '')",
    "select * from dblink('h', 'select 1') as t(a int)",
    "select ext.dblink_exec('drop table x')",
    "select * from ts_stat('select 1')",
  );
  denied(
    analyst,
    'escape.secret-catalogs',
    'select * from pg_authid',
    'select * from pg_catalog.pg_shadow',
    'table pg_statistic',
    'select most_common_vals from pg_stats',
    'copy pg_authid to stdout',
    'select 1 from pg_class where exists (select 1 from pg_authid)',
    'select * from pg_largeobject',
    'explain select * from pg_user_mapping',
  );
  denied(analyst, 'escape.secret-options', 'select * from information_schema.user_mapping_options', 'table user_mapping_options');
  denied(
    analyst,
    'escape.hidden-sql',
    "select cron.schedule('x', '* * * * *', 'select 1')",
    "select aws_s3.query_export_to_s3('select * from cards', 'b')",
  );
  denied(
    developer,
    'escape.catalog-writes',
    "update pg_class set relname = 'x' where oid = 1",
    'insert into pg_catalog.pg_proc values (1)',
    'copy pg_class from stdin',
  );
});

test('what clients ask of the server to find their way is allowed', () => {
  allowed(
    analyst,
    // psql: connecting, \d, \l, \du, \df
    'SELECT pg_catalog.version()',
    "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname OPERATOR(pg_catalog.~) '^(cards)$' COLLATE pg_catalog.default AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3",
    'SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef), a.attnotnull FROM pg_catalog.pg_attribute a WHERE a.attrelid = 16384 AND a.attnum > 0 AND NOT a.attisdropped',
    "SELECT d.datname, pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.array_to_string(d.datacl, E'\\n') FROM pg_catalog.pg_database d ORDER BY 1",
    'SELECT r.rolname, r.rolsuper, ARRAY(SELECT b.rolname FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles b ON (m.roleid = b.oid) WHERE m.member = r.oid) FROM pg_catalog.pg_roles r ORDER BY 1',
    // pgAdmin
    "SET DateStyle=ISO; SET client_min_messages=notice; SELECT set_config('bytea_output','hex',false) FROM pg_show_all_settings() WHERE name = 'bytea_output'; SET client_encoding='utf-8'",
    'SELECT rolname, rolsuper, rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = current_user',
    'SELECT gss_authenticated, encrypted FROM pg_catalog.pg_stat_gssapi WHERE pid = pg_backend_pid()',
    // DBeaver and JDBC
    'SET extra_float_digits = 3',
    "SET application_name = 'PostgreSQL JDBC Driver'",
    'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY',
    'SHOW TRANSACTION ISOLATION LEVEL',
    'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE',
    'SELECT current_schema(), session_user',
    'SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = n.oid',
    "select string_agg(word, ',') from pg_catalog.pg_get_keywords() where word <> ALL ('{select}'::text[])",
    'SELECT NULL AS TABLE_CAT, (i.keys).n FROM (SELECT information_schema._pg_expandarray(i.indkey) AS keys FROM pg_catalog.pg_index i) i',
    'select table_name from information_schema.tables',
    "select * from information_schema.columns where table_name = 'cards'",
    // asyncpg
    "SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new",
    'WITH RECURSIVE typeinfo_tree(oid, ns, depth) AS (SELECT ti.oid, ti.ns, 0 FROM (SELECT t.oid, ns.nspname AS ns FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace ns ON ns.oid = t.typnamespace) ti WHERE ti.oid = any($1::oid[]) UNION ALL SELECT ti.oid, ti.ns, tt.depth + 1 FROM pg_type ti2 JOIN typeinfo_tree tt ON true JOIN pg_range r ON true CROSS JOIN LATERAL (SELECT ti2.oid, tt.ns) ti) SELECT DISTINCT *, basetype::regtype::text FROM (SELECT oid, ns, depth, 0 AS basetype FROM typeinfo_tree) q ORDER BY depth DESC',
    'SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL',
    // pg_dump
    "SELECT pg_catalog.set_config('search_path', '', false)",
    'SET statement_timeout = 0',
    'SET idle_in_transaction_session_timeout = 0',
    'SET row_security = off',
    'SET synchronize_seqscans TO off',
    'BEGIN',
    'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY',
  );
});

test('settings that reach further are refused', () => {
  denied(
    analyst,
    'settings.known-only',
    'set role postgres',
    'set session authorization app',
    'set local session_replication_role = replica',
    "select set_config('log_statement', 'none', false)",
    "select set_config('role', 'postgres', true) from cards",
    "set session_preload_libraries = 'x'",
  );
  denied(
    analyst,
    'settings.computed-name',
    'select set_config(name, $1, false) from cards',
    "select set_config('ro' || 'le', 'postgres', false)",
  );
});

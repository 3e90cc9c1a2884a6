import assert from 'node:assert/strict';
import { test } from 'node:test';
import { analyzeSql } from '../../../native/binding/index.js';
import { type Analysis, analysisOf } from './analysis.ts';
import type { Classified } from './classifier.ts';
import { budgetOfFetched } from './countable.ts';
import { budgetForm } from './held-sync.ts';
import { RowBudget } from './row-budget.ts';
import type { Portal, Statement } from './statements.ts';

function classified(sql: string): Classified {
  const text = Buffer.from(sql);
  const { statements } = analysisOf(analyzeSql(text, 0, text.length)) as Analysis & { error?: undefined };
  assert.notEqual(statements.length, 0, sql);
  return { statements, text } as unknown as Classified;
}
const form = (sql: string, inTransaction: boolean, executed: string | null = null): string =>
  budgetForm(classified(sql), inTransaction, executed === null ? null : ({ classified: classified(executed) } as Statement));

for (const [sql, alone, inTransaction] of [
  ['delete from t', 'steps', 'whole'],
  ['/* why */ -- and who\n delete from t', 'steps', 'whole'],
  ['select 1', 'whole', 'whole'],
  ['copy t to stdout', 'whole', 'whole'],
  ['select 1; update t set a = 1', 'never', 'whole'],
  ['copy t from stdin', 'never', 'whole'],
  ['create table u as select * from t', 'never', 'whole'],
  // Committed before an answer comes.
  ['delete from t; commit', 'never', 'never'],
  ['delete from t; end', 'never', 'never'],
  ['rollback; delete from t', 'never', 'never'],
  // The tag is that of something else.
  ['with d as (delete from t returning 1) select count(*) from d', 'never', 'never'],
  ['with d as (delete from t returning 1) insert into u select 1 where false', 'never', 'never'],
  ['/* /* */ delete */ with d as (delete from t returning 1) select 1', 'never', 'never'],
  ['copy (with d as (delete from t returning 1) select count(*) from d) to stdout', 'never', 'never'],
  ['explain analyze delete from t', 'never', 'never'],
  ["delete from t; prepare transaction 'x'", 'never', 'never'],
  ['do $$ begin delete from t; end $$', 'never', 'never'],
  ['call p()', 'never', 'never'],
  ['truncate t', 'never', 'never'],
  // Its rows go to whoever fetches.
  ['declare c cursor for select * from t', 'never', 'never'],
] as const) {
  test(`a row budget for: ${sql}`, () => {
    assert.equal(form(sql.replaceAll('$$x', "'x").replaceAll('x$$', "x'"), false), alone);
    assert.equal(form(sql.replaceAll('$$x', "'x").replaceAll('x$$', "x'"), true), inTransaction);
  });
}

test('EXECUTE counts when what it runs does', () => {
  assert.equal(form('execute p', false, 'prepare p as delete from t'), 'steps');
  assert.equal(form('execute p(1)', false, 'prepare p (int, text) as select * from t where a = $1'), 'steps');
  assert.equal(form('execute p', false, 'prepare p as with d as (delete from t returning 1) select 1'), 'never');
  assert.equal(form('execute p', false, 'delete from t'), 'steps');
});

test('FETCH shares the budget of the portal that it reads', () => {
  const [small, large] = [new RowBudget(1), new RowBudget(9)];
  const portals = new Map([
    ['l', { op: { budget: large } } as Portal],
    ['s', { op: { budget: small } } as Portal],
  ]);
  assert.equal(budgetOfFetched(classified('fetch all from l'), portals), large);
  assert.equal(budgetOfFetched(classified('fetch 1 from l; fetch 1 from s; fetch 1 from x'), portals), small);
  assert.equal(budgetOfFetched(classified('fetch all from x'), portals), null);
  assert.equal(budgetOfFetched(classified('select 1'), portals), null);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Decision } from '../../policy/model.ts';
import { strictest } from './decide-statements.ts';
import { RowBudget } from './row-budget.ts';

const allow = (...policies: string[]): Decision => ({ kind: 'allow', policies, snapshot: 's' });
const deny: Decision = { kind: 'deny', policies: ['no'], snapshot: 's', reason: 'forbidden', message: '', hint: '' };
const approve = (policy: string, ...approvers: [string, number][]): Decision => ({
  kind: 'approve',
  policies: [policy],
  snapshot: 's',
  approvers: approvers.map(([group, needed]) => ({ group, needed })),
  message: '',
  hint: '',
});

test('a denial wins over everything, approval over an allow', () => {
  const asks = approve('a', ['dba', 1]);
  for (const other of [allow('p'), deny, asks]) {
    assert.equal(strictest(deny, other).kind, 'deny');
    assert.equal(strictest(other, deny).kind, 'deny');
  }
  assert.equal(strictest(allow('p'), asks), asks);
  assert.equal(strictest(asks, allow('p')), asks);
  assert.deepEqual(strictest(allow('p', 'q'), allow('q', 'r')).policies, ['p', 'q', 'r']);
});

test('what two statements ask for is asked for both', () => {
  const both = strictest(approve('a', ['dba', 1], ['security', 2]), approve('b', ['dba', 2]));
  assert.equal(both.kind, 'approve');
  assert.deepEqual(both.policies, ['a', 'b']);
  assert.deepEqual(both.kind === 'approve' && both.approvers, [
    { group: 'dba', needed: 2 },
    { group: 'security', needed: 2 },
  ]);
});

test('rows count once, whether they were returned or only told of', () => {
  const budget = new RowBudget(10);
  budget.take(3);
  budget.complete('DELETE 3');
  budget.complete('UPDATE 4');
  budget.take(1);
  budget.complete('INSERT 0 3');
  assert.throws(() => budget.complete('DELETE 1'), { code: 'row_budget' });
  const none = new RowBudget(0);
  none.complete('CREATE TABLE');
  none.complete('SELECT 0');
  assert.throws(() => none.take(1), { code: 'row_budget' });
});

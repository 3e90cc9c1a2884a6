import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CacheBudget } from './cache-budget.ts';

const cache = (): { forgot: number; forget(): void } => ({
  forgot: 0,
  forget() {
    this.forgot++;
  },
});

test('who learnt nothing for longest forgets first, and only as many as it takes', () => {
  const budget = new CacheBudget(100);
  const [a, b, c] = [cache(), cache(), cache()];
  budget.charge(a, 40);
  budget.charge(b, 40);
  budget.charge(a, 10);
  budget.charge(c, 30);
  assert.deepEqual([a.forgot, b.forgot, c.forgot, budget.total], [0, 1, 0, 80]);
});

test('what is released no longer counts', () => {
  const budget = new CacheBudget(100);
  const [a, b] = [cache(), cache()];
  budget.charge(a, 90);
  budget.release(a);
  budget.release(a);
  budget.charge(b, 90);
  assert.deepEqual([a.forgot, b.forgot, budget.total], [0, 0, 90]);
});

test('one that is alone past the limit is left to its own', () => {
  const budget = new CacheBudget(100);
  const only = cache();
  budget.charge(only, 150);
  assert.deepEqual([only.forgot, budget.total], [0, 150]);
});

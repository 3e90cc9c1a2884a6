import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crossover } from './crossover.ts';

test('the crossover lies between the sizes around the change of sign', () => {
  assert.equal(
    crossover([
      { size: 16, difference: -1 },
      { size: 64, difference: 1 },
    ]),
    32,
  );
  assert.equal(
    crossover([
      { size: 16, difference: -3 },
      { size: 64, difference: 0 },
      { size: 256, difference: 2 },
    ]),
    64,
  );
});

test('a measurement that dips again counts from the last change', () => {
  const points = [-1, 1, -1, 1].map((difference, i) => ({ size: 4 ** i, difference }));
  assert.equal(crossover(points), 32);
});

test('outside of what was measured it says so', () => {
  assert.equal(
    crossover([
      { size: 16, difference: 1 },
      { size: 64, difference: 2 },
    ]),
    'below 16 bytes',
  );
  assert.equal(
    crossover([
      { size: 16, difference: -2 },
      { size: 64, difference: -1 },
    ]),
    'above 64 bytes',
  );
  assert.equal(crossover([]), 'nothing measured');
});

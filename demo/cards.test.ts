import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brands, checkDigit, luhnValid, makePan, makePans, seeded } from './cards.ts';

test('the check digit is the one of published test numbers', () => {
  for (const pan of ['4111111111111111', '5555555555554444', '378282246310005', '30569309025904', '6011111111111117', '3530111333300000']) {
    assert.equal(checkDigit(pan.slice(0, -1)), Number(pan.at(-1)), pan);
    assert.ok(luhnValid(pan), pan);
  }
  assert.ok(!luhnValid('4111111111111112'));
  assert.ok(!luhnValid('41111111111111x1'));
});

test('every brand gives numbers of its own ranges and lengths that pass the check', () => {
  const random = seeded(1);
  for (const brand of brands) {
    for (let n = 0; n < 300; n++) {
      const pan = makePan(brand, random);
      assert.ok(luhnValid(pan), pan);
      assert.ok(brand.lengths.includes(pan.length), `${brand.name} ${pan}`);
      const six = Number(pan.slice(0, 6));
      assert.ok(
        brand.prefixes.some(([from, to]) => six >= from && six <= to),
        `${brand.name} ${pan}`,
      );
    }
  }
});

test('a seed always gives the same numbers, another seed others', () => {
  assert.deepEqual(makePans(50, 3), makePans(50, 3));
  assert.notDeepEqual(makePans(50, 3), makePans(50, 4));
  assert.equal(new Set(makePans(5000, 5)).size, 5000);
});

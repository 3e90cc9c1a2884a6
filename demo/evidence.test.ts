import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leaks } from './evidence.ts';

const pans = new Set(['4111111111111111', '378282246310005']);

test('finds a card number in text, inside a longer run of digits, and inside base64', () => {
  assert.deepEqual(leaks(Buffer.from('a 378282246310005 b'), pans), ['378282246310005']);
  assert.deepEqual(leaks(Buffer.from('00411111111111111199'), pans), ['4111111111111111']);
  assert.deepEqual(leaks(Buffer.from(`{"data":"${Buffer.from('row: 4111111111111111 and more').toString('base64')}"}`), pans), [
    '4111111111111111',
  ]);
});

test('finds nothing in masked text', () => {
  assert.deepEqual(leaks(Buffer.from('************1111 4111111111111112'), pans), []);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { storable } from './texts.ts';

test('a text is stored without halves of characters, its own or those that a cut leaves, and without NUL', () => {
  for (const [text, most, kept] of [
    ['plain \u{1f600}', undefined, 'plain \u{1f600}'],
    ['a\ud800b\udc00', undefined, 'a\ufffdb\ufffd'],
    ['a\u{1f600}', 2, 'a\ufffd'],
    ['a\u{1f600}', 3, 'a\u{1f600}'],
    ['a\0', 9, 'a\ufffd'],
  ] as const)
    assert.equal(storable(text, most), kept);
});

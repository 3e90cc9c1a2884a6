import assert from 'node:assert/strict';
import { test } from 'node:test';

import { visible } from './terminal.ts';

test('a statement reads as the target reads it', () => {
  assert.equal(visible('-- nothing\rdelete from cards', true), '-- nothing\\u000d\ndelete from cards');
  assert.equal(visible('a\r\nb\tc\n', true), 'a\nb\tc\n');
  assert.equal(visible('a\r\nb\tc'), 'a  b c');
});

test('what would move the cursor, hide or reorder is shown', () => {
  assert.equal(visible('\x1b[2Kok\u200b\u061c\u{e0041}\u2029', true), '\\u001b[2Kok\\u200b\\u061c\\u{e0041}\\u2029');
});

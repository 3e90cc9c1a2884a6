import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ApiFailure } from './api-client.ts';

test('what a gateway answers does not reach the terminal as commands', () => {
  const failure = new ApiFailure(409, 'conflict', 'decided by \x1b[2J\x9bmallory', 'line\nnext\u202e');
  assert.equal(failure.publicMessage, 'decided by \\u001b[2J\\u009bmallory');
  assert.equal(failure.hint, 'line\nnext\\u202e');
});

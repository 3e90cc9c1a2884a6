import assert from 'node:assert/strict';
import { test } from 'node:test';

import { breach, list, object, oneOf, type Schema, string, text } from './schema.ts';

const schema: Schema = object(
  { name: text(3, undefined, 1), tags: list(string), state: oneOf('a', 'b'), rows: { type: ['integer', 'null'], minimum: 0 } },
  ['tags', 'rows'],
);

test('what is as described passes', () => {
  assert.equal(breach(schema, { name: 'abc', state: 'a' }), null);
  assert.equal(breach(schema, { name: 'abc', state: 'b', tags: ['x'], rows: null }), null);
});

test('each breach is named by its path, and never with the value', () => {
  for (const [value, problem] of [
    [[], 'the body: is not object'],
    [{ state: 'a' }, 'name: is missing'],
    [{ name: '', state: 'a' }, 'name: is empty or too short'],
    [{ name: 'secret', state: 'a' }, 'name: is longer than 3 characters'],
    [{ name: 'abc', state: 'secret' }, 'state: is not one of a, b'],
    [{ name: 'abc', state: 'a', tags: ['x', 1] }, 'tags[1]: is not string'],
    [{ name: 'abc', state: 'a', rows: -1 }, 'rows: is less than 0'],
    [{ name: 'abc', state: 'a', rows: 1.5 }, 'rows: is not integer or null'],
    [{ name: 'abc', state: 'a', toString: 1 }, 'toString: is not known here'],
  ] as const)
    assert.equal(breach(schema, value), problem);
});

test('members of the prototype count neither as given nor as known', () => {
  const value: unknown = JSON.parse('{"__proto__": 1}');
  assert.equal(breach(object({ constructor: string }), {}), 'constructor: is missing');
  assert.equal(breach(object({}), value), '__proto__: is not known here');
});

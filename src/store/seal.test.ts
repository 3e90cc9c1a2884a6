import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Seal } from './seal.ts';

const key = Buffer.alloc(32, 1);
const secret = Buffer.from('refresh-token');
const broken = { code: 'seal_broken' };

test('what is sealed opens with the same key and context', () => {
  const seal = new Seal(key);
  const sealed = seal.seal(secret, 'token:1');
  assert.deepEqual(new Seal(key).open(sealed, 'token:1'), secret);
  assert.ok(!sealed.includes(secret));
  assert.notDeepEqual(seal.seal(secret, 'token:1'), sealed, 'no two sealed values are equal');
  assert.deepEqual(seal.open(seal.seal(Buffer.alloc(0), ''), ''), Buffer.alloc(0));
});

test('nothing opens with another key, for another context, or when any byte was changed', () => {
  const seal = new Seal(key);
  const sealed = seal.seal(secret, 'token:1');
  assert.throws(() => new Seal(Buffer.alloc(32, 2)).open(sealed, 'token:1'), broken);
  assert.throws(() => seal.open(sealed, 'token:2'), broken);
  for (let i = 0; i < sealed.length; i++) {
    const changed = Buffer.from(sealed);
    changed[i] = (changed[i] ?? 0) ^ 1;
    assert.throws(() => seal.open(changed, 'token:1'), broken);
    assert.throws(() => seal.open(sealed.subarray(0, i), 'token:1'), broken);
  }
});

test('a digest depends on the key, the context and where one part ends', () => {
  const seal = new Seal(key);
  const digest = (parts: string[], context = 'c', by = seal): string =>
    by
      .digest(
        parts.map((part) => Buffer.from(part)),
        context,
      )
      .toString('hex');
  assert.equal(digest(['a', 'b']), digest(['a', 'b']));
  const all = [
    digest(['a', 'b']),
    digest(['ab']),
    digest(['ab', '']),
    digest(['', 'ab']),
    digest(['b', 'a']),
    digest(['a', 'b'], 'd'),
    digest(['b'], 'ca'),
    digest(['a', 'b'], 'c', new Seal(Buffer.alloc(32, 2))),
  ];
  assert.equal(new Set(all).size, all.length);
});

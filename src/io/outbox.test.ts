import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox } from './outbox.ts';
import { SlabPool } from './slab.ts';

const pieces = (out: Outbox): string[] => {
  const found: string[] = [];
  out.eachPiece((bytes, from, to) => found.push(Buffer.from(bytes.subarray(from, to)).toString()));
  return found;
};
const filled = (): Outbox => {
  const slab = new SlabPool(64).take();
  slab.bytes.write('abcdefghij');
  return new Outbox(slab);
};

test('regions that touch are one region', () => {
  const out = filled();
  out.pass(0, 2);
  out.pass(2, 5);
  assert.deepEqual(pieces(out), ['abcde']);
  assert.deepEqual(out.single(5), { from: 0, to: 5 });
  assert.equal(out.single(4), null, 'longer than was asked for');
});

test('what was left out and what was put in keep their places', () => {
  const out = filled();
  assert.equal(out.empty, true);
  out.pass(0, 2);
  out.insert(Buffer.from('<1>'));
  out.pass(4, 6);
  out.pass(8, 10);
  out.insert(Buffer.from('<2>'));
  assert.deepEqual(pieces(out), ['ab', '<1>', 'ef', 'ij', '<2>']);
  assert.equal(out.empty, false);
  assert.equal(out.single(100), null);
});

test('an insertion at the end of a region does not let the next one touch it', () => {
  const out = filled();
  out.pass(0, 2);
  out.insert(Buffer.from('|'));
  out.pass(2, 4);
  assert.deepEqual(pieces(out), ['ab', '|', 'cd']);
});

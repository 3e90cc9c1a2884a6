import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SlabPool } from './slab.ts';

test('a slab comes back when its last owner lets go, and not before', () => {
  const pool = new SlabPool(1024, 4);
  const slab = pool.take();
  slab.pin();
  assert.equal(slab.shared, true);
  slab.unpin();
  assert.notEqual(pool.take(), slab);
  slab.unpin();
  assert.equal(pool.take(), slab);
  assert.equal(slab.shared, false);
});

test('a slab is shared memory, of the size asked for at least', () => {
  const pool = new SlabPool(1024, 4);
  assert.ok(pool.take().bytes.buffer instanceof SharedArrayBuffer);
  const large = pool.take(5000);
  assert.ok(large.size >= 5000);
  large.unpin();
  assert.notEqual(pool.take(), large, 'what was made for one occasion is not kept');
});

test('no more slabs are kept than asked for', () => {
  const pool = new SlabPool(1024, 2);
  const taken = [pool.take(), pool.take(), pool.take()];
  for (const slab of taken) slab.unpin();
  const again = [pool.take(), pool.take(), pool.take()];
  assert.equal(again.filter((slab) => taken.includes(slab)).length, 2);
});

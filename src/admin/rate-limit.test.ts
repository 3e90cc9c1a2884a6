import assert from 'node:assert/strict';
import { test } from 'node:test';

import { networkOf, RateLimit } from './rate-limit.ts';

test('a burst passes, then as many as the rate lets, each key by itself', () => {
  let now = 0;
  const limit = new RateLimit({ burst: 3, perMinute: 6 }, () => now);
  assert.deepEqual([limit.take('a'), limit.take('a'), limit.take('a'), limit.take('a')], [0, 0, 0, 10]);
  assert.equal(limit.take('b'), 0);
  now = 9_000;
  assert.equal(limit.take('a'), 1);
  now = 10_000;
  assert.deepEqual([limit.take('a'), limit.take('a')], [0, 10]);
  now = 10 * 60_000;
  assert.deepEqual([limit.take('a'), limit.take('a'), limit.take('a'), limit.wait('a')], [0, 0, 0, 10]);
});

test('to ask takes nothing', () => {
  const limit = new RateLimit({ burst: 1, perMinute: 1 }, () => 0);
  assert.deepEqual([limit.wait('a'), limit.wait('a'), limit.take('a'), limit.wait('a')], [0, 0, 0, 60]);
});

test('memory is bounded; who asks often is not forgotten', () => {
  const limit = new RateLimit({ burst: 1, perMinute: 1 }, () => 0, 10);
  limit.take('busy');
  for (let i = 0; i < 1000; i++) {
    limit.take(`other-${i}`);
    assert.equal(limit.wait('busy'), 60);
  }
  assert.ok(limit.size <= 11);
});

test('a network of IPv6 is one source', () => {
  assert.equal(networkOf('192.0.2.7'), '192.0.2.7');
  assert.equal(networkOf('2001:db8:1:2:3:4:5:6'), networkOf('2001:db8:1:2::1'));
  assert.notEqual(networkOf('2001:db8:1:2::1'), networkOf('2001:db8:1:3::1'));
  assert.deepEqual(
    [networkOf('::1'), networkOf('2001:db8::'), networkOf('fe80::1:2:3:4')],
    ['0:0:0:0::/64', '2001:db8:0:0::/64', 'fe80:0:0:0::/64'],
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { calibrate, DispatchPolicy } from './dispatch.ts';

test('nothing goes to the pool before it is measured', () => {
  assert.equal(new DispatchPolicy('auto').goesToPool(1 << 30), false);
});

test('a chunk goes to the pool when scanning it takes longer than the round trip', () => {
  const policy = new DispatchPolicy('auto');
  policy.apply({ scanNsPerByte: 1, roundTripNs: 50_000 });
  assert.equal(policy.goesToPool(49_999), false);
  assert.equal(policy.goesToPool(50_000), true);
});

test('small chunks stay inline however slow the scan', () => {
  const policy = new DispatchPolicy('auto');
  policy.apply({ scanNsPerByte: 1000, roundTripNs: 1000 });
  assert.equal(policy.goesToPool(1000), false);
});

test('a pinned mode does not follow the measurement', () => {
  for (const [mode, goes] of [
    ['inline', false],
    ['pool', true],
  ] as const) {
    const policy = new DispatchPolicy(mode);
    policy.apply({ scanNsPerByte: 1, roundTripNs: 1_000_000 });
    assert.equal(policy.goesToPool(1 << 20), goes);
    assert.equal(policy.goesToPool(1), goes);
  }
});

test('calibration takes the median of each', async () => {
  let clock = 0n;
  let round = 0;
  const measured = await calibrate(
    () => {
      // One outlier of three must not count.
      clock += round++ % 3 === 0 ? 1_000_000n : 2000n;
    },
    1000,
    () => {
      clock += 70_000n;
      return Promise.resolve();
    },
    () => clock,
  );
  assert.deepEqual(measured, { scanNsPerByte: 2, roundTripNs: 70_000 });
});

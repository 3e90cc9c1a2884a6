import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock, TimeFormat } from './clock.ts';

test('times are RFC 3339 with microseconds, across seconds', () => {
  const format = new TimeFormat();
  const base = Date.UTC(2026, 1, 28, 23, 59, 59) * 1000;
  assert.equal(format.format(base), '2026-02-28T23:59:59.000000Z');
  assert.equal(format.format(base + 17), '2026-02-28T23:59:59.000017Z');
  assert.equal(format.format(base + 999_999), '2026-02-28T23:59:59.999999Z');
  assert.equal(format.format(base + 1_000_000), '2026-03-01T00:00:00.000000Z');
  assert.equal(format.format(base - 1), '2026-02-28T23:59:58.999999Z', 'also when the clock went back');
});

test('the system clock is followed, steps included', (t) => {
  const clock = systemClock();
  for (let i = 0; i < 1000; i++) {
    const before = Date.now();
    const micros = clock.micros();
    assert.ok(Number.isSafeInteger(micros));
    assert.ok(micros >= (before - 3) * 1000 && micros <= (Date.now() + 4) * 1000);
  }
  const real = Date.now;
  t.mock.method(Date, 'now', () => real() + 3_600_000);
  assert.ok(Math.abs(clock.micros() / 1000 - real() - 3_600_000) < 5);
});

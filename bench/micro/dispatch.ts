import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { compileRowPlan } from '../../native/binding/index.js';
import { calibrate } from '../../src/workers/dispatch.ts';
import { Masker } from '../../src/workers/masker.ts';
import { MaskPool } from '../../src/workers/pool.ts';
import { crossover, type Point } from '../lib/crossover.ts';
import { quantile } from '../lib/result.ts';
import { CARD, cardRow, MASKED_CARD } from '../lib/rows.ts';
import { MASKING } from '../lib/scene.ts';
import type { Suite } from '../lib/suite.ts';

const SIZES = [1, 4, 16, 64, 256, 1024].map((kb) => kb * 1024);
const ROW = 256;
const FILLER = 'the quick brown fox jumps over the lazy dog; ';

/** Masking inline against the pool over sizes, and where the second begins to pay, against the threshold that a gateway calibrates. */
export default async function dispatch(suite: Suite): Promise<void> {
  const pool = new MaskPool('auto');
  try {
    const masker = new Masker(MASKING, 'auto', pool);
    const empty = {
      memory: new SharedArrayBuffer(8),
      offset: 0,
      length: 0,
      rules: masker.rules,
      plan: 0,
      counts: masker.newCounts().length,
    };
    await Promise.all(Array.from({ length: pool.size }, () => pool.run(empty)));
    assert.equal((await pool.run(empty)).length, 0);
    const trips: number[] = [];
    await timed(suite.time, trips, () => pool.run(empty));
    if (suite.wants('round trip of an empty job')) suite.add('round trip of an empty job', trips);
    await sizes(suite, masker, median(trips));
    await threshold(suite, masker, pool);
  } finally {
    await pool.close();
  }
}

async function sizes(suite: Suite, masker: Masker, roundTrip: number): Promise<void> {
  const plan = compileRowPlan(JSON.stringify({ columns: Array.from({ length: 7 }, () => ({ mask: 'scan', type: 25, binary: false })) }));
  const busy: Point[] = [];
  const latency: Point[] = [];
  for (const size of SIZES) {
    const label = `${size / 1024} KB`;
    if (!suite.wants(`${label} inline`) && !suite.wants(`${label} on the pool`)) continue;
    const rows = Buffer.concat(Array<Buffer>(size / ROW).fill(cardRow(ROW, CARD, FILLER)));
    const expected = Buffer.concat(Array<Buffer>(size / ROW).fill(cardRow(ROW, MASKED_CARD, FILLER)));
    const buffer = Buffer.from(new SharedArrayBuffer(size));
    const counts = masker.newCounts();
    const inline = (): void => void masker.rows(plan, buffer, 0, size, counts);
    const pooled = (): Promise<number> => masker.rowsOnPool(plan, buffer, 0, size, counts);
    for (const way of [inline, pooled]) {
      rows.copy(buffer);
      counts.fill(0);
      await way();
      assert.ok(buffer.equals(expected));
      assert.equal(counts[0], size / ROW);
    }

    const inlineTimes: number[] = [];
    const poolTimes: number[] = [];
    let loopNs = 0;
    // By turns, so that both meet the same machine.
    for (let round = 0; round < 4; round++) {
      await timed(suite.time / 8, inlineTimes, inline, () => rows.copy(buffer));
      const before = performance.eventLoopUtilization();
      const jobs = poolTimes.length;
      const restoring = await timed(suite.time / 8, poolTimes, pooled, () => rows.copy(buffer));
      loopNs += performance.eventLoopUtilization(before).active * 1e6 - restoring;
      if (poolTimes.length === jobs) throw new Error('no job ended');
    }
    const options = { bytes: size };
    if (suite.wants(`${label} inline`)) suite.add(`${label} inline`, inlineTimes, options);
    if (suite.wants(`${label} on the pool`)) suite.add(`${label} on the pool`, poolTimes, options);
    const scan = median(inlineTimes);
    busy.push({ size, difference: scan - loopNs / poolTimes.length });
    latency.push({ size, difference: scan - roundTrip });
  }
  if (busy.length < SIZES.length) return;
  const where = (points: readonly Point[]): string => {
    const found = crossover(points);
    return typeof found === 'number' ? `${Math.round(found / 1024)} KB` : found;
  };
  suite.note(`scanning inline takes as long as a round trip (${Math.round(roundTrip / 1000)} us) at: ${where(latency)}`);
  suite.note(`scanning inline holds the event loop longer than a hand-off does at: ${where(busy)}`);
}

/** As a gateway does it when it starts. */
async function threshold(suite: Suite, masker: Masker, pool: MaskPool): Promise<void> {
  const sample = Buffer.alloc(64 * 1024, 'the quick brown fox jumps over 13 lazy dogs, order 4096; ');
  const counts = masker.newCounts();
  const empty = { memory: new SharedArrayBuffer(8), offset: 0, length: 0, rules: masker.rules, plan: 0, counts: counts.length };
  const found = await calibrate(
    () => masker.text(sample, 0, sample.length, counts),
    sample.length,
    () => pool.run(empty),
    process.hrtime.bigint,
  );
  masker.dispatch.apply(found);
  const { threshold: bytes } = masker.dispatch;
  assert.ok(masker.goesToPool(bytes) && !masker.goesToPool(bytes - 1));
  suite.note(
    `calibrated threshold: ${Math.round(bytes / 1024)} KB (${found.scanNsPerByte.toFixed(3)} ns a byte, round trip ${Math.round(found.roundTripNs / 1000)} us, ${pool.size} workers)`,
  );
}

/**
 * Adds the time of each call to `into`, for so many milliseconds and at least 16 calls. `before` is not part of those times:
 * the nanoseconds that it took in all are returned.
 */
async function timed(milliseconds: number, into: number[], fn: () => unknown, before?: () => void): Promise<number> {
  const until = performance.now() + milliseconds;
  let restoring = 0;
  for (let i = 0; i < 16 || performance.now() < until; i++) {
    const start = process.hrtime.bigint();
    before?.();
    const from = process.hrtime.bigint();
    const pending = fn();
    if (pending instanceof Promise) await pending;
    into.push(Number(process.hrtime.bigint() - from));
    restoring += Number(from - start);
  }
  return restoring;
}

const median = (times: readonly number[]): number =>
  quantile(
    [...times].sort((a, b) => a - b),
    0.5,
  );

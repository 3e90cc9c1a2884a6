import type { Result } from './result.ts';

/** The benches of one run of one tree. */
export type Round = readonly Pick<Result, 'name' | 'median'>[];

export interface Interval {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export type Verdict = 'same' | 'slower' | 'faster' | 'REGRESSION' | 'only in base' | 'only in head';

export interface Comparison {
  readonly name: string;
  readonly base: Interval | null;
  readonly head: Interval | null;
  /** Head's median over base's; NaN when one side lacks the bench. */
  readonly ratio: number;
  readonly verdict: Verdict;
}

/** A median may be this much slower before it counts. */
export const TOLERANCE = 0.1;

/**
 * Compares the medians that each round found, bench by bench in the order of head, then what only base has. A regression is a
 * median slower by more than the tolerance whose rounds all lie above all of base's; `slower` and `faster` differ as
 * clearly, but within the tolerance or for the better.
 */
export function compareRounds(base: readonly Round[], head: readonly Round[], tolerance = TOLERANCE): Comparison[] {
  const ofBase = byName(base);
  const ofHead = byName(head);
  const names = [...ofHead.keys(), ...[...ofBase.keys()].filter((name) => !ofHead.has(name))];
  return names.map((name) => {
    const before = intervalOf(ofBase.get(name));
    const after = intervalOf(ofHead.get(name));
    if (before === null || after === null) {
      return { name, base: before, head: after, ratio: Number.NaN, verdict: before === null ? 'only in head' : 'only in base' };
    }
    const ratio = after.median / before.median;
    return { name, base: before, head: after, ratio, verdict: judge(before, after, ratio, tolerance) };
  });
}

function judge(base: Interval, head: Interval, ratio: number, tolerance: number): Verdict {
  if (head.min > base.max) return ratio > 1 + tolerance ? 'REGRESSION' : 'slower';
  return head.max < base.min ? 'faster' : 'same';
}

function byName(rounds: readonly Round[]): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const round of rounds) {
    for (const { name, median } of round) {
      const medians = found.get(name);
      if (medians === undefined) found.set(name, [median]);
      else medians.push(median);
    }
  }
  return found;
}

function intervalOf(medians: readonly number[] | undefined): Interval | null {
  if (medians === undefined || medians.length === 0) return null;
  const sorted = [...medians].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  const median = sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
  return { median, min: sorted[0] ?? 0, max: sorted.at(-1) ?? 0 };
}

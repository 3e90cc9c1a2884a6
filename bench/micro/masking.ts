import assert from 'node:assert/strict';
import { compileRowPlan, compileRules, maskRows, ruleNames } from '../../native/binding/index.js';
import { CARD, cardRow, MASKED_CARD, row } from '../lib/rows.ts';
import type { Suite } from '../lib/suite.ts';

const SIZES = [
  ['100 B', 100],
  ['1 KB', 1024],
  ['64 KB', 65_536],
] as const;

const PROSE = 'the quick brown fox jumps over the lazy dog and rests for a while under an old oak tree; ';
// Timestamps, order numbers and identifiers: long runs of digits, none of them a card.
const DIGITS = '1732180000000,20260115102345,900000123456789,1234567890123;';

/** A pattern of an operator that looks for what the built-in keywords are: what Vectorscan adds to the scan that has found them already. */
const PATTERN = { id: 'words', regex: '(?i)\\b(cvv2?|cvc2?|cav2|csc|pin|card verification value)\\b' };

/** One row at a time through the addon, as the event loop calls it: in place, in shared memory, found by pattern or by column. */
export default function masking(suite: Suite): void {
  const rules = compileRules('{}');
  const { id, regex } = PATTERN;
  const rulesWithPattern = compileRules(JSON.stringify({ patterns: [{ id, regex, keepLast: 0 }] }));
  const plan = (third: 'scan' | 'pan'): number =>
    compileRowPlan(
      JSON.stringify({ columns: Array.from({ length: 7 }, (_, i) => ({ mask: i === 2 ? third : 'scan', type: 25, binary: false })) }),
    );
  const scan = plan('scan');
  const byColumn = plan('pan');

  for (const [label, size] of SIZES) {
    const card = cardRow(size, CARD, PROSE);
    const masked = cardRow(size, MASKED_CARD, PROSE);
    one(`${label} row with a card, by pattern`, scan, card, masked, [1, 0]);
    one(`${label} row with a card, by column`, byColumn, card, masked, [0, 1]);
    const prose = fill(size, PROSE);
    one(`${label} row of prose`, scan, prose, prose, [0, 0]);
    one(`${label} row of prose, with an operator's pattern`, scan, prose, prose, [0, 0], rulesWithPattern);
    const digits = fill(size, DIGITS);
    one(`${label} row of digits`, scan, digits, digits, [0, 0]);
  }

  function one(what: string, id: number, input: Buffer, expected: Buffer, [cards, covered]: readonly [number, number], by = rules): void {
    const buffer = Buffer.from(new SharedArrayBuffer(input.length));
    const counts = new Uint32Array(ruleNames(by).length + 1);
    input.copy(buffer);
    assert.equal(maskRows(by, id, buffer, 0, buffer.length, counts), input.length, what);
    assert.ok(buffer.equals(expected), what);
    assert.deepEqual([counts[0], counts.at(-1)], [cards, covered], what);
    suite.sync(what, () => maskRows(by, id, buffer, 0, buffer.length, counts), {
      // Masked bytes hold no card any more.
      before: () => input.copy(buffer),
      bytes: input.length,
    });
  }
}

/** Seven columns of the same filler, `size` bytes in all. */
function fill(size: number, filler: string): Buffer {
  const room = size - row(Array<string>(7).fill('')).length;
  const text = filler.repeat(Math.ceil(size / filler.length));
  const each = Math.floor(room / 7);
  return row(Array.from({ length: 7 }, (_, i) => text.slice(0, i === 6 ? room - 6 * each : each)));
}

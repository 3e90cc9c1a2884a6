import { compileRowPlan, dropRowPlan } from '../../native/binding/index.js';
import type { Masker } from './masker.ts';

const COLUMNS = 6;
const VALUE = Buffer.from('order 40961 shipped to the old harbour');

/** A run of rows as `maskRows` takes them, about `bytes` long: what a reply mostly consists of, without a card in it. */
function sampleRows(bytes: number): Buffer {
  const row = Buffer.alloc(7 + COLUMNS * (4 + VALUE.length));
  row[0] = 0x44;
  row.writeInt32BE(row.length - 1, 1);
  row.writeInt16BE(COLUMNS, 5);
  for (let i = 0, at = 7; i < COLUMNS; i++) {
    at = row.writeInt32BE(VALUE.length, at);
    at += VALUE.copy(row, at);
  }
  return Buffer.concat(Array.from({ length: Math.max(1, Math.floor(bytes / row.length)) }, () => row));
}

/** Scans a run of sample rows inline; `scan` does it once, `bytes` is its length. `close` frees the plan. */
export function sampleScan(
  masker: Masker,
  bytes: number,
): { readonly scan: () => void; readonly bytes: number; readonly close: () => void } {
  const rows = sampleRows(bytes);
  const plan = compileRowPlan(
    JSON.stringify({ columns: Array.from({ length: COLUMNS }, () => ({ mask: 'scan', type: 25, binary: false })) }),
  );
  const counts = masker.newCounts();
  return {
    scan: () => {
      if (masker.rows(plan, rows, 0, rows.length, counts) !== rows.length) throw new Error('the sample rows could not be scanned');
    },
    bytes: rows.length,
    close: () => dropRowPlan(plan),
  };
}

import type { Result } from './result.ts';

/** Nanoseconds in the unit that keeps three digits before the point at most. */
export function duration(nanoseconds: number): string {
  if (nanoseconds < 1000) return `${nanoseconds.toFixed(nanoseconds < 100 ? 1 : 0)} ns`;
  if (nanoseconds < 1e6) return `${(nanoseconds / 1e3).toFixed(2)} us`;
  return `${(nanoseconds / 1e6).toFixed(2)} ms`;
}

/** Left-aligned first column, the others to the right. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '))
    .map((line) => line.trimEnd())
    .join('\n');
}

export function table(results: readonly Result[]): string {
  const head = ['bench (per operation)', 'median', 'p99', 'GB/s', 'samples', ''];
  const rows = results.map((result) => [
    result.name,
    duration(result.median),
    duration(result.p99),
    result.bytes === 0 || result.median === 0 ? '' : (result.bytes / result.median).toFixed(2),
    String(result.samples),
    result.batch > 1 ? `p99 of batches of ${result.batch}` : '',
  ]);
  return columns([head, ...rows]);
}

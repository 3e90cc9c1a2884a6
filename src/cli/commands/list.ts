import type { Arguments, Io } from '../command.ts';
import { columns, visible } from '../terminal.ts';

/** What a list asks for at the most, and the API gives. */
export const MOST_LISTED = 500;

export interface List<T> {
  readonly items: readonly T[];
  /** Said where there are none. */
  readonly none: string;
  readonly header: readonly string[];
  /** The cells of one line. */
  readonly row: (item: T) => readonly string[];
}

/** One JSON line an item with --json, else a table. */
export function showList<T>(args: Arguments, io: Io, { items, none, header, row }: List<T>): void {
  if (args.flag('json')) for (const item of items) io.out(`${JSON.stringify(item)}\n`);
  else if (items.length === 0) io.err(`${none}\n`);
  else io.out(columns([header, ...items.map((item) => row(item).map((cell) => visible(cell)))]));
}

/** There may be more than a list shows. */
export function sayIfCut(count: number, io: Io): void {
  if (count >= MOST_LISTED) io.err(`these are the newest ${MOST_LISTED}; there may be more\n`);
}

/** To the second, in UTC. */
export function timeOf(at: number | null): string {
  return at === null ? '' : `${new Date(at).toISOString().slice(0, 19)}Z`;
}

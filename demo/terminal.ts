import { styleText } from 'node:util';

/** What the demo prints, and how. Colours only on a terminal that has them. */

const style = (format: Parameters<typeof styleText>[0], text: string): string => styleText(format, text, { stream: process.stdout });

export function print(text = ''): void {
  process.stdout.write(`${text}\n`);
}

export function title(text: string): void {
  print(`\n${style('bold', text)}`);
}

export function sql(text: string): void {
  for (const line of text.split('\n')) print(`   ${style('cyan', line.trim())}`);
}

export function note(text: string): void {
  print(`   ${style('dim', text)}`);
}

export function passed(text: string): void {
  print(`   ${style('green', 'ok')}  ${text}`);
}

export function failed(text: string): void {
  print(`   ${style('red', 'FAILED')}  ${text.replaceAll('\n', '\n           ')}`);
}

export type Rows = readonly (readonly (string | null)[])[];

/** Two results next to each other, columns aligned. */
export function sideBySide(
  left: { readonly head: string; readonly rows: Rows },
  right: { readonly head: string; readonly rows: Rows },
): void {
  const before = [left.head, ...lines(left.rows)];
  const after = [right.head, ...lines(right.rows)];
  const width = Math.max(...before.map((line) => line.length)) + 4;
  before.forEach((line, index) => {
    const row = `${line.padEnd(width)}${after[index] ?? ''}`;
    print(`   ${index === 0 ? style('dim', row) : row}`);
  });
}

export function table(rows: Rows): void {
  for (const line of lines(rows)) print(`   ${line}`);
}

function lines(rows: Rows): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((value, index) => {
      widths[index] = Math.max(widths[index] ?? 0, (value ?? '(null)').length);
    });
  }
  return rows.map((row) =>
    row
      .map((value, index) => (value ?? '(null)').padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** A line cut to what a terminal shows. */
export function cut(text: string, width = 150): string {
  return text.length <= width ? text : `${text.slice(0, width - 3)}...`;
}

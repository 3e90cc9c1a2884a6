/** Controls, what has no width, and what reorders. */
const deceiving = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/**
 * Text from a record, for a terminal: control characters are shown and not obeyed, since what a statement or a row holds
 * could otherwise move the cursor, retitle the window or hide a line from the auditor. Line breaks and tabs stay when `lines`.
 */
export function visible(text: string, lines = false): string {
  return (lines ? text.replace(/\r\n/g, '\n') : text).replace(deceiving, (char) => {
    if (lines && (char === '\n' || char === '\t')) return char;
    // A lone one ends a comment as a line break does.
    if (lines && char === '\r') return '\\u000d\n';
    if (char === '\n' || char === '\r' || char === '\t') return ' ';
    const hex = (char.codePointAt(0) ?? 0).toString(16);
    return `\\u${hex.length > 4 ? `{${hex}}` : hex.padStart(4, '0')}`;
  });
}

/** Rows in columns as wide as their widest value; the last column is left as it is. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  }
  return rows.map((row) => `${row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join('  ')}\n`).join('');
}

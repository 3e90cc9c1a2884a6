/**
 * Text from a record, for a terminal: control characters are shown and not obeyed, since what a statement or a row holds
 * could otherwise move the cursor, retitle the window or hide a line from the auditor. Line breaks and tabs stay when `lines`.
 */
export function visible(text: string, lines = false): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (char) => {
    if (lines && (char === '\n' || char === '\t')) return char;
    if (char === '\n' || char === '\r' || char === '\t') return ' ';
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
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

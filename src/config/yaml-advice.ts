/** What to do about a text that is not YAML, by the parser's own code. */
export function yamlAdvice(code: string): string {
  return ADVICE[code] ?? 'mend this line';
}

const QUOTE = 'write a value that holds ": " or begins with a special character in "quotes"';

const ADVICE: Readonly<Record<string, string>> = {
  BAD_ALIAS: QUOTE,
  BAD_INDENT: 'close the bracket that was opened before, or indent what is in it',
  BAD_SCALAR_START: QUOTE,
  BAD_DQ_ESCAPE: "write \\\\ for a backslash in double quotes, or use 'single quotes'",
  BLOCK_AS_IMPLICIT_KEY: `indent this line like the others of its mapping, or ${QUOTE}`,
  DUPLICATE_KEY: 'write it once',
  MISSING_CHAR: 'write what is missing',
  MULTILINE_IMPLICIT_KEY: 'write "key: value", and indent this line like the others of its mapping',
  MULTIPLE_DOCS: 'remove the line "---"',
  TAB_AS_INDENT: 'write spaces',
  TAG_RESOLVE_FAILED: 'remove the word that begins with "!"',
  UNEXPECTED_TOKEN: 'indent this line like the others of its mapping, and write "key: value"',
};

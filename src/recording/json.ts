/** JSON text for what the record holds. Everything given here is masked already. */

/** What a JSON string must escape, and surrogates, which may be alone and then have no UTF-8 form. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const UNSAFE = /["\\\u0000-\u001f\ud800-\udfff]/;

/** `value` as a JSON string, quotes included. A lone surrogate becomes its `\\udxxx` escape, so the line stays valid UTF-8. */
export function jsonString(value: string): string {
  return UNSAFE.test(value) ? JSON.stringify(value) : `"${value}"`;
}

/** UTF-8 bytes as a JSON string, quotes included. A byte that is not UTF-8 becomes U+FFFD. */
export function jsonBytes(bytes: Buffer, off = 0, len = bytes.length - off): string {
  return jsonString(bytes.toString('utf8', off, off + len));
}

/**
 * Covers the literals of a statement for the record, for statements that name protected columns: a CVV has no pattern
 * that would betray it. Same length, so that positions in the text keep their meaning. Follows the server's lexer with
 * standard_conforming_strings on.
 */
const STAR = 0x2a;

const isDigit = (c: number): boolean => c >= 0x30 && c <= 0x39;
const isIdentStart = (c: number): boolean => (c >= 0x61 && c <= 0x7a) || (c >= 0x41 && c <= 0x5a) || c === 0x5f || c >= 0x80;
const isIdent = (c: number): boolean => isIdentStart(c) || isDigit(c) || c === 0x24;

/** Masks in place; returns how many literals were covered. */
export function maskLiterals(text: Uint8Array): number {
  return coverIn(text, false);
}

/**
 * Covers in place the literals and names whose escapes can spell what no pattern sees: `E'4111\\x31...'`, `U&'4111\\0031...'`.
 * Also in the bodies of DO and of functions.
 */
export function maskEscapes(text: Uint8Array): void {
  if (text.includes(0x5c) || text.includes(0x26)) coverIn(text, true);
}

/** @param escapesOnly leave what is written as it is. */
function coverIn(text: Uint8Array, escapesOnly: boolean): number {
  let covered = 0;
  let at = 0;
  const byte = (i: number): number => text[i] ?? 0;
  /** @param escaped what it says may be something else than what is written. */
  const cover = (from: number, to: number, escaped = false): void => {
    if (escapesOnly && !escaped) return;
    if (to > from) text.fill(STAR, from, to);
    covered++;
  };
  /** Whether `U&` is right before a quote: then any character may begin an escape. */
  const unicode = (quote: number): boolean => byte(quote - 1) === 0x26 && (byte(quote - 2) | 0x20) === 0x75;
  /** The quote that continues a literal behind its closing quote: white space with a line break lies between. -1: none. */
  const continued = (from: number): number => {
    let i = from;
    let line = false;
    for (; ; i++) {
      const c = byte(i);
      if (c === 0x0a || c === 0x0d) line = true;
      else if (c === 0x2d && byte(i + 1) === 0x2d) {
        // A comment up to the end of the line counts as white space, but not before the first line break.
        while (i + 1 < text.length && byte(i + 1) !== 0x0a && byte(i + 1) !== 0x0d) i++;
      } else if (c !== 0x20 && c !== 0x09 && c !== 0x0c && c !== 0x0b) break;
    }
    return line && byte(i) === 0x27 ? i : -1;
  };
  /** End of a quoted string whose opening quote is at `open`. */
  const quoted = (open: number, escapes: boolean): number => {
    let i = open + 1;
    while (i < text.length) {
      if (escapes && byte(i) === 0x5c) i += 2;
      else if (byte(i) === 0x27) {
        if (byte(i + 1) === 0x27) i += 2;
        else {
          // A literal goes on behind a line break, and its escapes go on with it.
          const next = escapes ? continued(i + 1) : -1;
          if (next === -1) return i;
          i = next + 1;
        }
      } else i++;
    }
    return text.length;
  };
  while (at < text.length) {
    const c = byte(at);
    if (c === 0x27) {
      const end = quoted(at, false);
      cover(at + 1, end, unicode(at));
      at = end + 1;
    } else if (c === 0x22) {
      const close = text.indexOf(0x22, at + 1);
      const end = close === -1 ? text.length : close;
      // Other dialects write values in double quotes: what begins with a digit is hardly a name.
      if (isDigit(byte(at + 1)) || (escapesOnly && unicode(at))) cover(at + 1, end, unicode(at));
      at = end + 1;
    } else if (c === 0x2d && byte(at + 1) === 0x2d) {
      const end = text.indexOf(0x0a, at);
      // A comment can hold what somebody commented out: it is covered as a literal is.
      cover(at + 2, end === -1 ? text.length : end);
      at = end === -1 ? text.length : end;
    } else if (c === 0x2f && byte(at + 1) === 0x2a) {
      let depth = 1;
      let i = at + 2;
      while (i < text.length && depth > 0) {
        if (byte(i) === 0x2f && byte(i + 1) === 0x2a) {
          depth++;
          i += 2;
        } else if (byte(i) === 0x2a && byte(i + 1) === 0x2f) {
          depth--;
          i += 2;
        } else i++;
      }
      cover(at + 2, depth === 0 ? i - 2 : i);
      at = i;
    } else if (c === 0x24 && !isDigit(byte(at + 1))) {
      let i = at + 1;
      while (isIdent(byte(i)) && byte(i) !== 0x24) i++;
      if (byte(i) !== 0x24) {
        at++;
        continue;
      }
      const tag = Buffer.from(text.subarray(at, i + 1));
      const rest = Buffer.from(text.buffer, text.byteOffset + i + 1, text.length - i - 1);
      const close = rest.indexOf(tag);
      const end = close === -1 ? text.length : i + 1 + close;
      if (escapesOnly) coverIn(text.subarray(i + 1, end), true);
      else cover(i + 1, end);
      at = end + tag.length;
    } else if (isIdentStart(c)) {
      const from = at;
      while (at < text.length && isIdent(byte(at))) at++;
      // E'..', B'..', X'..', N'..' and U&'..': the prefix is one letter right before the quote.
      if (byte(at) === 0x27 && at - from === 1) {
        const escapes = (c | 0x20) === 0x65;
        const end = quoted(at, escapes);
        cover(at + 1, end, escapes && text.subarray(at, end).includes(0x5c));
        at = end + 1;
      }
    } else if (isDigit(c) || (c === 0x2e && isDigit(byte(at + 1)))) {
      const from = at;
      while (at < text.length && (isIdent(byte(at)) || byte(at) === 0x2e)) at++;
      cover(from, at);
    } else if (c === 0x24) {
      at++;
      while (isDigit(byte(at))) at++;
    } else at++;
  }
  return covered;
}

/** Recorded backend messages as text for people: rows as lines, errors as their message. */

const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * Renders a run of messages (type, length, body). What is cut off or no message is named by its length, never guessed at.
 * Control characters stay: whoever prints to a terminal covers them.
 */
export function renderMessages(bytes: Buffer): string {
  const lines: string[] = [];
  let at = 0;
  while (at + 5 <= bytes.length) {
    const end = at + 1 + bytes.readUInt32BE(at + 1);
    if (end < at + 5 || end > bytes.length) break;
    const text = renderMessage(String.fromCharCode(bytes[at] ?? 0), bytes.subarray(at + 5, end));
    if (text !== null) lines.push(text);
    at = end;
  }
  if (at < bytes.length) lines.push(`[${bytes.length - at} more bytes]`);
  return lines.map((line) => `${line}\n`).join('');
}

/** One message, or null when it says nothing to a reader. */
function renderMessage(type: string, body: Buffer): string | null {
  switch (type) {
    case 'T':
      return columnNames(body).join(' | ');
    case 'D':
      return values(body).join(' | ');
    case 'C':
      return cString(body, 0).text;
    case 'E':
    case 'N':
      return report(body);
    case 'd':
      return value(body).replace(/\r?\n$/, '');
    case 'A': {
      const channel = cString(body, 4);
      return `notification on ${channel.text}: ${cString(body, channel.next).text}`;
    }
    case 's':
      return '[portal suspended]';
    default:
      return null;
  }
}

function columnNames(body: Buffer): string[] {
  const names: string[] = [];
  let at = 2;
  while (at < body.length) {
    const name = cString(body, at);
    names.push(name.text);
    // Table, column, type, size, modifier and format of the column.
    at = name.next + 18;
  }
  return names;
}

function values(body: Buffer): string[] {
  const found: string[] = [];
  let at = 2;
  while (at + 4 <= body.length) {
    const length = body.readInt32BE(at);
    at += 4;
    if (length < 0) found.push('(null)');
    else {
      found.push(value(body.subarray(at, at + length)));
      at += length;
    }
  }
  return found;
}

/** Text as it is; what is not text, as binary results are, in the server's own notation for bytes. */
function value(bytes: Buffer): string {
  try {
    const text = decoder.decode(bytes);
    if (!text.includes('\0')) return text;
  } catch {
    // Not UTF-8: shown as bytes below.
  }
  return `\\x${bytes.toString('hex')}`;
}

/** ErrorResponse and NoticeResponse: fields by their letter. */
function report(body: Buffer): string {
  const fields = new Map<string, string>();
  let at = 0;
  while (at < body.length && body[at] !== 0) {
    const field = cString(body, at + 1);
    fields.set(String.fromCharCode(body[at] ?? 0), field.text);
    at = field.next;
  }
  const lines = [`${fields.get('S') ?? ''} ${fields.get('C') ?? ''}: ${fields.get('M') ?? ''}`];
  for (const [letter, name] of [
    ['D', 'DETAIL'],
    ['H', 'HINT'],
  ] as const) {
    const text = fields.get(letter);
    if (text !== undefined) lines.push(`${name}: ${text}`);
  }
  return lines.join('\n');
}

function cString(body: Buffer, from: number): { text: string; next: number } {
  const found = body.indexOf(0, from);
  const end = found < 0 ? body.length : found;
  return { text: body.toString('utf8', from, end), next: end + 1 };
}

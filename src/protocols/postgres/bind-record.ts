import type { MaskedText } from './masked-text.ts';
import { cstringEnd } from './messages.ts';

/** The parts of a Bind message that the gateway needs. */
export interface BindMessage {
  readonly portal: string;
  readonly statement: string;
  readonly formats: readonly number[];
  /** Spans of the values in the buffer; -1 as length for NULL. */
  readonly values: readonly { readonly at: number; readonly length: number }[];
}

/** Decodes the body `[from, to)` of a Bind; null when it breaks the format. */
export function parseBind(bytes: Buffer, from: number, to: number): BindMessage | null {
  const portalEnd = cstringEnd(bytes, from, to);
  if (portalEnd === -1) return null;
  const statementEnd = cstringEnd(bytes, portalEnd + 1, to);
  if (statementEnd === -1 || statementEnd + 3 > to) return null;
  let at = statementEnd + 1;
  const formatCount = bytes.readUInt16BE(at);
  at += 2;
  if (at + formatCount * 2 + 2 > to) return null;
  const formats: number[] = [];
  for (let i = 0; i < formatCount; i++, at += 2) formats.push(bytes.readInt16BE(at));
  const count = bytes.readUInt16BE(at);
  at += 2;
  const values: { at: number; length: number }[] = [];
  for (let i = 0; i < count; i++) {
    if (at + 4 > to) return null;
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length < -1 || at + Math.max(0, length) > to) return null;
    values.push({ at, length });
    at += Math.max(0, length);
  }
  if (at + 2 > to || at + 2 + bytes.readUInt16BE(at) * 2 !== to) return null;
  return {
    portal: bytes.toString('utf8', from, portalEnd),
    statement: bytes.toString('utf8', portalEnd + 1, statementEnd),
    formats,
    values,
  };
}

const TEXT_TYPES: ReadonlySet<number> = new Set([25, 1043, 1042, 19, 705, 114, 142]);

/**
 * The bind values as a JSON array for the record: masked text, `null`, or `{"bytes":n}` where the content cannot be shown
 * or is longer than `limit`. With `cover` every value is shown as `"***"`.
 */
export function recordedParams(
  bind: BindMessage,
  bytes: Buffer,
  types: readonly number[],
  masked: MaskedText,
  limit: number,
  cover: boolean,
): string {
  let parts = '';
  for (let i = 0; i < bind.values.length; i++) {
    const value = bind.values[i] as BindMessage['values'][number];
    const format = (bind.formats.length === 1 ? bind.formats[0] : bind.formats[i]) ?? 0;
    if (i > 0) parts += ',';
    parts += recordedValue(bytes, value.at, value.length, format === 0 ? null : (types[i] ?? 0), masked, limit, cover);
  }
  return `[${parts}]`;
}

/** @param binaryType null for a value in text format. */
function recordedValue(
  bytes: Buffer,
  at: number,
  length: number,
  binaryType: number | null,
  masked: MaskedText,
  limit: number,
  cover: boolean,
): string {
  if (length === -1) return 'null';
  if (cover) return '"***"';
  if (length > limit) return `{"bytes":${length}}`;
  if (binaryType === null) return masked.json(bytes, at, at + length);
  const text = binaryText(bytes, at, length, binaryType);
  return text === null ? `{"bytes":${length}}` : masked.json(text, 0, text.length);
}

/** A binary value as text where its type says how; null otherwise: bytes of an unknown type may be card data in disguise. */
function binaryText(bytes: Buffer, at: number, length: number, type: number): Buffer | null {
  if (TEXT_TYPES.has(type)) return bytes.subarray(at, at + length);
  if (type === 3802 && length > 0) return bytes.subarray(at + 1, at + length);
  if (type === 20 && length === 8) return Buffer.from(bytes.readBigInt64BE(at).toString());
  if (type === 23 && length === 4) return Buffer.from(bytes.readInt32BE(at).toString());
  if (type === 21 && length === 2) return Buffer.from(bytes.readInt16BE(at).toString());
  if (type === 16 && length === 1) return Buffer.from(bytes[at] === 1 ? 't' : 'f');
  return null;
}

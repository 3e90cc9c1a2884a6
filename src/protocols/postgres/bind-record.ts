import { jsonString } from '../../recording/json.ts';
import type { Masker } from '../../workers/masker.ts';

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
  const portalEnd = bytes.indexOf(0, from);
  if (portalEnd === -1 || portalEnd >= to) return null;
  const statementEnd = bytes.indexOf(0, portalEnd + 1);
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
  masker: Masker,
  counts: Uint32Array,
  limit: number,
  cover: boolean,
): string {
  const parts = bind.values.map(({ at, length }, i) => {
    if (length === -1) return 'null';
    if (cover) return '"***"';
    if (length > limit) return `{"bytes":${length}}`;
    const format = bind.formats.length === 1 ? bind.formats[0] : (bind.formats[i] ?? 0);
    const text = format === 0 ? Buffer.from(bytes.subarray(at, at + length)) : binaryText(bytes, at, length, types[i] ?? 0);
    if (text === null) return `{"bytes":${length}}`;
    masker.text(text, 0, text.length, counts);
    return jsonString(text.toString('utf8'));
  });
  return `[${parts.join(',')}]`;
}

/** A binary value as text where its type says how; null otherwise: bytes of an unknown type may be card data in disguise. */
function binaryText(bytes: Buffer, at: number, length: number, type: number): Buffer | null {
  if (TEXT_TYPES.has(type)) return Buffer.from(bytes.subarray(at, at + length));
  if (type === 3802 && length > 0) return Buffer.from(bytes.subarray(at + 1, at + length));
  if (type === 20 && length === 8) return Buffer.from(bytes.readBigInt64BE(at).toString());
  if (type === 23 && length === 4) return Buffer.from(bytes.readInt32BE(at).toString());
  if (type === 21 && length === 2) return Buffer.from(bytes.readInt16BE(at).toString());
  if (type === 16 && length === 1) return Buffer.from(bytes[at] === 1 ? 't' : 'f');
  return null;
}

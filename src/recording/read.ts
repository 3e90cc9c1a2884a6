/** Reads record files as streams of complete lines, in constant memory but for the longest line. */
import { closeSync, openSync, readSync } from 'node:fs';
import { listSegments } from './directory.ts';
import type { LineType } from './model.ts';

const CHUNK = 1 << 20;
const NEWLINE = 10;

/** The members every line has. The others depend on its type, see docs/record-format.md. */
export interface RecordLine {
  readonly v: 1;
  readonly prev: string;
  readonly seq: number;
  readonly t: string;
  readonly type: LineType;
  readonly sid: string;
  readonly [member: string]: unknown;
}

/** Complete lines, borrowed until the next one is asked for. */
export interface LineChunk {
  /** `[0, len)` holds lines, each ended by a newline; with `partial` set, the bytes at the end of the file that no newline ends. */
  readonly buf: Buffer;
  readonly len: number;
  /** Where in the file the chunk begins. */
  readonly offset: number;
  readonly partial: boolean;
}

/** The file in chunks of complete lines, from `offset` on. */
export function* readChunks(path: string, offset = 0): Generator<LineChunk, void, void> {
  const fd = openSync(path, 'r');
  try {
    let buf = Buffer.allocUnsafeSlow(CHUNK);
    let held = 0;
    let position = offset;
    for (;;) {
      if (held === buf.length) {
        const larger = Buffer.allocUnsafeSlow(buf.length * 2);
        buf.copy(larger, 0, 0, held);
        buf = larger;
      }
      const read = readSync(fd, buf, held, buf.length - held, position + held);
      held += read;
      if (read === 0) break;
      const len = buf.lastIndexOf(NEWLINE, held - 1) + 1;
      if (len === 0 || buf[len - 1] !== NEWLINE) continue;
      yield { buf, len, offset: position, partial: false };
      buf.copy(buf, 0, len, held);
      held -= len;
      position += len;
    }
    if (held > 0) yield { buf, len: held, offset: position, partial: true };
  } finally {
    closeSync(fd);
  }
}

/** The line as an object, or null when it is not a line of a record. */
export function parseLine(buf: Buffer, start: number, end: number): RecordLine | null {
  try {
    const value: unknown = JSON.parse(buf.toString('utf8', start, end));
    return isLine(value) ? value : null;
  } catch {
    return null;
  }
}

function isLine(value: unknown): value is RecordLine {
  if (typeof value !== 'object' || value === null) return false;
  const line = value as Record<string, unknown>;
  return line['v'] === 1 && typeof line['prev'] === 'string' && Number.isSafeInteger(line['seq'])
    && typeof line['t'] === 'string' && typeof line['type'] === 'string' && typeof line['sid'] === 'string';
}

/** A line with the place where it stands. */
export interface PlacedLine {
  readonly file: string;
  readonly line: RecordLine;
}

/** All lines of a chain, oldest segment first, `type`s only when given. Bytes that are no lines are passed over: `verify` is who reports them. */
export function* readLines(directory: string, types?: ReadonlySet<LineType>): Generator<PlacedLine, void, void> {
  // The type stands within the first bytes of a line, so the others need not be parsed.
  const wanted = types === undefined ? null : [...types].map((type) => `","type":"${type}"`);
  for (const file of listSegments(directory)) {
    for (const chunk of readChunks(file)) {
      if (chunk.partial) break;
      for (let start = 0; start < chunk.len; ) {
        const end = chunk.buf.indexOf(NEWLINE, start);
        if (wanted !== null) {
          const head = chunk.buf.toString('latin1', start, Math.min(end, start + 200));
          if (!wanted.some((text) => head.includes(text))) {
            start = end + 1;
            continue;
          }
        }
        const line = parseLine(chunk.buf, start, end);
        if (line !== null) yield { file, line };
        start = end + 1;
      }
    }
  }
}

/** The last complete line of a file, without its newline; null when there is none. */
export function readLastLine(path: string, size: number): Buffer | null {
  const fd = openSync(path, 'r');
  try {
    for (let want = 4096; ; want *= 16) {
      const from = Math.max(0, size - want);
      const buf = Buffer.alloc(size - from);
      readSync(fd, buf, 0, buf.length, from);
      const end = buf.lastIndexOf(NEWLINE);
      if (end < 0) {
        if (from === 0) return null;
        continue;
      }
      const before = end === 0 ? -1 : buf.lastIndexOf(NEWLINE, end - 1);
      if (before >= 0 || from === 0) return Buffer.from(buf.subarray(before + 1, end));
    }
  } finally {
    closeSync(fd);
  }
}

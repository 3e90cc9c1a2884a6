/** Reads record files as streams of complete lines, in constant memory but for the longest line. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
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
  return (
    line['v'] === 1 &&
    typeof line['prev'] === 'string' &&
    line['prev'].length === 64 &&
    Number.isSafeInteger(line['seq']) &&
    typeof line['t'] === 'string' &&
    typeof line['type'] === 'string' &&
    typeof line['sid'] === 'string'
  );
}

/** A line with the place where it stands. */
export interface PlacedLine {
  readonly file: string;
  readonly line: RecordLine;
}

export interface LineFilter {
  readonly types?: readonly LineType[];
  readonly sid?: string;
}

/** Everything up to the members that depend on the type stands within this many bytes, session ids being short. */
const HEAD = 300;

/** The lines of a chain, oldest segment first. Bytes that are no lines are passed over: `verify` is who reports them. */
export function* readLines(directory: string, filter: LineFilter = {}): Generator<PlacedLine, void, void> {
  // A line that is not wanted is told by its first bytes, without parsing it.
  const types = filter.types?.map((type) => `","type":"${type}","sid":"`);
  const sid = filter.sid === undefined ? '' : `","sid":"${filter.sid}"`;
  for (const file of listSegments(directory)) {
    for (const { buf, len, partial } of readChunks(file)) {
      if (partial) break;
      for (let start = 0; start < len; ) {
        const end = buf.indexOf(NEWLINE, start);
        const head = types === undefined && sid === '' ? '' : buf.toString('latin1', start, Math.min(end, start + HEAD));
        if ((types === undefined || types.some((text) => head.includes(text))) && head.includes(sid)) {
          const line = parseLine(buf, start, end);
          if (line !== null) yield { file, line };
        }
        start = end + 1;
      }
    }
  }
}

/** The last complete line of a file, without its newline; null when there is none. */
export function readLastLine(path: string): Buffer | null {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
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

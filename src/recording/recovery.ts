/**
 * What a crash left of a chain, made whole. A crash can damage only what no sync had covered; the `s` mark on a line (and
 * `synced` on a checkpoint) says that the lines before it were synced by then. So damage before a marked line is not a crash,
 * and the chain is not opened over it.
 */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, ftruncateSync, openSync, readSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { RecordChain } from '../../native/binding/index.js';
import { GatewayError } from '../errors.ts';
import { leavesPath, listSegments, segmentNumber } from './directory.ts';
import { syncDirectory } from './files.ts';
import { headerState } from './header.ts';
import { OpenWork } from './open-work.ts';
import type { RecordLine } from './read.ts';
import { parseLine, readChunks, readLastLine } from './read.ts';

const NEWLINE = 10;
/** Entries in one `recover` line; the rest go into further ones. */
const LISTED = 1000;
/** What a line that says "all before me was synced" begins with. */
const MARKED = /^\{"v":1,"prev":"[0-9a-f]{64}","seq":(\d+),(?:"s":1,|.{0,120}"type":"checkpoint".{0,60}"synced":(\d+))/;

export interface Dropped {
  /** Name of the file that the bytes were moved to. */
  readonly file: string;
  readonly bytes: number;
  readonly lines: number;
}

/** Where a chain ends and how it came to. */
export interface ChainEnd {
  /** As `RecordChain.state()`; '' for a new chain. */
  readonly state: string;
  /** Number of the last segment, 0 when there is none. */
  readonly segment: number;
  readonly dropped: readonly Dropped[];
  /** Sessions that have no end, intents that have no result. */
  readonly sessions: readonly string[];
  readonly intents: readonly number[];
  /** The last writer closed the chain. */
  readonly clean: boolean;
}

/** Verifies the last segment, drops what a crash left half-written at its end, and says where the chain goes on. */
export function recoverChain(directory: string): ChainEnd {
  const segments = listSegments(directory);
  const dropped: Dropped[] = [];
  for (let i = segments.length - 1; i >= 0; i--) {
    const path = segments[i] as string;
    const scan = scanSegment(path);
    if (scan.chain === null) {
      // Not even its header was written whole: the segment before it is the last.
      refuseIfSynced(path, scan);
      dropped.push(moveAway(directory, path));
      continue;
    }
    const before = segments[i - 1];
    if (before !== undefined) checkLink(before, path, scan.headerPrev);
    if (scan.goodBytes < scan.fileBytes) {
      refuseIfSynced(path, scan);
      dropped.push(dropTail(directory, path, scan));
    }
    syncFile(path);
    writeFileSync(leavesPath(path), scan.chain.takeLeaves(), { mode: 0o600, flush: true });
    return {
      state: scan.chain.state(),
      segment: segmentNumber(path),
      dropped,
      ...scan.openWork.toJSON(),
      clean: scan.sealed && dropped.length === 0,
    };
  }
  return { state: '', segment: 0, dropped, sessions: [], intents: [], clean: true };
}

/** The members of the `recover` lines that account for `end`; none when there is nothing to say. */
export function recoveryLines(end: ChainEnd): string[] {
  if (end.clean && end.dropped.length === 0 && end.sessions.length === 0 && end.intents.length === 0) return [];
  const lines: string[] = [];
  let sessions = 0;
  let intents = 0;
  do {
    const members = {
      event: 'recover',
      ...(lines.length === 0 ? { dropped: end.dropped, incomplete: end.sessions.length, unknown: end.intents.length } : {}),
      sessions: end.sessions.slice(sessions, sessions + LISTED),
      intents: end.intents.slice(intents, intents + LISTED),
    };
    sessions += LISTED;
    intents += LISTED;
    lines.push(JSON.stringify(members).slice(1, -1));
  } while (sessions < end.sessions.length || intents < end.intents.length);
  return lines;
}

interface Scan {
  /** After the last good line; null when there is none. */
  readonly chain: RecordChain | null;
  readonly headerPrev: string;
  readonly openWork: OpenWork;
  readonly goodBytes: number;
  readonly goodLines: number;
  readonly fileBytes: number;
  /** The first bad line is linked to the good ones, so it is itself what is damaged. */
  readonly linked: boolean;
  readonly sealed: boolean;
}

function scanSegment(path: string): Scan {
  let chain: RecordChain | null = null;
  let openWork = new OpenWork();
  let headerPrev = '';
  let goodBytes = 0;
  let goodLines = 0;
  let linked = true;
  let sealed = false;
  const fileBytes = statSync(path).size;
  for (const chunk of readChunks(path)) {
    if (chunk.partial) break;
    let start = 0;
    while (start < chunk.len) {
      const end = chunk.buf.indexOf(NEWLINE, start);
      const line = parseLine(chunk.buf, start, end);
      if (chain === null && line !== null) {
        const state = headerState(line);
        if (state !== null) {
          chain = new RecordChain(state.chain);
          openWork = new OpenWork(state.open);
          headerPrev = line.prev;
        }
      }
      if (chain === null || line === null || line.seq !== chain.size()) break;
      linked = chain.follow(chunk.buf, start, end + 1 - start) === 1;
      if (!linked) break;
      followLine(openWork, line);
      sealed = line.type === 'checkpoint' && line['seal'] === true;
      start = end + 1;
      goodBytes = chunk.offset + start;
      goodLines++;
    }
    if (start < chunk.len) break;
  }
  return { chain: goodLines === 0 ? null : chain, headerPrev, openWork, goodBytes, goodLines, fileBytes, linked, sealed };
}

function followLine(openWork: OpenWork, line: RecordLine): void {
  if (line.type === 'session') openWork.follow('session', line.sid, `"event":${JSON.stringify(line['event'])}`, line.seq);
  else if (line.type === 'result') openWork.follow('result', line.sid, `"intent":${String(line['intent'])}`, line.seq);
  else if (line['event'] === 'recover')
    openWork.recovered({ sessions: list(line['sessions']).map(String), intents: list(line['intents']).map(Number) });
  else openWork.follow(line.type, line.sid, '', line.seq);
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A line after the damage that could be written only once the damaged part had been synced: then no crash did this. */
function refuseIfSynced(path: string, scan: Scan): void {
  const firstBad = scan.chain?.size() ?? 0;
  let first = scan.linked;
  for (const chunk of readChunks(path, scan.goodBytes)) {
    for (let start = 0; start < chunk.len; ) {
      const newline = chunk.buf.indexOf(NEWLINE, start);
      const end = newline < 0 || newline > chunk.len ? chunk.len : newline;
      const match = MARKED.exec(chunk.buf.toString('latin1', start, Math.min(end, start + 400)));
      // A damaged line that is linked well says nothing of the lines before it but what is true.
      if (match !== null && !first && Number(match[2] ?? match[1]) > 0 && Number(match[2] ?? firstBad + 1) > firstBad)
        throw broken(path, scan.goodLines + 1);
      first = false;
      start = end + 1;
    }
  }
}

function broken(path: string, line: number): GatewayError {
  return new GatewayError({
    code: 'record_broken',
    source: 'gateway',
    phase: 'record',
    publicMessage: `${path}:${line}: the chain of the record is broken here, and lines after it show that this part was on disk before: not the work of a crash`,
    hint: 'run `sluice verify` on the directory, keep it as evidence, and move it away before starting again',
  });
}

function checkLink(before: string, path: string, headerPrev: string): void {
  const last = readLastLine(before);
  if (last !== null && createHash('sha256').update(last).digest('hex') === headerPrev) return;
  throw new GatewayError({
    code: 'record_broken',
    source: 'gateway',
    phase: 'record',
    publicMessage: `${before}: its last line is not the one that ${path} continues`,
    hint: 'run `sluice verify` on the directory, keep it as evidence, and move it away before starting again',
  });
}

function dropTail(directory: string, path: string, scan: Scan): Dropped {
  const tail = Buffer.alloc(scan.fileBytes - scan.goodBytes);
  const fd = openSync(path, 'r+');
  try {
    readSync(fd, tail, 0, tail.length, scan.goodBytes);
    const file = tornPath(path);
    // First kept aside for the auditor, then cut off.
    writeFileSync(file, tail, { mode: 0o600, flush: true });
    syncDirectory(directory);
    ftruncateSync(fd, scan.goodBytes);
    fsyncSync(fd);
    return { file: baseName(file), bytes: tail.length, lines: countLines(tail) };
  } finally {
    closeSync(fd);
  }
}

function moveAway(directory: string, path: string): Dropped {
  const bytes = statSync(path).size;
  let lines = 0;
  for (const chunk of readChunks(path)) lines += countLines(chunk.buf.subarray(0, chunk.len));
  const file = tornPath(path);
  renameSync(path, file);
  rmSync(leavesPath(path), { force: true });
  syncDirectory(directory);
  return { file: baseName(file), bytes, lines };
}

function tornPath(path: string): string {
  const stem = path.replace(/\.jsonl$/, '');
  let file = `${stem}.torn`;
  for (let n = 2; existsSync(file); n++) file = `${stem}-${n}.torn`;
  return file;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function countLines(bytes: Buffer): number {
  let lines = 0;
  for (let start = 0; start < bytes.length; lines++) {
    const end = bytes.indexOf(NEWLINE, start);
    start = end < 0 ? bytes.length : end + 1;
  }
  return lines;
}

function syncFile(path: string): void {
  const fd = openSync(path, 'r+');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

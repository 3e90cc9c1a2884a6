/**
 * Checks a record: that each line continues the one before, that numbers have no gap, that the leaf hashes and the signed
 * tree roots are those of the lines, that segments follow on each other. `tools/verify-record.mjs` does the same and shares
 * no code with this.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { RecordChain } from '../../native/binding/index.js';
import type { CheckpointText, VerifierKey } from './checkpoint.ts';
import { openCheckpoint, parseVerifierKeys } from './checkpoint.ts';
import { leavesPath, listChains, listSegments, segmentNumber, segmentPath } from './directory.ts';
import type { HeaderState } from './header.ts';
import { headerState } from './header.ts';
import { LeavesCheck, treeOfLeaves } from './leaves.ts';
import type { RecordLine } from './read.ts';
import { parseLine, readChunks } from './read.ts';

const NEWLINE = 10;
const TYPES: ReadonlySet<string> = new Set([
  'intent',
  'result',
  'output',
  'deny',
  'approval',
  'auth',
  'session',
  'config',
  'read',
  'recorder',
  'checkpoint',
]);

export interface VerifyOptions {
  /** Verifier keys, one a line. Default: `keys/record.pub` of the data directory around the record. */
  readonly keys?: string;
  /** Checkpoints kept elsewhere: the record must hold what they signed. This is what shows that its end was cut off. */
  readonly known?: readonly string[];
}

export interface Finding {
  readonly file: string;
  /** From 1; 0 stands for the file as a whole. */
  readonly line: number;
  readonly message: string;
}

export interface VerifyReport {
  readonly ok: boolean;
  readonly lines: number;
  readonly segments: number;
  readonly checkpoints: number;
  /** Why it does not hold. */
  readonly problems: readonly Finding[];
  /** What a reader should know, though nothing is wrong with it. */
  readonly notes: readonly Finding[];
}

/** Verifies one segment, one chain, or all chains of a record or data directory. */
export function verifyRecord(path: string, options: VerifyOptions = {}): VerifyReport {
  const findings = new Findings();
  const target = resolve(path);
  if (!existsSync(target)) {
    findings.problem(target, 0, 'there is no such file or directory');
    return findings.report();
  }
  const single = statSync(target).isFile();
  const chains = single ? [dirname(target)] : listChains(target);
  if (chains.length === 0) findings.problem(target, 0, 'there is no record here');
  for (const directory of chains) verifyChain(directory, single ? [target] : listSegments(directory), options, findings);
  for (const note of options.known ?? []) {
    const [origin = ''] = note.split('\n');
    if (!findings.origins.has(origin)) findings.problem(target, 0, `no chain here is that of a checkpoint kept elsewhere, ${origin}`);
  }
  return findings.report();
}

class Findings {
  lines = 0;
  segments = 0;
  checkpoints = 0;
  readonly origins = new Set<string>();
  readonly problems: Finding[] = [];
  readonly notes: Finding[] = [];

  problem(file: string, line: number, message: string): void {
    this.problems.push({ file, line, message });
  }

  /** Before all other problems: most of what follows from it is said by it. */
  withoutKeys(file: string, message: string): void {
    if (!this.problems.some((known) => known.file === file && known.message === message)) this.problems.unshift({ file, line: 0, message });
  }

  note(file: string, line: number, message: string): void {
    this.notes.push({ file, line, message });
  }

  report(): VerifyReport {
    const { lines, segments, checkpoints, problems, notes } = this;
    return { ok: problems.length === 0, lines, segments, checkpoints, problems, notes };
  }
}

function verifyChain(directory: string, segments: readonly string[], options: VerifyOptions, findings: Findings): void {
  const verifier = new ChainVerifier(directory, options, findings);
  for (const path of segments) verifier.segment(path, path === segments.at(-1));
  verifier.end(segments.at(-1) ?? directory);
}

/** Follows one chain from segment to segment. */
class ChainVerifier {
  readonly #directory: string;
  readonly #findings: Findings;
  /** Null when there are none for this chain, which has been said: then its signatures are not looked at. */
  #keys: readonly VerifierKey[] | null;
  readonly #known: readonly string[];
  /** Checkpoints kept elsewhere that the chain has not reached yet. */
  #awaited: CheckpointText[] = [];
  /** Null before the first segment, and after a break until the next header. */
  #chain: RecordChain | null = null;
  #previous = 0;
  #origin = '';
  #checkpointSize = -1;
  #checkpointTime = '';

  constructor(directory: string, options: VerifyOptions, findings: Findings) {
    this.#directory = directory;
    this.#findings = findings;
    this.#known = options.known ?? [];
    this.#keys = readKeys(directory, options, findings);
  }

  segment(path: string, last: boolean): void {
    this.#findings.segments++;
    const leaves = new LeavesCheck(path, last);
    const report = (wrong: { line: number; message: string } | null): void => {
      if (wrong !== null) this.#problem(path, wrong.line, wrong.message);
    };
    let number = 0;
    let broken = false;
    for (const { buf, len, partial } of readChunks(path)) {
      if (partial) {
        this.#problem(path, number + 1, 'the last line is incomplete: cut off, or being written at this moment');
        break;
      }
      for (let start = 0; start < len && !broken; number++) {
        const end = buf.indexOf(NEWLINE, start);
        broken = !this.#line(path, number + 1, buf, start, end);
        start = end + 1;
      }
      if (this.#chain !== null) report(leaves.next(this.#chain.takeLeaves()));
      if (broken) break;
    }
    if (number === 0) this.#problem(path, 0, 'the segment holds no line');
    if (!broken && number > 0) report(leaves.end());
    leaves.close();
    if (broken) this.#chain = null;
    this.#previous = segmentNumber(path);
  }

  end(lastSegment: string): void {
    if (this.#checkpointSize < 0 && this.#keys !== null) this.#problem(lastSegment, 0, 'there is no checkpoint that holds');
    if (this.#chain === null) return;
    const size = this.#chain.size();
    this.#reach(lastSegment, 0);
    for (const { size: covered } of this.#awaited) {
      this.#problem(
        lastSegment,
        0,
        `a checkpoint kept elsewhere covers ${covered} lines, but the record ends after ${size}: its end was cut off`,
      );
    }
    // The checkpoint's own line is one more than it covers.
    const uncovered = size - this.#checkpointSize - 1;
    if (this.#checkpointSize >= 0 && uncovered > 0) {
      this.#findings.note(
        lastSegment,
        0,
        `${uncovered} lines follow the last checkpoint, of ${this.#checkpointTime}: they are chained, and no signature covers them yet`,
      );
    }
  }

  /** Returns false when the rest of the segment cannot be followed. */
  #line(path: string, number: number, buf: Buffer, start: number, end: number): boolean {
    const line = parseLine(buf, start, end);
    if (line === null) return this.#break(path, number, 'the line is not a JSON object with the members of a record line');
    if (number === 1 && !this.#header(path, line)) return false;
    const chain = this.#chain;
    if (chain === null) return false;
    const size = chain.size();
    if (line.seq !== size)
      return this.#break(path, number, `seq is ${line.seq} where ${size} follows: lines are missing, doubled or moved`);
    if (!TYPES.has(line.type)) this.#problem(path, number, `unknown type ${JSON.stringify(line.type)}`);
    this.#reach(path, number);
    if (line.type === 'checkpoint') this.#checkpoint(path, number, line);
    if (chain.follow(buf, start, end + 1 - start) !== 1) {
      return this.#break(
        path,
        number,
        'the line does not continue the line before it: one of the two was altered, moved, inserted or taken away',
      );
    }
    this.#findings.lines++;
    return true;
  }

  /** The first line of a segment says where the chain stood; that must be where we stand. */
  #header(path: string, line: RecordLine): boolean {
    const header = headerState(line);
    if (header === null) return this.#break(path, 1, 'the segment does not begin with a header');
    if (header.segment !== segmentNumber(path)) this.#problem(path, 1, `the header is that of segment ${header.segment}`);
    const origin = `${header.gateway}-${header.process}/record`;
    if (this.#origin === '') this.#awaitKnown(origin);
    else if (origin !== this.#origin) this.#problem(path, 1, `the header is that of ${origin}, in a record of ${this.#origin}`);
    const from = new RecordChain(header.chain);
    if (this.#previous !== 0) {
      if (header.previous !== this.#previous)
        this.#problem(path, 1, `the header follows segment ${header.previous}, but segment ${this.#previous} is what comes before`);
      if (this.#chain !== null && this.#chain.state() !== from.state())
        this.#problem(path, 1, 'the header does not continue the chain where the segment before it ends');
    } else if (header.previous !== 0) {
      this.#startLate(path, header);
    } else if (from.size() !== 0) {
      this.#problem(path, 1, 'the header names no segment before it, but lines');
    }
    this.#chain = from;
    return true;
  }

  /** Older segments are gone: their leaves, where they were kept, still say what the header's tree must be. */
  #startLate(path: string, header: HeaderState): void {
    const older = Array.from({ length: header.previous }, (_, i) => segmentPath(this.#directory, i + 1));
    const { size, frontier } = JSON.parse(header.chain) as { size: number; frontier: string[] };
    this.#findings.note(path, 1, `the record begins with line ${size}: older segments are not here`);
    if (!older.every((segment) => existsSync(leavesPath(segment)))) return;
    const tree = treeOfLeaves(older);
    if (tree.size !== size || tree.frontier.join() !== frontier.join()) {
      this.#problem(path, 1, 'the tree in the header is not that of the leaf hashes kept for the older segments');
    }
  }

  #checkpoint(path: string, number: number, line: RecordLine): void {
    const chain = this.#chain;
    if (chain === null) return;
    this.#findings.checkpoints++;
    if (this.#keys === null) return;
    const text = openCheckpoint(String(line['note']), this.#keys);
    if (typeof text === 'string') this.#problem(path, number, text);
    else if (text.origin !== this.#origin) this.#problem(path, number, `the checkpoint is that of ${text.origin}`);
    else if (text.size !== chain.size())
      this.#problem(path, number, `the checkpoint covers ${text.size} lines where ${chain.size()} come before it`);
    else if (text.root !== chain.root())
      this.#problem(path, number, 'the signed tree root is not that of the lines: lines before this were altered');
    else {
      this.#checkpointSize = text.size;
      this.#checkpointTime = line.t;
    }
  }

  #awaitKnown(origin: string): void {
    this.#origin = origin;
    this.#findings.origins.add(origin);
    if (this.#keys !== null && !this.#keys.some(({ name }) => name === origin)) {
      this.#problem(this.#directory, 0, `there is no key for ${origin}, so its signatures cannot be checked`);
      this.#keys = null;
    }
    if (this.#keys === null) return;
    // Those of other chains are signed by keys that are not ours to know.
    for (const note of this.#known.filter((known) => known.startsWith(`${origin}\n`))) {
      const text = openCheckpoint(note, this.#keys);
      if (typeof text === 'string') this.#problem(this.#directory, 0, `a checkpoint kept elsewhere: ${text}`);
      else this.#awaited.push(text);
    }
  }

  /** Holds the tree as it is now against the checkpoints kept elsewhere that have its size. */
  #reach(path: string, number: number): void {
    if (this.#awaited.length === 0 || this.#chain === null) return;
    const size = this.#chain.size();
    const reached = this.#awaited.filter((text) => text.size === size);
    if (reached.length === 0) return;
    this.#awaited = this.#awaited.filter((text) => text.size !== size);
    const root = this.#chain.root();
    for (const text of reached) {
      if (text.root !== root)
        this.#problem(path, number, `a checkpoint kept elsewhere signed another tree of ${size} lines: the record was rewritten`);
    }
  }

  #break(path: string, number: number, message: string): false {
    this.#problem(path, number, `${message}; the rest of the segment is not checked`);
    return false;
  }

  #problem(file: string, line: number, message: string): void {
    this.#findings.problem(file, line, message);
  }
}

/** Null when there are none; said once for all chains that would take them from the same place. */
function readKeys(directory: string, options: VerifyOptions, findings: Findings): VerifierKey[] | null {
  const path = options.keys === undefined ? join(directory, '..', '..', 'keys', 'record.pub') : 'keys';
  try {
    return parseVerifierKeys(options.keys ?? readFileSync(path, 'utf8'));
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const why = missing ? 'there are no verifier keys here' : error instanceof Error ? error.message : String(error);
    findings.withoutKeys(path, `${why}, so no signature can be checked: name the file that holds them with --keys`);
    return null;
  }
}

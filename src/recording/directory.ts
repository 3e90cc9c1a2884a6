/** Where the record lies: `<data_dir>/record/<gateway>-<process>/000001.jsonl`, one directory per chain, one writer each. */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { RecordLock } from '../../native/binding/index.js';
import { GatewayError } from '../errors.ts';
import { makePrivateDirectory } from './files.ts';

/** More processes than this on one data directory are a mistake. */
const MOST_SLOTS = 64;
const SEGMENT = /^(\d{6,})\.jsonl$/;

/** A chain that this process may write, until `lock` is released. */
export interface Slot {
  readonly directory: string;
  /** E.g. `1`, or `cli-1`. */
  readonly process: string;
  readonly lock: RecordLock;
}

/**
 * Takes the first chain of this gateway that no living process writes. A chain whose writer died is taken up again, since
 * the kernel dropped its lock, so a restarted gateway goes on with its own chain. `prefix` sets a kind of process apart, e.g. `cli-`.
 */
export function claimSlot(dataDir: string, gateway: string, prefix = ''): Slot {
  for (let slot = 1; slot <= MOST_SLOTS; slot++) {
    const process = `${prefix}${slot}`;
    const directory = join(dataDir, 'record', `${gateway}-${process}`);
    makePrivateDirectory(directory);
    const lock = new RecordLock(join(directory, 'lock'));
    if (lock.held) return { directory, process, lock };
  }
  throw new GatewayError({
    code: 'record_slots',
    source: 'gateway',
    phase: 'record',
    publicMessage: `${MOST_SLOTS} processes write records of ${gateway} under ${dataDir} already`,
    hint: 'stop some of them, or give this gateway its own data_dir',
  });
}

/** Path of segment `n` of a chain. */
export function segmentPath(directory: string, n: number): string {
  return join(directory, `${String(n).padStart(6, '0')}.jsonl`);
}

/** Path of a segment's leaf hashes. */
export function leavesPath(segment: string): string {
  return segment.replace(/\.jsonl$/, '.leaves');
}

/** Number of a segment from its path or name; NaN when it is none. */
export function segmentNumber(path: string): number {
  return Number(SEGMENT.exec(basename(path))?.[1] ?? Number.NaN);
}

/** Segments of a chain, oldest first. */
export function listSegments(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => SEGMENT.test(name))
    .sort((a, b) => segmentNumber(a) - segmentNumber(b))
    .map((name) => join(directory, name));
}

/** Chains at or below `path`: a chain's own directory, a `record` directory, or a data directory that holds one. */
export function listChains(path: string): string[] {
  const below = existsSync(join(path, 'record')) ? join(path, 'record') : path;
  const names = readdirSync(below, { withFileTypes: true });
  if (names.some((entry) => SEGMENT.test(entry.name))) return [below];
  return names
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(below, entry.name))
    .filter((directory) => listSegments(directory).length > 0)
    .sort();
}

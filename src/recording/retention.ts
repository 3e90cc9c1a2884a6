/** Removes segments that are older than they must be kept. Their leaf hashes stay: what was there can still be proved. */
import { rmSync } from 'node:fs';
import { listChains, listSegments } from './directory.ts';
import { syncDirectory } from './files.ts';
import { parseLine, readLastLine } from './read.ts';

const DAY_MS = 86_400_000;

/**
 * Deletes whole segments of a record or data directory whose last line is more than `retentionDays` old, oldest first, and
 * stops in each chain at the first that is not: a gap in the middle is never made. The newest segment of a chain always
 * stays. Returns the paths deleted.
 */
export function expireSegments(path: string, retentionDays: number, nowMs: number): string[] {
  const before = nowMs - retentionDays * DAY_MS;
  const deleted: string[] = [];
  for (const chain of listChains(path)) {
    const ofChain = deleted.length;
    for (const segment of listSegments(chain).slice(0, -1)) {
      const last = readLastLine(segment);
      const line = last === null ? null : parseLine(last, 0, last.length);
      if (line === null || !(Date.parse(line.t) < before)) break;
      rmSync(segment);
      deleted.push(segment);
    }
    if (deleted.length > ofChain) syncDirectory(chain);
  }
  return deleted;
}

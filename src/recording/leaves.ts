/** The leaf hashes beside each segment. They outlive the segment, so that its lines can still be proved to have been there. */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { leavesPath } from './directory.ts';

const HASH = 32;

export interface LeafProblem {
  /** Line of the segment, from 1; 0 for the file as a whole. */
  readonly line: number;
  readonly message: string;
}

/** Compares the leaves on disk with those of the lines, as these are hashed. */
export class LeavesCheck {
  readonly #fd: number;
  /** The last segment may be growing: its leaves are written in groups, after their lines. */
  readonly #growing: boolean;
  /** Leaves that were there before the first line was read: the segment may be written to meanwhile. */
  readonly #kept: number;
  #position = 0;
  #ended = false;
  #failed = false;

  constructor(segment: string, growing: boolean) {
    const path = leavesPath(segment);
    this.#fd = existsSync(path) ? openSync(path, 'r') : -1;
    this.#growing = growing;
    this.#kept = this.#fd < 0 ? 0 : Math.floor(fstatSync(this.#fd).size / HASH);
  }

  /** The leaves of the next lines. Returns what is wrong with those on disk, once. */
  next(leaves: Buffer): LeafProblem | null {
    if (this.#failed || this.#ended) return null;
    if (this.#fd < 0) return this.#fail({ line: 0, message: 'its leaf hashes (.leaves) are missing' });
    const stored = Buffer.alloc(leaves.length);
    const read = readSync(this.#fd, stored, 0, stored.length, this.#position);
    for (let off = 0; off + HASH <= read; off += HASH) {
      if (stored.compare(leaves, off, off + HASH, off, off + HASH) !== 0) {
        return this.#fail({
          line: (this.#position + off) / HASH + 1,
          message: 'the leaf hash kept beside the segment is another than that of the line',
        });
      }
    }
    this.#position += read;
    if (read < leaves.length) {
      if (!this.#growing)
        return this.#fail({ line: Math.floor(this.#position / HASH) + 1, message: 'leaf hashes are missing from here on' });
      this.#ended = true;
    }
    return null;
  }

  /** After the last line. */
  end(): LeafProblem | null {
    if (this.#fd < 0 || this.#failed) return null;
    const lines = Math.floor(this.#position / HASH);
    if (this.#kept <= lines) return null;
    return { line: lines, message: `the segment ends here, but leaf hashes are kept for ${this.#kept} lines: its end was cut off` };
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
  }

  #fail(problem: LeafProblem): LeafProblem {
    this.#failed = true;
    return problem;
  }
}

/** Size and frontier of the tree over the leaves kept for some segments, in order. */
export function treeOfLeaves(segments: readonly string[]): { size: number; frontier: string[] } {
  const frontier: Buffer[] = [];
  let size = 0;
  for (const segment of segments) {
    const leaves = readFileSync(leavesPath(segment));
    for (let off = 0; off + HASH <= leaves.length; off += HASH) {
      let hash = leaves.subarray(off, off + HASH);
      for (let carry = size; carry % 2 === 1; carry = Math.floor(carry / 2)) {
        hash = createHash('sha256')
          .update('\x01', 'latin1')
          .update(frontier.pop() as Buffer)
          .update(hash)
          .digest();
      }
      frontier.push(hash);
      size++;
    }
  }
  return { size, frontier: frontier.map((peak) => peak.toString('hex')) };
}

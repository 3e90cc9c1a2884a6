/** The segment file that is being written, and the leaf hashes beside it. */
import { leavesPath, segmentPath } from './directory.ts';
import type { RecordFiles } from './files.ts';
import { syncDirectory } from './files.ts';

const APPEND_NEW = 'ax';
const PRIVATE = 0o600;

export class SegmentFile {
  readonly path: string;
  readonly number: number;
  bytes = 0;
  readonly fd: number;
  readonly #leavesFd: number;
  readonly #files: RecordFiles;
  #syncs = 0;
  #closeWanted = false;
  #closed = false;

  /** Creates segment `number`; fails when it exists. Its name is durable on return. */
  constructor(files: RecordFiles, directory: string, number: number) {
    this.#files = files;
    this.number = number;
    this.path = segmentPath(directory, number);
    this.fd = files.open(this.path, APPEND_NEW, PRIVATE);
    // A crash between the two creations leaves an empty segment, which recovery moves away: so no 'x' here.
    this.#leavesFd = files.open(leavesPath(this.path), 'w', PRIVATE);
    syncDirectory(directory);
  }

  /** Appends all of `[0, len)`. On an error what was written of it is taken away again, where the disk lets us. */
  write(buf: Uint8Array, len: number): void {
    try {
      writeAll(this.#files, this.fd, buf, len);
    } catch (error) {
      try {
        this.#files.truncate(this.fd, this.bytes);
      } catch {
        // Recovery drops the torn lines at the next start.
      }
      throw error;
    }
    this.bytes += len;
  }

  /** Leaf hashes can be computed again from the segment as long as it is there, so they are synced only at its end. */
  writeLeaves(leaves: Uint8Array): void {
    if (leaves.length > 0) writeAll(this.#files, this.#leavesFd, leaves, leaves.length);
  }

  /** Syncs the lines off the event loop. */
  sync(done: (error: Error | null) => void): void {
    this.#sync(this.fd, done);
  }

  /** Syncs both files off the event loop, then closes them. */
  finish(done: (error: Error | null) => void): void {
    this.#sync(this.fd, (segmentError) => {
      this.#sync(this.#leavesFd, (leavesError) => {
        this.close();
        done(segmentError ?? leavesError);
      });
    });
  }

  /** Closes both files once no sync uses them. */
  close(): void {
    this.#closeWanted = true;
    if (this.#syncs > 0 || this.#closed) return;
    this.#closed = true;
    this.#files.close(this.fd);
    this.#files.close(this.#leavesFd);
  }

  #sync(fd: number, done: (error: Error | null) => void): void {
    this.#syncs++;
    this.#files.syncData(fd, (error) => {
      this.#syncs--;
      done(error);
      if (this.#closeWanted) this.close();
    });
  }
}

/** A write may be short, e.g. when the disk fills up; the next one then says why. */
function writeAll(files: RecordFiles, fd: number, buf: Uint8Array, len: number): void {
  for (let off = 0; off < len; ) {
    const written = files.write(fd, buf, off, len - off);
    if (written <= 0) throw new Error('the file takes no more bytes');
    off += written;
  }
}

/** The file operations of the record's writer, so that a test can stand in for a disk that fails. */
import { closeSync, fdatasync, fdatasyncSync, fsyncSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs';

export interface RecordFiles {
  open(path: string, flags: string, mode: number): number;
  /** Appends; may write less than asked for. Returns the bytes written. */
  write(fd: number, buf: Uint8Array, off: number, len: number): number;
  truncate(fd: number, len: number): void;
  syncData(fd: number, done: (error: Error | null) => void): void;
  syncDataNow(fd: number): void;
  close(fd: number): void;
}

export const diskFiles: RecordFiles = {
  open: (path, flags, mode) => openSync(path, flags, mode),
  write: (fd, buf, off, len) => writeSync(fd, buf, off, len),
  truncate: (fd, len) => ftruncateSync(fd, len),
  syncData: (fd, done) => fdatasync(fd, done),
  syncDataNow: (fd) => fdatasyncSync(fd),
  close: (fd) => closeSync(fd),
};

/** Makes `path` and its parents, readable by nobody else. */
export function makePrivateDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
}

/** Makes the entries of a directory durable: a new file's name is not until then. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Named places where a test stops the process or makes it fail. */
export interface Failpoints {
  hit(name: string): void;
}

export const noFailpoints: Failpoints = { hit: () => {} };

import type { Slab } from './slab.ts';

/** What moves a channel's bytes: a descriptor of our own, or a stream of Node's where bytes need more than a system call (TLS). */
export interface Transport {
  /** Bytes handed over and not yet taken by the system. */
  readonly queued: number;
  /** Writes a region of a slab, which stays as it is until the system has taken it. False when something is queued. */
  writeSlab(slab: Slab, from: number, to: number): boolean;
  /** Writes bytes that the caller gives away. */
  writeOwned(bytes: Uint8Array): boolean;
  /** Reads on, or for the first time. */
  resume(): void;
  pause(): void;
  /** Sends what is queued, then ends our side. */
  finish(): void;
  destroy(): void;
}

/** What a transport tells its channel. */
export interface TransportSink {
  readonly slab: Slab;
  /** One past the last byte read. */
  readonly end: number;
  /** Makes room behind `end`: bytes that the transport may fill. */
  makeRoom(): number;
  /** So many bytes were filled. False: read no further until `resume`. */
  onRead(count: number): boolean;
  onEnd(): void;
  /** Nothing is queued any more. */
  onDrain(): void;
  onClose(error: Error | null): void;
}

/** The record as the rest of the gateway sees it. The format on disk is in docs/record-format.md. */

export type LineType =
  | 'intent'
  | 'result'
  | 'output'
  | 'deny'
  | 'approval'
  | 'auth'
  | 'session'
  | 'config'
  | 'read'
  | 'recorder'
  | 'checkpoint';

export type Durability = 'durable' | 'buffered';

/** Something that waits for its lines to be on disk. An interface and not a callback, so that a hot path allocates no closure. */
export interface RecordWaiter {
  /** Called once. `error` is set when the lines could not be recorded: then nothing may be forwarded. */
  onRecorded(error: Error | null): void;
}

export interface Recorder {
  readonly durability: Durability;
  /**
   * Adds a line to the batch of this tick and returns its `seq`. `members` are the JSON members of the line after the fixed
   * ones, without braces and without leading comma, e.g. `"op":7,"text":"select 1"`; they must be masked already and be
   * valid JSON (use `jsonString`). Throws GatewayError `record_failed` when the record has failed.
   */
  append(type: LineType, sid: string, members: string): number;
  /** As `append`, with `[off, off+len)` of `buf` as base64 in a member `"data"`: reply bytes as the user saw them. Copies. */
  appendOutput(sid: string, members: string, buf: Uint8Array, off: number, len: number, type?: 'output' | 'result'): number;
  /** Calls `waiter.onRecorded` when every line up to now is durable. Waiters are called in the order in which they asked. */
  whenRecorded(waiter: RecordWaiter): void;
  /** Bytes accepted and not yet written; producers of output should pause above `highWater`. */
  readonly pendingBytes: number;
  readonly highWater: number;
  /** Calls `fn` once when pendingBytes is below highWater again. */
  onceDrained(fn: () => void): void;
  /** The error that stopped the record, or null. Once set it stays set: the gateway forwards nothing more. */
  readonly failure: Error | null;
  /** Seals the segment with a checkpoint and closes. */
  close(): Promise<void>;
}

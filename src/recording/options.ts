/** What a recorder is made of. */
import type { Clock } from './clock.ts';
import type { Failpoints, RecordFiles } from './files.ts';
import type { Durability } from './model.ts';

export interface RecorderOptions {
  readonly dataDir: string;
  /** Name of the gateway. */
  readonly gateway: string;
  readonly durability: Durability;
  /** A segment is sealed once it is at least this long. */
  readonly segmentBytes: number;
  readonly checkpointSeconds: number;
  /** Version of the software, for the header. */
  readonly version: string;
  /** Hash of the policies in force at the start, for the header. */
  readonly policySnapshot?: string;
  readonly clock?: Clock;
  readonly files?: RecordFiles;
  readonly failpoints?: Failpoints;
  /** Calls back soon, when what comes in at the same time has come: lines appended until then share a write. Default: setImmediate. */
  readonly schedule?: (flush: () => void) => void;
  /** See `Recorder.highWater`. */
  readonly highWater?: number;
}

/** The writer of one chain: lines into batches, batches into segments, waiters told once their lines are safe. */
import { hostname } from 'node:os';
import { RecordChain } from '../../native/binding/index.js';
import { GatewayError } from '../errors.ts';
import { Batch } from './batch.ts';
import type { CheckpointSigner } from './checkpoint.ts';
import { openSigner } from './checkpoint.ts';
import type { Clock } from './clock.ts';
import { systemClock, TimeFormat } from './clock.ts';
import type { Slot } from './directory.ts';
import { claimSlot } from './directory.ts';
import { notify, openError, recordError } from './failure.ts';
import type { Failpoints, RecordFiles } from './files.ts';
import { diskFiles, noFailpoints } from './files.ts';
import { jsonString } from './json.ts';
import type { Durability, LineType, Recorder, RecordWaiter } from './model.ts';
import { OpenWork } from './open-work.ts';
import type { RecorderOptions } from './options.ts';
import type { ChainEnd } from './recovery.ts';
import { recoverChain, recoveryLines } from './recovery.ts';
import { SegmentFile } from './segment.ts';

const HIGH_WATER = 4 << 20;
/** Longest line: a statement of 8 MB in which every byte takes a six-byte escape fits. */
const MAX_LINE = 64 << 20;
/** Producers that ignore `highWater` are refused here. */
const MAX_PENDING = 256 << 20;
/** Leaf hashes are written once there are this many. */
const LEAVES = 2048;
/** Lines that nobody waits for are synced after this many milliseconds at the latest. */
const LAZY_SYNC_MS = 100;
/** Lines that nobody waits for are written after this many milliseconds at the latest, or when they are this many bytes. */
const LAZY_FLUSH_MS = 5;
const LAZY_BYTES = 64 << 10;

/** The first members of every line; the hash is filled in when the batch is sealed. */
const LINE_START = `{"v":1,"prev":"${'0'.repeat(64)}","seq":`;

/**
 * Opens the gateway's chain for writing: claims a slot, recovers what a crash left behind, starts a new segment. The header
 * and the account of the recovery are written before this returns. Throws GatewayError when the existing record is broken.
 */
export function openRecorder(options: RecorderOptions): FileRecorder {
  let slot: Slot | null = null;
  try {
    slot = claimSlot(options.dataDir, options.gateway);
    return new FileRecorder(options, slot);
  } catch (error) {
    slot?.lock.release();
    throw openError(options.dataDir, error);
  }
}

export class FileRecorder implements Recorder {
  readonly durability: Durability;
  readonly highWater: number;
  /** The chain's directory. */
  readonly directory: string;
  readonly origin: string;

  readonly #options: RecorderOptions;
  readonly #slot: Slot;
  readonly #clock: Clock;
  readonly #time = new TimeFormat();
  readonly #files: RecordFiles;
  readonly #failpoints: Failpoints;
  readonly #chain: RecordChain;
  readonly #signer: CheckpointSigner;
  readonly #openWork: OpenWork;
  readonly #tick = (): void => this.#onTick();
  readonly #later: (flush: () => void) => void;
  readonly #checkpointTimer: NodeJS.Timeout;

  #segment: SegmentFile;
  #seq: number;
  /** Takes new lines. */
  #open = new Batch();
  /** Being synced, or empty and waiting to be `#open` again. */
  #other = new Batch();
  #tickScheduled = false;
  /** A sync that waiters depend on is under way. */
  #syncing = false;
  /** Lines are written that no sync has covered or will cover. */
  #unsynced = false;
  /** Lines whose leaf hashes are not written yet. */
  #newLeaves = 0;
  #lazySync: NodeJS.Timeout | null = null;
  #lazyFlush: NodeJS.Timeout | null = null;
  /** In `buffered`: a background sync is under way. */
  #backgroundSync = false;
  /** In `buffered`: all lines before this one are known to be on disk. */
  #syncedSeq = 0;
  #checkpointDue = false;
  #drained: (() => void)[] = [];
  #finishing = 0;
  #closing: { resolve: () => void; reject: (error: Error) => void } | null = null;
  #closed: Promise<void> | null = null;
  #failure: GatewayError | null = null;

  constructor(options: RecorderOptions, slot: Slot) {
    this.#options = options;
    this.#slot = slot;
    this.directory = slot.directory;
    this.origin = `${options.gateway}-${slot.process}/record`;
    this.durability = options.durability;
    this.highWater = options.highWater ?? HIGH_WATER;
    this.#clock = options.clock ?? systemClock();
    this.#later = options.schedule ?? setImmediate;
    this.#files = options.files ?? diskFiles;
    this.#failpoints = options.failpoints ?? noFailpoints;
    this.#signer = openSigner(options.dataDir, this.origin);

    const end = recoverChain(slot.directory);
    this.#openWork = new OpenWork(end);
    this.#chain = new RecordChain(end.state);
    this.#seq = this.#chain.size();
    this.#syncedSeq = this.#seq;
    this.#segment = new SegmentFile(this.#files, slot.directory, end.segment + 1);
    try {
      this.#writeFirstLines(end);
    } catch (error) {
      this.#segment.close();
      throw error;
    }
    this.#checkpointTimer = setInterval(() => this.checkpoint(), options.checkpointSeconds * 1000);
    this.#checkpointTimer.unref();
  }

  get pendingBytes(): number {
    return this.#open.used + this.#other.used;
  }

  /** `seq` of the last line. */
  get lastSeq(): number {
    return this.#seq - 1;
  }

  get failure(): GatewayError | null {
    return this.#failure;
  }

  append(type: LineType, sid: string, members: string): number {
    this.#check(members.length);
    const seq = this.#start(type, sid, members, '}\n');
    this.#openWork.follow(type, sid, members, seq);
    return seq;
  }

  appendOutput(sid: string, members: string, buf: Uint8Array, off: number, len: number, type: 'output' | 'result' = 'output'): number {
    this.#check(members.length + len * 2);
    const seq = this.#start(type, sid, members, members === '' ? '"data":"' : ',"data":"');
    this.#open.base64(buf, off, len);
    this.#open.text('"}\n');
    if (type !== 'output') this.#openWork.follow(type, sid, members, seq);
    return seq;
  }

  whenRecorded(waiter: RecordWaiter): void {
    if (this.#failure !== null) {
      const failure = this.#failure;
      setImmediate(() => waiter.onRecorded(failure));
      return;
    }
    this.#open.waiters.push(waiter);
    this.#schedule();
  }

  onceDrained(fn: () => void): void {
    if (this.#failure !== null || this.pendingBytes < this.highWater) setImmediate(fn);
    else this.#drained.push(fn);
  }

  /** Writes a checkpoint with the next batch, which may hold nothing else. */
  checkpoint(): void {
    if (this.#failure !== null || this.#closing !== null) return;
    this.#checkpointDue = true;
    this.#schedule();
  }

  close(): Promise<void> {
    this.#closed ??= new Promise((resolve, reject) => {
      this.#closing = { resolve, reject };
      clearInterval(this.#checkpointTimer);
      if (this.#failure === null) {
        this.append('recorder', '', '"event":"stop"');
        this.#checkpointDue = true;
      } else {
        this.#finishClose();
      }
    });
    return this.#closed;
  }

  #check(bytes: number): void {
    if (this.#failure !== null) throw this.#failure;
    if (bytes <= MAX_LINE && this.#open.used + bytes <= MAX_PENDING) return;
    throw new GatewayError({
      code: 'record_too_large',
      source: 'gateway',
      phase: 'record',
      publicMessage: bytes > MAX_LINE ? 'the operation is too large to be recorded' : 'more is waiting to be recorded than memory allows',
    });
  }

  /** Writes a line up to its last members and counts it. */
  #start(type: LineType, sid: string, members: string, end: string): number {
    const batch = this.#open;
    const seq = this.#seq++;
    // A mark on the first line of a batch: all lines before it were synced before it was written. What comes before such a
    // line cannot be the doing of a crash, see recovery.ts.
    const mark = batch.lines === 0 && this.durability === 'durable' && !this.#unsynced ? ',"s":1,"t":"' : ',"t":"';
    const time = this.#time.format(this.#clock.micros());
    const comma = members === '' ? '"' : '",';
    batch.text(`${LINE_START}${seq}${mark}${time}","type":"${type}","sid":"${sid}${comma}${members}${end}`);
    batch.lines++;
    this.#scheduleLazily();
    return seq;
  }

  /**
   * Lines that nobody waits for (results, output) go out with the next ones that somebody does wait for: a write of their own
   * would double the system calls of an operation. They wait for milliseconds at the most, or until there are many.
   */
  #scheduleLazily(): void {
    if (this.#tickScheduled || this.#syncing || this.#lazyFlush !== null) return;
    if (this.#closing !== null || this.#open.used >= LAZY_BYTES) {
      this.#schedule();
      return;
    }
    // Not cleared when somebody's flush comes first: a timer for each operation would cost more than one that finds nothing to do.
    this.#lazyFlush = setTimeout(() => {
      this.#lazyFlush = null;
      if (this.#open.lines > 0) this.#schedule();
    }, LAZY_FLUSH_MS);
  }

  #schedule(): void {
    if (this.#tickScheduled || this.#syncing) return;
    this.#tickScheduled = true;
    this.#later(this.#tick);
  }

  #onTick(): void {
    this.#tickScheduled = false;
    if (this.#syncing || this.#failure !== null) return;
    this.#flush();
  }

  /** Writes the open batch. Whoever appends while its waiters are called does so to the next one. */
  #flush(): void {
    const batch = this.#open;
    const checkpoint = this.#checkpointDue;
    let finished: SegmentFile | null = null;
    try {
      if (batch.startsSegment) {
        const next = new SegmentFile(this.#files, this.directory, this.#segment.number + 1);
        finished = this.#segment;
        this.#segment = next;
      }
      const rotate = this.#complete(batch);
      this.#open = this.#other;
      this.#other = batch;
      if (rotate) this.#startSegment();
      this.#write(batch);
    } catch (error) {
      this.#fail(error);
      return;
    } finally {
      if (finished !== null) this.#finish(finished);
    }
    if (this.durability === 'buffered') {
      if (checkpoint) this.#syncInBackground();
      this.#release(batch);
    } else if (batch.waiters.length > 0 || checkpoint || batch.startsSegment || this.#open.startsSegment) {
      this.#sync(batch);
    } else {
      this.#release(batch);
      this.#syncLater();
    }
  }

  /** Seals the lines of a batch, ends it with a checkpoint where one is due, and says whether the segment is full. */
  #complete(batch: Batch): boolean {
    this.#chain.seal(batch.buf, 0, batch.used, batch.lines);
    const rotate = this.#closing === null && this.#segment.bytes + batch.used >= this.#options.segmentBytes;
    if (rotate || this.#checkpointDue || this.#closing !== null) {
      this.#checkpointDue = false;
      this.#appendCheckpoint(batch, rotate || this.#closing !== null);
    }
    return rotate;
  }

  #appendCheckpoint(batch: Batch, seal: boolean): void {
    const size = this.#chain.size();
    const note = jsonString(this.#signer.sign(size, this.#chain.root()));
    const from = batch.used;
    const synced = this.durability === 'buffered' ? `"synced":${this.#syncedSeq},` : '';
    this.#start('checkpoint', '', `"size":${size},${synced}${seal ? '"seal":true,' : ''}"note":${note}`, '}\n');
    this.#chain.seal(batch.buf, from, batch.used - from, 1);
    // Its leaves go out with it: so an end that is cut off together with its checkpoint shows.
    this.#newLeaves = LEAVES;
  }

  #write(batch: Batch): void {
    if (batch.lines === 0) return;
    this.#segment.write(batch.buf, batch.used);
    this.#unsynced = true;
    // Leaves of lines that are not written yet must not be on disk: so this comes after the write of their batch.
    this.#newLeaves += batch.lines;
    if (this.#newLeaves >= LEAVES || this.#open.startsSegment || this.#closing !== null) {
      this.#segment.writeLeaves(this.#chain.takeLeaves());
      this.#newLeaves = 0;
    }
    this.#failpoints.hit('record.written-not-synced');
  }

  #sync(batch: Batch): void {
    this.#syncing = true;
    // The sync covers all that is written, so the next batch's first line may carry the mark.
    this.#unsynced = false;
    this.#segment.sync((error) => {
      this.#syncing = false;
      if (this.#failure !== null) return;
      if (error !== null) {
        this.#fail(error);
        return;
      }
      this.#failpoints.hit('record.synced-not-released');
      this.#release(batch);
      if (this.#open.lines > 0 || this.#open.waiters.length > 0 || this.#checkpointDue) this.#schedule();
    });
  }

  #syncLater(): void {
    if (!this.#unsynced || this.#lazySync !== null) return;
    this.#lazySync = setTimeout(() => {
      this.#lazySync = null;
      if (!this.#unsynced || this.#syncing || this.#failure !== null) return;
      this.#sync(this.#other);
    }, LAZY_SYNC_MS);
    this.#lazySync.unref();
  }

  #syncInBackground(): void {
    // A segment that is being finished has lines before these which this sync does not cover.
    if (this.#backgroundSync || this.#finishing > 0) return;
    this.#backgroundSync = true;
    const upTo = this.#chain.size();
    this.#segment.sync((error) => {
      this.#backgroundSync = false;
      if (error !== null) this.#fail(error);
      else this.#syncedSeq = upTo;
    });
  }

  #release(batch: Batch): void {
    const waiters = batch.waiters;
    batch.reset();
    for (const waiter of waiters) notify(waiter, null);
    if (this.#drained.length > 0 && this.pendingBytes < this.highWater) this.#callDrained();
    if (this.#closing !== null && this.#open.lines === 0 && this.#finishing === 0) this.#finishClose();
  }

  #callDrained(): void {
    const drained = this.#drained;
    this.#drained = [];
    for (const fn of drained) fn();
  }

  /** The segment is full: the next batch begins another one, with a header as its first line. */
  #startSegment(): void {
    this.#open.startsSegment = true;
    this.#start('recorder', '', this.#header('rotate', this.#segment.number + 1, this.#segment.number), '}\n');
  }

  #finish(segment: SegmentFile): void {
    this.#finishing++;
    segment.finish((error) => {
      this.#finishing--;
      if (error !== null) this.#fail(error);
      else if (this.#closing !== null && this.#finishing === 0 && !this.#tickScheduled && !this.#syncing && this.#open.lines === 0)
        this.#finishClose();
    });
  }

  #header(event: 'start' | 'rotate', segment: number, previous: number): string {
    const { gateway, version, policySnapshot } = this.#options;
    const state = JSON.parse(this.#chain.state()) as { size: number; head: string; frontier: string[] };
    const members = {
      event,
      gateway,
      process: this.#slot.process,
      software: `sluice ${version}`,
      durability: this.durability,
      host: hostname(),
      pid: process.pid,
      clock: 'system',
      segment,
      previous: previous === 0 ? null : { segment: previous, head: state.head },
      tree: { size: state.size, frontier: state.frontier },
      open: this.#openWork.toJSON(),
      ...(policySnapshot === undefined ? {} : { policy: policySnapshot }),
    };
    return JSON.stringify(members).slice(1, -1);
  }

  #writeFirstLines(end: ChainEnd): void {
    this.#start('recorder', '', this.#header('start', end.segment + 1, end.segment), '}\n');
    for (const members of recoveryLines(end)) this.#start('recorder', '', members, '}\n');
    this.#openWork.recovered(end);
    const batch = this.#open;
    this.#chain.seal(batch.buf, 0, batch.used, batch.lines);
    // So that no chain is ever without a checkpoint, and what was recovered is signed at once.
    this.#appendCheckpoint(batch, false);
    this.#segment.write(batch.buf, batch.used);
    this.#segment.writeLeaves(this.#chain.takeLeaves());
    this.#newLeaves = 0;
    this.#files.syncDataNow(this.#segment.fd);
    batch.reset();
  }

  #fail(cause: unknown): void {
    if (this.#failure !== null) return;
    const failure = recordError(cause);
    this.#failure = failure;
    clearInterval(this.#checkpointTimer);
    const waiters = [...this.#other.waiters, ...this.#open.waiters];
    this.#open.reset();
    this.#other.reset();
    // Not from here: a flush may be on the stack.
    setImmediate(() => {
      for (const waiter of waiters) notify(waiter, failure);
      this.#callDrained();
      if (this.#closing !== null) this.#finishClose();
    });
  }

  #finishClose(): void {
    const closing = this.#closing;
    if (closing === null) return;
    if (this.#lazySync !== null) clearTimeout(this.#lazySync);
    const end = (error: Error | null): void => {
      this.#slot.lock.release();
      if (error === null) closing.resolve();
      else closing.reject(error);
    };
    this.#closing = null;
    if (this.#failure === null) {
      // From here on nothing is accepted any more.
      this.#failure = new GatewayError({
        code: 'record_closed',
        source: 'gateway',
        phase: 'shutdown',
        publicMessage: 'the gateway is shutting down',
      });
      this.#segment.finish((error) => end(error));
    } else {
      this.#segment.close();
      end(this.#failure);
    }
  }
}

import type { Socket } from 'node:net';
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { socketClose, socketDuplicate, socketFinish, socketRead, socketWrite } from '../../native/binding/index.js';
import type { Slab } from './slab.ts';
import { type PollMember, Readiness, socketPoll } from './socket-poll.ts';
import type { Transport, TransportSink } from './transport.ts';

/** Reads of one socket in one turn: then the others have theirs. */
const MAX_READS = 8;

interface Pending {
  readonly bytes: Uint8Array;
  at: number;
  readonly to: number;
  /** Pinned until the bytes are written. */
  readonly slab: Slab | null;
}

/**
 * A plain socket by its descriptor: reads go straight into the channel's slab and writes straight from one, a system call
 * each. Only what the system does not take at once is queued.
 */
export class DescriptorTransport implements Transport, PollMember {
  readonly #sink: TransportSink;
  /** -1 once it is closed. */
  #fd: number;
  readonly #token: number;
  #watched: number = Readiness.none;
  #reading = false;
  #queue: Pending[] = [];
  #queued = 0;
  /** The peer has sent its last byte. */
  #ended = false;
  /** We have, or will have with what is queued. */
  #finishing = false;

  private constructor(fd: number, sink: TransportSink) {
    this.#fd = fd;
    this.#sink = sink;
    this.#token = socketPoll.join(this);
  }

  /** Takes the connection over: `socket` is closed, its connection lives on. Null where that cannot be; then nothing has changed. */
  static takeOver(socket: Socket, sink: TransportSink): DescriptorTransport | null {
    const own = (socket as unknown as { _handle: { fd?: number } | null })._handle?.fd ?? -1;
    // What Node still has to write would be lost.
    if (own < 0 || socket.destroyed || socket.writableLength > 0) return null;
    const fd = socketDuplicate(own);
    if (fd < 0) return null;
    socket.removeAllListeners();
    socket.on('error', () => {});
    socket.destroy();
    return new DescriptorTransport(fd, sink);
  }

  get queued(): number {
    return this.#queued;
  }

  writeSlab(slab: Slab, from: number, to: number): boolean {
    const written = this.#writeNow(slab.bytes, from, to);
    if (written === to) return true;
    slab.pin();
    this.#enqueue({ bytes: slab.bytes, at: written, to, slab });
    return false;
  }

  writeOwned(bytes: Uint8Array): boolean {
    const written = this.#writeNow(bytes, 0, bytes.length);
    if (written === bytes.length) return true;
    this.#enqueue({ bytes, at: written, to: bytes.length, slab: null });
    return false;
  }

  resume(): void {
    this.#reading = !this.#ended;
    this.#watch();
  }

  pause(): void {
    this.#reading = false;
    this.#watch();
  }

  finish(): void {
    if (this.#finishing || this.#fd < 0) return;
    this.#finishing = true;
    if (this.#queue.length === 0) this.#finishNow();
  }

  destroy(): void {
    this.#close(null);
  }

  onReady(readiness: number): void {
    if (this.#queue.length > 0 && (readiness & Readiness.writable) !== 0) this.#writeQueue();
    if (this.#reading && (readiness & Readiness.readable) !== 0) this.#read();
  }

  #read(): void {
    const sink = this.#sink;
    for (let i = 0; i < MAX_READS && this.#reading; i++) {
      const room = sink.makeRoom();
      const count = socketRead(this.#fd, sink.slab.bytes, sink.end, room);
      if (count > 0) {
        if (!sink.onRead(count)) {
          this.pause();
          return;
        }
        if (count < room) return;
      } else if (count === 0) {
        this.#ended = true;
        this.pause();
        sink.onEnd();
        this.#closeWhenDone();
        return;
      } else {
        if (!isAgain(count)) this.#close(systemError('read', count));
        return;
      }
    }
  }

  /** Writes what the system takes at once; returns where it stopped. Bytes that nobody will ever take count as written. */
  #writeNow(bytes: Uint8Array, from: number, to: number): number {
    if (this.#fd < 0 || this.#finishing) return to;
    // Behind what waits already.
    if (this.#queue.length > 0) return from;
    const count = socketWrite(this.#fd, bytes, from, to - from);
    if (count >= 0) return from + count;
    if (isAgain(count)) return from;
    this.#close(systemError('write', count));
    return to;
  }

  #enqueue(pending: Pending): void {
    this.#queue.push(pending);
    this.#queued += pending.to - pending.at;
    this.#watch();
  }

  #writeQueue(): void {
    let written = 0;
    let failure = 0;
    for (const pending of this.#queue) {
      const count = socketWrite(this.#fd, pending.bytes, pending.at, pending.to - pending.at);
      if (count < 0) {
        if (!isAgain(count)) failure = count;
        break;
      }
      pending.at += count;
      this.#queued -= count;
      if (pending.at < pending.to) break;
      pending.slab?.unpin();
      written++;
    }
    // Before anything else looks at the queue: what was let go of here must not be again.
    this.#queue.splice(0, written);
    if (failure !== 0) this.#close(systemError('write', failure));
    else if (this.#queue.length === 0) this.#emptied();
  }

  #emptied(): void {
    this.#watch();
    if (this.#finishing) this.#finishNow();
    else this.#sink.onDrain();
  }

  #finishNow(): void {
    // A connection that is gone already says so when it is read.
    socketFinish(this.#fd);
    this.#closeWhenDone();
  }

  #closeWhenDone(): void {
    if (this.#ended && this.#finishing && this.#queue.length === 0) this.#close(null);
  }

  #close(error: Error | null): void {
    if (this.#fd < 0) return;
    socketClose(this.#fd);
    this.#fd = -1;
    this.#reading = false;
    socketPoll.leave(this.#token);
    for (const pending of this.#queue) pending.slab?.unpin();
    this.#queue = [];
    this.#queued = 0;
    // Whoever wrote or read is still at it.
    process.nextTick(() => this.#sink.onClose(error));
  }

  #watch(): void {
    if (this.#fd < 0) return;
    const wanted = (this.#reading ? Readiness.readable : 0) | (this.#queue.length > 0 ? Readiness.writable : 0);
    if (wanted === this.#watched) return;
    this.#watched = wanted;
    socketPoll.watch(this.#fd, this.#token, wanted);
  }
}

/** Neither says anything about the connection. */
const AGAIN: ReadonlySet<number> = new Set([-constants.errno.EAGAIN, -constants.errno.ENOBUFS]);

function isAgain(errno: number): boolean {
  return AGAIN.has(errno);
}

function systemError(what: string, errno: number): Error {
  const code = getSystemErrorName(errno);
  return Object.assign(new Error(`${what} ${code}`), { code, errno, syscall: what });
}

import type { Socket } from 'node:net';
import type { IoCounters } from './counters.ts';
import { DescriptorTransport } from './descriptor-transport.ts';
import { Discarding, PATIENCE, type Patience } from './last-words.ts';
import type { Slab, SlabPool } from './slab.ts';
import { canPollSockets } from './socket-poll.ts';
import { StreamTransport } from './stream-transport.ts';
import type { Transport, TransportSink } from './transport.ts';

/** Below this much room a read gets a fresh slab: small reads cost more system calls than the memory is worth. */
const MIN_ROOM = 8 * 1024;

export interface ChannelHandler {
  /**
   * `[channel.start, channel.end)` of `channel.slab` holds what came and was not taken yet. Advance `channel.start` past what
   * is taken; set `channel.want` when a message needs that many bytes in one piece. Return false to stop reading until
   * `resume()`. The bytes are borrowed until the call returns; pin the slab to keep them.
   */
  onBytes(channel: Channel): boolean;
  /** The peer will send nothing more. */
  onEnd(channel: Channel): void;
  /** Nothing that was written waits any more, after something had to. */
  onDrain(channel: Channel): void;
  onClose(channel: Channel, error: Error | null): void;
}

/** A connection that reads into slabs. `start`, `end` and `want` belong to the handler and the reader by turns. */
export class Channel implements TransportSink {
  slab: Slab;
  /** First byte not taken yet. */
  start = 0;
  /** One past the last byte read. */
  end = 0;
  /** Bytes that the message at `start` needs in one piece; 0 when it is not known. */
  want = 0;

  readonly #transport: Transport;
  readonly #pool: SlabPool;
  readonly #counters: IoCounters;
  readonly #handler: ChannelHandler;
  #stopped = false;
  #closed = false;
  /** Since `close`. */
  #discarding: Discarding | null = null;
  /** Bytes to throw away before our side ends. */
  #rest = 0;

  private constructor(
    make: (channel: Channel) => Transport,
    first: Uint8Array,
    pool: SlabPool,
    counters: IoCounters,
    handler: ChannelHandler,
  ) {
    this.#pool = pool;
    this.#counters = counters;
    this.#handler = handler;
    this.slab = pool.take(first.length + MIN_ROOM);
    this.slab.bytes.set(first);
    this.end = first.length;
    this.#transport = make(this);
  }

  /**
   * Takes over an accepted or connected plain socket, whose events nobody else listens to any more.
   * @param first bytes that were read from it before (the left-over of a start-up phase).
   */
  static plain(socket: Socket, first: Uint8Array, pool: SlabPool, counters: IoCounters, handler: ChannelHandler): Channel {
    if (!canPollSockets) return Channel.copying(socket, first, pool, counters, handler);
    socket.setNoDelay(true);
    // A paused stream goes on reading for a while: what it holds comes behind what was taken from it.
    const held = socket.read() as Buffer | null;
    const all = held === null ? first : Buffer.concat([first, held]);
    const make = (channel: Channel): Transport => DescriptorTransport.takeOver(socket, channel) ?? channel.#fallBack(socket);
    return new Channel(make, all, pool, counters, handler);
  }

  /** Takes over a socket that delivers buffers of its own (TLS): each byte is copied once. */
  static copying(socket: Socket, first: Uint8Array, pool: SlabPool, counters: IoCounters, handler: ChannelHandler): Channel {
    return new Channel((channel) => channel.#stream(socket), first, pool, counters, handler);
  }

  /** Starts delivery: the left-over first, then what the socket brings. */
  open(): void {
    this.#stopped = true;
    this.resume();
  }

  /** Bytes written and not yet taken by the system. */
  get queued(): number {
    return this.#transport.queued;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Writes a region of a slab without copying it: the slab is pinned until the system has taken the bytes. */
  writeSlab(slab: Slab, from: number, to: number): boolean {
    if (from >= to) return true;
    this.#counters.writes++;
    this.#counters.bytesWritten += to - from;
    return this.#transport.writeSlab(slab, from, to);
  }

  /** Writes bytes that the caller gives away. */
  writeOwned(bytes: Uint8Array): boolean {
    if (bytes.length === 0) return true;
    this.#counters.writes++;
    this.#counters.bytesWritten += bytes.length;
    return this.#transport.writeOwned(bytes);
  }

  /** Reads on after `onBytes` returned false; what is there already is offered first. */
  resume(): void {
    if (!this.#stopped || this.#closed || this.#discarding !== null) return;
    this.#stopped = false;
    // The handler may close the channel, which then reads on by itself.
    if (this.start < this.end && !this.#handler.onBytes(this) && this.#discarding === null) {
      this.#stopped = true;
      return;
    }
    this.#transport.resume();
  }

  /** Offers what is there already to the handler again, when something else than the socket moved it on. */
  poke(): void {
    if (this.#closed || this.#stopped || this.#discarding !== null || this.start >= this.end) return;
    if (!this.#handler.onBytes(this)) this.pause();
  }

  pause(): void {
    if (this.#stopped || this.#discarding !== null) return;
    this.#stopped = true;
    this.#transport.pause();
  }

  /** Sends what is queued, then closes our side. */
  finish(): void {
    this.#transport.finish();
  }

  /**
   * Sends what is queued and ends our side. What still comes is thrown away, and the handler told of nothing but the close:
   * when the peer has ended too, or its time is up. Of a message that is under way (`want`) the rest is awaited first: a peer
   * that finds the connection ended while it sends may not look at what it was told.
   */
  close(patience: Patience = PATIENCE): void {
    if (this.#closed || this.#discarding !== null) return;
    this.#discarding = new Discarding(patience, () => this.destroy());
    this.#stopped = false;
    const rest = Math.max(0, this.want - (this.end - this.start));
    this.start = this.end;
    this.want = 0;
    if (rest > 0 && rest <= patience.bytes) this.#rest = rest;
    else this.#transport.finish();
    this.#transport.resume();
  }

  destroy(): void {
    this.#transport.destroy();
  }

  /** For the transport, as the following. */
  makeRoom(least = MIN_ROOM): number {
    const held = this.end - this.start;
    if (held === 0 && !this.slab.shared) {
      this.start = 0;
      this.end = 0;
      this.want = 0;
      return this.slab.size;
    }
    // Memory follows what came, not what a length field promises: it doubles until the wanted message fits.
    const need = Math.max(held + least, Math.min(this.want, 2 * held + this.#pool.slabSize));
    if (this.slab.size - this.start < need || this.slab.size - this.end < least) this.#move(need);
    return this.slab.size - this.end;
  }

  onRead(count: number): boolean {
    this.#counters.reads++;
    this.#counters.bytesRead += count;
    if (this.#discarding !== null) {
      this.#discard(count, this.#discarding);
      return true;
    }
    this.end += count;
    if (this.#handler.onBytes(this) || this.#discarding !== null) return true;
    this.#stopped = true;
    return false;
  }

  onEnd(): void {
    if (this.#discarding === null) this.#handler.onEnd(this);
    else this.#transport.finish();
  }

  onDrain(): void {
    if (this.#discarding === null) this.#handler.onDrain(this);
  }

  onClose(error: Error | null): void {
    this.#closed = true;
    this.#discarding?.over();
    this.#handler.onClose(this, error);
  }

  #discard(count: number, discarding: Discarding): void {
    if (this.#rest > 0) {
      this.#rest -= count;
      if (this.#rest <= 0) this.#transport.finish();
    }
    discarding.took(count);
  }

  #fallBack(socket: Socket): Transport {
    // One that is gone already says nothing about the system.
    if (!socket.destroyed) this.#counters.fallbacks++;
    return this.#stream(socket);
  }

  #stream(socket: Socket): Transport {
    return new StreamTransport(socket, this, (chunk) => this.#push(chunk));
  }

  #move(need: number): void {
    const held = this.end - this.start;
    const next = this.#pool.take(need);
    if (held > 0) {
      this.slab.bytes.copy(next.bytes, 0, this.start, this.end);
      this.#counters.bytesCarried += held;
    }
    this.slab.unpin();
    this.slab = next;
    this.start = 0;
    this.end = held;
  }

  /** Copies what a stream delivered. While stopped, bytes only gather: a handler that asked for silence must not be called. */
  #push(chunk: Buffer): void {
    if (this.#discarding !== null) {
      this.onRead(chunk.length);
      return;
    }
    this.#counters.bytesCopied += chunk.length;
    // What the handler closes over is thrown away.
    for (let at = 0; at < chunk.length && !this.#closed && this.#discarding === null; ) {
      const n = Math.min(chunk.length - at, this.makeRoom(1));
      chunk.copy(this.slab.bytes, this.end, at, at + n);
      at += n;
      if (this.#stopped) {
        this.#counters.reads++;
        this.#counters.bytesRead += n;
        this.end += n;
      } else if (!this.onRead(n)) {
        this.#transport.pause();
      }
    }
  }
}

import { Socket } from 'node:net';
import type { IoCounters } from './counters.ts';
import type { Slab, SlabPool } from './slab.ts';

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
  /** The output buffer of the socket is empty again after `write` returned false. */
  onDrain(channel: Channel): void;
  onClose(channel: Channel, error: Error | null): void;
}

/** A socket that reads into slabs. `start`, `end` and `want` belong to the handler and the reader by turns. */
export class Channel {
  slab: Slab;
  /** First byte not taken yet. */
  start = 0;
  /** One past the last byte read. */
  end = 0;
  /** Bytes that the message at `start` needs in one piece; 0 when it is not known. */
  want = 0;

  readonly socket: Socket;
  readonly #pool: SlabPool;
  readonly #counters: IoCounters;
  readonly #handler: ChannelHandler;
  readonly #inFlight: (Slab | null)[] = [];
  #inFlightHead = 0;
  #stopped = false;
  #closed = false;
  readonly #written: () => void;

  /**
   * @param socket a socket whose events nobody else listens to any more.
   * @param first bytes that were read from it before (the left-over of a start-up phase).
   * @param copy true when the socket cannot read into our memory (TLS over an accepted socket): each byte is copied once.
   */
  private constructor(
    make: (channel: Channel) => Socket,
    first: Uint8Array,
    pool: SlabPool,
    counters: IoCounters,
    handler: ChannelHandler,
  ) {
    this.#pool = pool;
    this.#counters = counters;
    this.#handler = handler;
    // The left-over goes in before the socket is made: making it grants the rest of the slab to the next read.
    this.slab = pool.take(first.length + MIN_ROOM);
    this.slab.bytes.set(first);
    this.end = first.length;
    this.#written = () => this.#onWritten();
    this.socket = make(this);
    this.socket.on('drain', () => handler.onDrain(this));
    this.socket.on('end', () => handler.onEnd(this));
    let failure: Error | null = null;
    this.socket.on('error', (error) => {
      failure = error;
    });
    this.socket.on('close', () => {
      this.#closed = true;
      this.#releaseAll();
      handler.onClose(this, failure);
    });
  }

  /** Takes over an accepted or connected plain socket: its handle is given to a new socket that reads into slabs. */
  static overHandle(socket: Socket, first: Uint8Array, pool: SlabPool, counters: IoCounters, handler: ChannelHandler): Channel {
    const detached = socket as unknown as { _handle: object | null; _server: unknown };
    const handle = detached._handle;
    if (handle === null || socket.destroyed) return Channel.copying(socket, first, pool, counters, handler);
    // The old socket forgets its handle, so that its own end does not close what lives on.
    detached._handle = null;
    socket.removeAllListeners();
    socket.on('error', () => {});
    const channel = new Channel(
      (self) => {
        const options = {
          handle,
          allowHalfOpen: true,
          readable: true,
          writable: true,
          onread: { buffer: () => self.#grant(), callback: (nread: number) => self.#onRead(nread) },
        };
        return new Socket(options as unknown as ConstructorParameters<typeof Socket>[0]);
      },
      first,
      pool,
      counters,
      handler,
    );
    channel.socket.setNoDelay(true);
    return channel;
  }

  /** Takes over a socket that delivers buffers of its own. */
  static copying(socket: Socket, first: Uint8Array, pool: SlabPool, counters: IoCounters, handler: ChannelHandler): Channel {
    socket.removeAllListeners('data');
    socket.removeAllListeners('end');
    socket.removeAllListeners('error');
    socket.removeAllListeners('close');
    const channel = new Channel(() => socket, first, pool, counters, handler);
    socket.on('data', (chunk: Buffer) => {
      counters.bytesRead += chunk.length;
      counters.bytesCopied += chunk.length;
      channel.#push(chunk);
    });
    socket.pause();
    return channel;
  }

  /** Starts delivery: the left-over first, then what the socket brings. */
  open(): void {
    this.#stopped = true;
    this.resume();
  }

  /** Bytes handed to the socket and not yet taken by the system. */
  get queued(): number {
    return this.socket.writableLength;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Writes a region of a slab without copying it: the slab is pinned until the system has taken the bytes. */
  writeSlab(slab: Slab, from: number, to: number): boolean {
    if (from >= to) return true;
    slab.pin();
    this.#inFlight.push(slab);
    const ready = this.#write(slab.bytes.subarray(from, to));
    if (this.socket.writableLength === 0) {
      // The system took it all at once, as it usually does: the slab need not wait for the callback to be used again.
      this.#inFlight[this.#inFlight.length - 1] = null;
      slab.unpin();
    }
    return ready;
  }

  /** Writes bytes that the caller gives away. */
  writeOwned(bytes: Uint8Array): boolean {
    if (bytes.length === 0) return true;
    this.#inFlight.push(null);
    return this.#write(bytes);
  }

  /** Several writes in one system call: between `cork` and `uncork`. */
  cork(): void {
    this.socket.cork();
  }

  uncork(): void {
    this.socket.uncork();
  }

  /** Reads on after `onBytes` returned false; what is there already is offered first. */
  resume(): void {
    if (!this.#stopped || this.#closed) return;
    this.#stopped = false;
    if (this.start < this.end && !this.#handler.onBytes(this)) {
      this.#stopped = true;
      return;
    }
    this.socket.resume();
  }

  /** Offers what is there already to the handler again, when something else than the socket moved it on. */
  poke(): void {
    if (this.#closed || this.#stopped || this.start >= this.end) return;
    if (!this.#handler.onBytes(this)) this.pause();
  }

  pause(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.socket.pause();
  }

  /** Sends what is queued, then closes our side. */
  finish(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  #write(bytes: Uint8Array): boolean {
    this.#counters.writes++;
    this.#counters.bytesWritten += bytes.length;
    return this.socket.write(bytes, this.#written);
  }

  #onWritten(): void {
    const slab = this.#inFlight[this.#inFlightHead++];
    slab?.unpin();
    if (this.#inFlightHead === this.#inFlight.length) {
      this.#inFlight.length = 0;
      this.#inFlightHead = 0;
    } else if (this.#inFlightHead > 1024) {
      this.#inFlight.splice(0, this.#inFlightHead);
      this.#inFlightHead = 0;
    }
  }

  #releaseAll(): void {
    for (let i = this.#inFlightHead; i < this.#inFlight.length; i++) this.#inFlight[i]?.unpin();
    this.#inFlight.length = 0;
    this.#inFlightHead = 0;
  }

  #onRead(nread: number): boolean {
    this.#counters.reads++;
    this.#counters.bytesRead += nread;
    this.end += nread;
    if (this.#handler.onBytes(this)) return true;
    this.#stopped = true;
    return false;
  }

  /** Memory for the next read: asked for after each one, and valid until it is filled, however long reading pauses. */
  #grant(): Uint8Array {
    this.#makeRoom(MIN_ROOM);
    return this.end === 0 ? this.slab.bytes : this.slab.bytes.subarray(this.end);
  }

  #makeRoom(least: number): void {
    const held = this.end - this.start;
    if (held === 0 && !this.slab.shared) {
      this.start = 0;
      this.end = 0;
      this.want = 0;
      return;
    }
    // Memory follows what came, not what a length field promises: it doubles until the wanted message fits.
    const need = Math.max(held + least, Math.min(this.want, 2 * held + this.#pool.slabSize));
    if (this.slab.size - this.start >= need && this.slab.size - this.end >= least) return;
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

  #push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && !this.#closed) {
      this.#makeRoom(1);
      const n = Math.min(chunk.length - at, this.slab.size - this.end);
      this.slab.bytes.set(chunk.subarray(at, at + n), this.end);
      this.end += n;
      at += n;
      this.#counters.reads++;
      // While stopped, bytes only gather: a handler that asked for silence must not be called.
      if (!this.#stopped && !this.#handler.onBytes(this)) {
        this.#stopped = true;
        this.socket.pause();
      }
    }
    if (!this.#stopped && !this.#closed) this.socket.resume();
  }
}

import type { Socket } from 'node:net';
import type { Slab } from './slab.ts';
import type { Transport, TransportSink } from './transport.ts';

/**
 * A socket of Node's, which delivers buffers of its own: TLS, and systems on which we have no poll. Each byte is copied
 * into the slab once.
 */
export class StreamTransport implements Transport {
  readonly #socket: Socket;
  readonly #onWritten: () => void;
  /** The slabs of the writes under way, in order; null for owned bytes and for what was let go of early. */
  readonly #inFlight: (Slab | null)[] = [];
  #inFlightHead = 0;

  /** @param onChunk takes what the socket delivers, borrowed until it returns. */
  constructor(socket: Socket, sink: TransportSink, onChunk: (chunk: Buffer) => void) {
    this.#socket = socket;
    this.#onWritten = () => this.#written();
    for (const event of ['data', 'end', 'error', 'close']) socket.removeAllListeners(event);
    let failure: Error | null = null;
    socket.on('data', onChunk);
    socket.on('drain', () => sink.onDrain());
    socket.on('end', () => sink.onEnd());
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('close', () => {
      this.#releaseAll();
      sink.onClose(failure);
    });
    socket.pause();
  }

  get queued(): number {
    return this.#socket.writableLength;
  }

  writeSlab(slab: Slab, from: number, to: number): boolean {
    slab.pin();
    this.#inFlight.push(slab);
    const ready = this.#socket.write(slab.bytes.subarray(from, to), this.#onWritten);
    if (this.#socket.writableLength === 0) {
      // It was taken all at once, as it usually is: the slab need not wait for the callback to be used again.
      this.#inFlight[this.#inFlight.length - 1] = null;
      slab.unpin();
    }
    return ready;
  }

  writeOwned(bytes: Uint8Array): boolean {
    this.#inFlight.push(null);
    return this.#socket.write(bytes, this.#onWritten);
  }

  resume(): void {
    this.#socket.resume();
  }

  pause(): void {
    this.#socket.pause();
  }

  finish(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #written(): void {
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
}

import type { Channel } from './channel.ts';
import type { Slab } from './slab.ts';

/** Several parts up to this length in all are copied into one: a system call costs more than that. */
const MAX_JOINED = 16 * 1024;

interface Part {
  /** Null: the region of the outbox's slab. */
  readonly owned: Uint8Array | null;
  readonly from: number;
  readonly to: number;
}

/**
 * What one pass over a slab sends on: regions of that slab, in order, between messages that the gateway made or left out.
 * Touching regions are one region, so that an unchanged pass is one write without a copy.
 */
export class Outbox {
  readonly slab: Slab;
  #from: number;
  #to: number;
  #parts: Part[] | null = null;

  constructor(slab: Slab) {
    this.slab = slab;
    this.#from = 0;
    this.#to = 0;
  }

  /** Sends `[from, to)` of the slab. */
  pass(from: number, to: number): void {
    if (from === this.#to && this.#to > this.#from) {
      this.#to = to;
      return;
    }
    this.#close();
    this.#from = from;
    this.#to = to;
  }

  /** Sends bytes of the caller's, which it gives away. */
  insert(owned: Uint8Array): void {
    this.#close();
    this.#parts ??= [];
    this.#parts.push({ owned, from: 0, to: owned.length });
  }

  get empty(): boolean {
    return this.#parts === null && this.#from === this.#to;
  }

  /** The one region of the slab that it consists of, if it does and that is at most `max` bytes. */
  single(max: number): { readonly from: number; readonly to: number } | null {
    if (this.#parts !== null || this.#to - this.#from > max || this.#to === this.#from) return null;
    return { from: this.#from, to: this.#to };
  }

  /** Calls `fn` for each piece of slab or owned bytes in order, without consuming them. */
  eachPiece(fn: (bytes: Uint8Array, from: number, to: number) => void): void {
    if (this.#parts !== null) for (const part of this.#parts) fn(part.owned ?? this.slab.bytes, part.from, part.to);
    if (this.#to > this.#from) fn(this.slab.bytes, this.#from, this.#to);
  }

  /** Writes everything; false when the channel wants a pause. */
  writeTo(channel: Channel): boolean {
    if (this.#parts === null) return channel.writeSlab(this.slab, this.#from, this.#to);
    this.#close();
    const total = this.#parts.reduce((sum, part) => sum + part.to - part.from, 0);
    if (total <= MAX_JOINED) return channel.writeOwned(this.#joined(total));
    let ready = true;
    for (const part of this.#parts) {
      ready = part.owned === null ? channel.writeSlab(this.slab, part.from, part.to) : channel.writeOwned(part.owned);
    }
    return ready;
  }

  /** All parts in one piece. */
  #joined(total: number): Buffer {
    const joined = Buffer.allocUnsafe(total);
    let at = 0;
    this.eachPiece((bytes, from, to) => {
      joined.set(bytes.subarray(from, to), at);
      at += to - from;
    });
    return joined;
  }

  #close(): void {
    if (this.#to > this.#from) {
      this.#parts ??= [];
      this.#parts.push({ owned: null, from: this.#from, to: this.#to });
    }
    this.#from = this.#to;
  }
}

/**
 * Read memory. A slab is shared memory that sockets read into, that worker threads mask in place and that sockets write
 * from, so that a byte on the plain path is never copied.
 *
 * Ownership: the channel that reads into a slab holds one pin, every write in flight and every region waiting for the
 * record holds another. The slab returns to its pool when the last pin goes.
 */
export class Slab {
  readonly bytes: Buffer;
  #pins = 1;
  readonly #pool: SlabPool;

  constructor(pool: SlabPool, size: number) {
    this.#pool = pool;
    this.bytes = Buffer.from(new SharedArrayBuffer(size));
  }

  /** Bytes in all. */
  get size(): number {
    return this.bytes.length;
  }

  /** More than one owner: then bytes already handed out must stay as they are. */
  get shared(): boolean {
    return this.#pins > 1;
  }

  pin(): void {
    this.#pins++;
  }

  unpin(): void {
    if (--this.#pins === 0) this.#pool.give(this);
  }

  /** For the pool only: a slab taken again starts with the taker's pin. */
  reuse(): void {
    this.#pins = 1;
  }
}

export class SlabPool {
  readonly slabSize: number;
  readonly #free: Slab[] = [];
  readonly #keep: number;

  /** @param slabSize bytes of an ordinary slab. @param keep how many free ones to hold on to. */
  constructor(slabSize = 64 * 1024, keep = 64) {
    this.slabSize = slabSize;
    this.#keep = keep;
  }

  /** A slab of at least `size` bytes. Larger than ordinary ones are made for the occasion and not kept. */
  take(size = 0): Slab {
    if (size <= this.slabSize) {
      const slab = this.#free.pop();
      if (slab !== undefined) {
        slab.reuse();
        return slab;
      }
      return new Slab(this, this.slabSize);
    }
    return new Slab(this, Math.ceil(size / 4096) * 4096);
  }

  /** For slabs only, when their last pin goes. */
  give(slab: Slab): void {
    if (slab.size === this.slabSize && this.#free.length < this.#keep) this.#free.push(slab);
  }
}

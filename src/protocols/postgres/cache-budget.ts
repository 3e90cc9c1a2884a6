/** Something that remembers what it could find out again. */
export interface Forgetful {
  forget(): void;
}

/**
 * Memory that many caches share: whoever learnt nothing for longest forgets everything when the sum passes the limit. Counts are the
 * owners' own estimates, bytes.
 */
export class CacheBudget {
  readonly #limit: number;
  /** Who learnt something last comes last. */
  readonly #charges = new Map<Forgetful, number>();
  #total = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get total(): number {
    return this.#total;
  }

  /** `owner` remembers `bytes` more. It is itself among those who may have to forget, as the last. */
  charge(owner: Forgetful, bytes: number): void {
    const before = this.#charges.get(owner) ?? 0;
    this.#charges.delete(owner);
    this.#charges.set(owner, before + bytes);
    this.#total += bytes;
    for (const [other] of this.#charges) {
      if (this.#total <= this.#limit || other === owner) return;
      other.forget();
      this.release(other);
    }
  }

  /** `owner` remembers nothing any more. */
  release(owner: Forgetful): void {
    this.#total -= this.#charges.get(owner) ?? 0;
    this.#charges.delete(owner);
  }
}

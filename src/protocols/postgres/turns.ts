/** Lets so much work run at once and so much wait for its turn; what comes beyond is turned away. */
export class Turns {
  #free: number;
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];

  /** @param atOnce how many run. @param most how many wait. */
  constructor(atOnce: number, most: number) {
    this.#free = atOnce;
    this.#most = most;
  }

  /** Runs `work` when it is its turn; null when too many wait. Rejects as the work does. */
  async take<T>(work: () => Promise<T>): Promise<T | null> {
    if (this.#free > 0) this.#free--;
    else if (this.#waiting.length >= this.#most) return null;
    else await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      // Handed on to whoever has waited longest, without becoming free in between.
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

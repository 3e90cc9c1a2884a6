/** How many may come at once, and how many a minute after that. */
export interface Rate {
  readonly burst: number;
  readonly perMinute: number;
}

/**
 * What a source address counts as: of IPv6 its network, since whoever has one address there has the 2^64 around it (RFC 4291,
 * 2.5.1). `source` is in its shortest form.
 */
export function networkOf(source: string): string {
  if (!source.includes(':')) return source;
  const [head = '', tail] = source.split('::');
  const [before, after] = [head, tail ?? ''].map((part) => part.split(':').filter((group) => group !== ''));
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - (before?.length ?? 0) - (after?.length ?? 0));
  const groups = [...(before ?? []), ...Array<string>(zeros).fill('0'), ...(after ?? [])];
  return `${groups.slice(0, 4).join(':')}::/64`;
}

interface Bucket {
  tokens: number;
  at: number;
}

/**
 * Token buckets by key, e.g. a source address. Memory is bounded: beyond `most` keys the one that was asked for longest ago is
 * forgotten, and with it at most one burst.
 */
export class RateLimit {
  readonly #rate: Rate;
  readonly #now: () => number;
  readonly #most: number;
  /** In the order of last use. */
  readonly #buckets = new Map<string, Bucket>();

  /** @param now ms of a clock that does not go back. */
  constructor(rate: Rate, now: () => number, most = 10_000) {
    this.#rate = rate;
    this.#now = now;
    this.#most = most;
  }

  /** Takes one. 0 when there was one; else the seconds until there is. */
  take(key: string): number {
    const wait = this.wait(key);
    if (wait === 0) this.#bucket(key).tokens -= 1;
    return wait;
  }

  /** As `take`, without taking. */
  wait(key: string): number {
    const { tokens } = this.#bucket(key);
    return tokens >= 1 ? 0 : Math.ceil(((1 - tokens) * 60) / this.#rate.perMinute);
  }

  get size(): number {
    return this.#buckets.size;
  }

  #bucket(key: string): Bucket {
    const now = this.#now();
    const bucket = this.#buckets.get(key) ?? { tokens: this.#rate.burst, at: now };
    bucket.tokens = Math.min(this.#rate.burst, bucket.tokens + ((now - bucket.at) * this.#rate.perMinute) / 60_000);
    bucket.at = now;
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > this.#most) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    return bucket;
  }
}

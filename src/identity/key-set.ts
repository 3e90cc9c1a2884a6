import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';

/** Keys this old are fetched again, so that one the provider has withdrawn stops counting. */
const FRESH_MS = 5 * 60_000;
/** Without an answer of the provider its keys go on for so long. */
const STALE_MS = 24 * 3_600_000;
/** Between two attempts to fetch: a flood of tokens with made-up key ids must not become a flood at the provider. */
const COOLDOWN_MS = 10_000;

/** The signing keys of one provider, followed through their rotation. */
export class KeySet {
  readonly #fetch: () => Promise<JSONWebKeySet>;
  readonly #now: () => number;
  #keys: ReturnType<typeof createLocalJWKSet> | null = null;
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  #fetching: Promise<void> | null = null;
  #failure: unknown = null;

  /** `now`: ms since the epoch. `fetch` rejects when the provider cannot be reached. */
  constructor(fetch: () => Promise<JSONWebKeySet>, now: () => number) {
    this.#fetch = fetch;
    this.#now = now;
  }

  /** As jose asks for a key. Rejects with KeysUnavailable, or as jose does when there is no such key. */
  readonly get: JWTVerifyGetKey = async (header, token) => {
    if (this.#since(this.#fetchedAt) > FRESH_MS) await this.#refresh();
    const keys = this.#usable();
    try {
      return await keys(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      // Unknown key id: the provider may have rotated since.
      const before = this.#fetchedAt;
      await this.#refresh();
      if (this.#fetchedAt === before) throw error;
      return this.#usable()(header, token);
    }
  };

  /** A clock that was set back must not keep a provider from being asked until it has caught up. */
  #since(time: number): number {
    return Math.abs(this.#now() - time);
  }

  #usable(): ReturnType<typeof createLocalJWKSet> {
    if (this.#keys === null || this.#since(this.#fetchedAt) > STALE_MS) throw new KeysUnavailable(this.#failure);
    return this.#keys;
  }

  /** Fetches unless it was tried a moment ago; a failure leaves the keys as they are. */
  async #refresh(): Promise<void> {
    if (this.#fetching === null) {
      if (this.#since(this.#triedAt) < COOLDOWN_MS) return;
      this.#triedAt = this.#now();
      this.#fetching = this.#load().finally(() => {
        this.#fetching = null;
      });
    }
    await this.#fetching;
  }

  async #load(): Promise<void> {
    try {
      this.#keys = createLocalJWKSet(await this.#fetch());
      this.#fetchedAt = this.#now();
      this.#failure = null;
    } catch (error) {
      this.#failure = error;
    }
  }
}

export class KeysUnavailable extends Error {
  override readonly name = 'KeysUnavailable';

  constructor(cause: unknown) {
    super(`the keys of the provider cannot be fetched: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

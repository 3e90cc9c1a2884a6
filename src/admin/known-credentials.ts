import { createHmac, randomBytes } from 'node:crypto';

/**
 * Credentials that were good a moment ago, by keyed digests: who has one is not held up by others at the same address who guess. It is
 * checked all the same at every use.
 */
export class KnownCredentials {
  /** Of this process alone. */
  readonly #key = randomBytes(32);
  readonly #most: number;
  /** In the order of last use. */
  readonly #digests = new Set<string>();

  constructor(most = 10_000) {
    this.#most = most;
  }

  has(credential: string): boolean {
    return this.#digests.has(this.#digest(credential));
  }

  add(credential: string): void {
    const digest = this.#digest(credential);
    this.#digests.delete(digest);
    this.#digests.add(digest);
    const [oldest] = this.#digests;
    if (this.#digests.size > this.#most && oldest !== undefined) this.#digests.delete(oldest);
  }

  delete(credential: string): void {
    this.#digests.delete(this.#digest(credential));
  }

  #digest(credential: string): string {
    return createHmac('sha256', this.#key).update(credential).digest('base64');
  }
}

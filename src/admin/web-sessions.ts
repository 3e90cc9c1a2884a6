import { randomBytes, timingSafeEqual } from 'node:crypto';

import { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';
import type { Store } from '../store/model.ts';

/** `__Host-`: only this host can have set it, over TLS, for every path. */
export const sessionCookie = '__Host-sluice';

export interface WebSession {
  readonly principal: Principal;
  /** Has to come with every request that changes something. */
  readonly csrf: string;
}

/** Log-ins of browsers. The cookie is a random number; the store knows a keyed digest of it. */
export class WebSessions {
  readonly #store: Store;
  readonly #now: () => number;
  readonly #idleMs: number;

  /** @param idleSeconds ends a session that nobody uses for so long; 0: never. */
  constructor(store: Store, now: () => number, idleSeconds: number) {
    this.#store = store;
    this.#now = now;
    this.#idleMs = idleSeconds * 1000;
  }

  /** Begins one for who has just logged in; the cookie's content. It lives as long as the log-in may. */
  async begin(principal: Principal): Promise<string> {
    const cookie = randomBytes(32).toString('base64url');
    const now = this.#now();
    await this.#store.db.deleteFrom('web_sessions').where('expires_at', '<', now).execute();
    await this.#store.db
      .insertInto('web_sessions')
      .values({
        digest: this.#digest(cookie),
        principal: JSON.stringify(principal),
        csrf: randomBytes(24).toString('base64url'),
        created_at: now,
        last_used_at: now,
        expires_at: principal.credential.expiresAt,
      })
      .execute();
    return cookie;
  }

  /** The session of a cookie, or null when there is none (any more). */
  async find(cookie: string): Promise<WebSession | null> {
    if (cookie.length !== 43) return null;
    const digest = this.#digest(cookie);
    const row = await this.#store.db
      .selectFrom('web_sessions')
      .select(['principal', 'csrf', 'last_used_at', 'expires_at'])
      .where('digest', '=', digest)
      .executeTakeFirst();
    if (row === undefined) return null;
    const now = this.#now();
    const lastUsed = Number(row.last_used_at);
    if (now >= Number(row.expires_at) || (this.#idleMs > 0 && now - lastUsed >= this.#idleMs)) {
      await this.#store.db.deleteFrom('web_sessions').where('digest', '=', digest).execute();
      return null;
    }
    // Not for each request: to the minute is enough to tell who is idle for many.
    if (now - lastUsed > 30_000)
      await this.#store.db.updateTable('web_sessions').set({ last_used_at: now }).where('digest', '=', digest).execute();
    return { principal: principalOf(row.principal), csrf: row.csrf };
  }

  async end(cookie: string): Promise<void> {
    await this.#store.db.deleteFrom('web_sessions').where('digest', '=', this.#digest(cookie)).execute();
  }

  #digest(cookie: string): Buffer {
    return this.#store.digest([Buffer.from(cookie)], 'web-session');
  }
}

/** Whether the two are the same, in a time that does not tell how much of them is. */
export function sameSecret(given: string, expected: string): boolean {
  const a = Buffer.from(given);
  const b = Buffer.from(expected);
  return a.length === b.length && timingSafeEqual(a, b);
}

/** JSON columns come parsed from one driver and as text from another. */
function principalOf(column: unknown): Principal {
  const value: unknown = typeof column === 'string' ? JSON.parse(column) : column;
  if (typeof value === 'object' && value !== null && 'name' in value && 'credential' in value) return value as Principal;
  throw new GatewayError({
    code: 'store_invalid',
    source: 'gateway',
    phase: 'login',
    publicMessage: 'the store holds a browser session that cannot be read',
  });
}

import type { Principal } from '../policy/model.ts';
import type { Store } from '../store/model.ts';
import { storeUnavailable } from './failure.ts';
import type { IssuedTokens, TokenInfo, TokenPart } from './model.ts';

const TOUCH_MS = 60_000;
/** Rows go so long after they expired. */
const KEEP_MS = 90 * 86_400_000;
const MAX_TOUCHED = 100_000;

const columns = ['id', 'name', 'kind', 'issuer', 'subject', 'provider', 'audience', 'issued_at', 'expires_at', 'last_used_at'] as const;

/** A log-in whose provider can be asked whether the user is still there. */
export interface OpenLogin {
  readonly id: string;
  readonly name: string;
  readonly issuer: string;
  readonly subject: string;
  readonly provider: string;
}

/** With what the provider is asked, and what it said at the log-in. Kept sealed. */
export interface Refresh {
  readonly token: string;
  readonly groups: readonly string[];
}

/** The log-ins and tokens that were given out. A token is good without its row: the row is for lists, and for taking back. */
export class TokenStore implements IssuedTokens {
  readonly #store: Store | null;
  readonly #now: () => number;
  readonly #failed: (error: unknown) => void;
  readonly #touched = new Map<string, number>();

  constructor(store: Store | null, now: () => number, failed: (error: unknown) => void) {
    this.#store = store;
    this.#now = now;
    this.#failed = failed;
  }

  get #required(): Store {
    if (this.#store === null) throw storeUnavailable();
    return this.#store;
  }

  /** Notes a log-in or token of `principal`; its credential gives id and expiry. */
  async note(principal: Principal, provider: string, audience: TokenPart | null, refreshToken: string | null): Promise<void> {
    const { name, kind, issuer, subject, credential } = principal;
    await this.#required.db
      .insertInto('issued_tokens')
      .values({
        id: credential.id,
        issuer,
        subject,
        name,
        kind,
        provider,
        audience,
        refresh: refreshToken === null ? null : this.#seal(credential.id, { token: refreshToken, groups: principal.groups }),
        issued_at: this.#now(),
        expires_at: credential.expiresAt,
        last_used_at: null,
      })
      .execute();
  }

  /** A log-in is watched for as long as anything stands on it. */
  async extend(id: string, expiresAt: number): Promise<void> {
    await this.#required.db
      .updateTable('issued_tokens')
      .set({ expires_at: expiresAt })
      .where('id', '=', id)
      .where('expires_at', '<', expiresAt)
      .execute();
  }

  /** Notes that it was used, at most once a minute, and without anyone waiting. */
  touch(id: string): void {
    const now = this.#now();
    if (this.#store === null || now - (this.#touched.get(id) ?? Number.NEGATIVE_INFINITY) < TOUCH_MS) return;
    if (this.#touched.size >= MAX_TOUCHED) this.#touched.clear();
    this.#touched.set(id, now);
    void this.#store.db.updateTable('issued_tokens').set({ last_used_at: now }).where('id', '=', id).execute().catch(this.#failed);
  }

  async list(filter: { readonly user?: string; readonly limit: number }): Promise<readonly TokenInfo[]> {
    let query = this.#required.db.selectFrom('issued_tokens').select(columns).where('expires_at', '>', this.#now());
    if (filter.user !== undefined) query = query.where('name', '=', filter.user);
    const rows = await query.orderBy('issued_at', 'desc').limit(filter.limit).execute();
    return rows.map(infoOf);
  }

  async get(id: string): Promise<TokenInfo | null> {
    const row = await this.#required.db.selectFrom('issued_tokens').select(columns).where('id', '=', id).executeTakeFirst();
    return row === undefined ? null : infoOf(row);
  }

  /** Everything open that an issuer's subject has. */
  async openOf(issuer: string, subject: string): Promise<readonly TokenInfo[]> {
    const rows = await this.#required.db
      .selectFrom('issued_tokens')
      .select(columns)
      .where('issuer', '=', issuer)
      .where('subject', '=', subject)
      .where('expires_at', '>', this.#now())
      .execute();
    return rows.map(infoOf);
  }

  /** A page of the open log-ins with a refresh token, by id from `after`. */
  async openLogins(after: string, limit: number): Promise<readonly OpenLogin[]> {
    return this.#required.db
      .selectFrom('issued_tokens')
      .select(['id', 'name', 'issuer', 'subject', 'provider'])
      .where('refresh', 'is not', null)
      .where('expires_at', '>', this.#now())
      .where('id', '>', after)
      .orderBy('id')
      .limit(limit)
      .execute();
  }

  /** What is kept now: another gateway may have used and replaced the token. Null: gone. */
  async refreshOf(id: string): Promise<Refresh | null> {
    const row = await this.#required.db.selectFrom('issued_tokens').select('refresh').where('id', '=', id).executeTakeFirst();
    return row?.refresh == null ? null : this.#open(id, row.refresh);
  }

  /** Null: the provider is not asked any more. */
  async keepRefresh(id: string, kept: Refresh | null): Promise<void> {
    const refresh = kept === null ? null : this.#seal(id, kept);
    await this.#required.db.updateTable('issued_tokens').set({ refresh }).where('id', '=', id).execute();
  }

  /** Forgets what expired long ago, and refresh tokens with their log-in. */
  async sweep(): Promise<void> {
    const { db } = this.#required;
    await db
      .updateTable('issued_tokens')
      .set({ refresh: null })
      .where('refresh', 'is not', null)
      .where('expires_at', '<=', this.#now())
      .execute();
    await db
      .deleteFrom('issued_tokens')
      .where('expires_at', '<', this.#now() - KEEP_MS)
      .execute();
  }

  #seal(id: string, refresh: Refresh): Buffer {
    return this.#required.seal(Buffer.from(JSON.stringify(refresh)), `refresh-token:${id}`);
  }

  #open(id: string, sealed: Uint8Array): Refresh {
    return JSON.parse(this.#required.open(sealed, `refresh-token:${id}`).toString('utf8')) as Refresh;
  }
}

interface TokenRow {
  readonly id: string;
  readonly name: string;
  readonly kind: 'user' | 'service';
  readonly issuer: string;
  readonly subject: string;
  readonly provider: string;
  readonly audience: TokenPart | null;
  readonly issued_at: number;
  readonly expires_at: number;
  readonly last_used_at: number | null;
}

function infoOf(row: TokenRow): TokenInfo {
  const { issued_at: issuedAt, expires_at: expiresAt, last_used_at: lastUsedAt, ...rest } = row;
  return { ...rest, issuedAt, expiresAt, lastUsedAt };
}

import { randomBytes } from 'node:crypto';

import type { Store } from '../store/model.ts';

export type AttemptKind = 'oidc' | 'saml' | 'device' | 'cli-code';

/** What was found under an id that is good once. */
export type Taken<T> = { readonly state: 'found'; readonly value: T } | { readonly state: 'expired' } | { readonly state: 'unknown' };

/**
 * Log-ins on their way, in the store, so that they end on whichever gateway the browser comes back to. What they hold is
 * sealed; their ids are secrets of the browser or the command line and are kept as keyed digests.
 */
export class Attempts {
  readonly #store: Store;
  readonly #now: () => number;

  constructor(store: Store, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /** Keeps `value` (JSON) and returns the id that takes it out again. */
  async put(kind: AttemptKind, value: object, ttlMs: number): Promise<string> {
    const id = randomBytes(32).toString('base64url');
    const row = this.#row(kind, id);
    const sealed = this.#seal(row, value);
    await this.#store.db
      .insertInto('login_attempts')
      .values({ id: row, kind, sealed, created_at: this.#now(), expires_at: this.#now() + ttlMs })
      .execute();
    return id;
  }

  /** Takes it out: of any number that try, one gets it. */
  async take<T>(kind: AttemptKind, id: string): Promise<Taken<T>> {
    const row = this.#row(kind, id);
    const found = await this.#store.db.deleteFrom('login_attempts').where('id', '=', row).returningAll().executeTakeFirst();
    return this.#opened(row, found);
  }

  async look<T>(kind: AttemptKind, id: string): Promise<Taken<T>> {
    const row = this.#row(kind, id);
    return this.#opened(row, await this.#store.db.selectFrom('login_attempts').selectAll().where('id', '=', row).executeTakeFirst());
  }

  /** Replaces what is kept under an id. */
  async change(kind: AttemptKind, id: string, value: object): Promise<void> {
    const row = this.#row(kind, id);
    await this.#store.db
      .updateTable('login_attempts')
      .set({ sealed: this.#seal(row, value) })
      .where('id', '=', row)
      .execute();
  }

  /** Whether this is the first time: for ids that others made and that must count once. */
  async once(kind: string, id: string, expiresAt: number): Promise<boolean> {
    const made = await this.#store.db
      .insertInto('login_attempts')
      .values({ id: this.#row(kind, id), kind, sealed: Buffer.alloc(0), created_at: this.#now(), expires_at: expiresAt })
      .onConflict((conflict) => conflict.column('id').doNothing())
      .returning('id')
      .executeTakeFirst();
    return made !== undefined;
  }

  /** As `once` for work that one gateway at a time does: whether it may be done now, and until when nobody else may. */
  async lease(kind: string, id: string, untilMs: number): Promise<boolean> {
    const made = await this.#store.db
      .insertInto('login_attempts')
      .values({ id: this.#row(kind, id), kind, sealed: Buffer.alloc(0), created_at: this.#now(), expires_at: untilMs })
      .onConflict((conflict) =>
        conflict.column('id').doUpdateSet({ expires_at: untilMs }).where('login_attempts.expires_at', '<=', this.#now()),
      )
      .returning('id')
      .executeTakeFirst();
    return made !== undefined;
  }

  async release(kind: string, id: string): Promise<void> {
    await this.#store.db.deleteFrom('login_attempts').where('id', '=', this.#row(kind, id)).execute();
  }

  /** Forgets what has expired a while ago; until then a late-comer still learns that it came too late. */
  async sweep(): Promise<void> {
    await this.#store.db
      .deleteFrom('login_attempts')
      .where('expires_at', '<', this.#now() - 3_600_000)
      .execute();
  }

  #row(kind: string, id: string): string {
    return this.#store.digest([Buffer.from(kind), Buffer.from(id)], 'login-attempt').toString('hex');
  }

  #seal(row: string, value: object): Buffer {
    return this.#store.seal(Buffer.from(JSON.stringify(value)), `login-attempt:${row}`);
  }

  #opened<T>(row: string, found: { readonly sealed: Uint8Array; readonly expires_at: number } | undefined): Taken<T> {
    if (found === undefined) return { state: 'unknown' };
    if (Number(found.expires_at) <= this.#now()) return { state: 'expired' };
    return { state: 'found', value: JSON.parse(this.#store.open(found.sealed, `login-attempt:${row}`).toString('utf8')) as T };
  }
}

import type { Principal } from '../policy/model.ts';
import type { Store } from '../store/model.ts';
import type { AccessLog, Audit } from './audit.ts';
import type { StoreGrants } from './grants.ts';
import type { LiveSession, LiveSessions, Revocations } from './model.ts';
import { storable } from './texts.ts';
import { lockUser, mayPredate, revoked, userId } from './user-revocation.ts';

export interface RevocationOptions {
  readonly store: Store;
  readonly audit: Audit;
  readonly live: Pick<LiveSessions, 'list'>;
  /** Ended with their user. */
  readonly grants: Pick<StoreGrants, 'revokeUser'>;
  readonly now: () => number;
  readonly log: AccessLog;
}

/** No token lives longer than 366 days; service keys are looked up. */
const LONGEST_CREDENTIAL_MS = 400 * 86_400_000;
/** What a notification can carry, bytes. */
const MAX_PAYLOAD = 4_000;

type By = Principal | 'identity-provider';
type Kind = 'user' | 'credential';

/** Revocations in the store, mirrored in memory. */
export class StoreRevocations implements Revocations {
  readonly #options: RevocationOptions;
  #revoked = new Set<string>();
  /** When each user was last revoked, restored or not: what was given out until then stays ended. */
  #before = new Map<string, number>();
  /** What the table looked like when all of it was loaded: how many rows, and the time of the newest. */
  #loaded = '';
  /** Looks at the store one after another: an older answer must not come after a newer one. */
  #last: Promise<void> = Promise.resolve();

  constructor(options: RevocationOptions) {
    this.#options = options;
  }

  check(principal: Principal): void {
    if (this.#has(principal)) throw revoked();
  }

  async revokeUser(name: string, issuer: string, by: By, reason: string): Promise<void> {
    await this.#revoke('user', userId(name, issuer), name, by, reason);
    // Also when the user was revoked already: whoever did that may not have come this far.
    await this.#options.grants.revokeUser(name, issuer, whoIs(by), reason);
  }

  async revokeCredential(id: string, by: By, reason: string): Promise<void> {
    await this.#revoke('credential', id, '', by, reason);
  }

  async restoreUser(name: string, issuer: string, by: Principal, reason: string): Promise<void> {
    const { store, audit } = this.#options;
    audit.check();
    const id = userId(name, issuer);
    const { numDeletedRows } = await store.db.deleteFrom('revocations').where('kind', '=', 'user').where('id', '=', id).executeTakeFirst();
    if (numDeletedRows === 0n) return;
    this.#note('restored', 'user', id, name, by, storable(reason));
    await audit.recorded();
    await this.#spread('user', id);
  }

  async list(): ReturnType<Revocations['list']> {
    const rows = await this.#options.store.db.selectFrom('revocations').selectAll().orderBy('at').orderBy('id').execute();
    return rows.map(({ kind, id, revoked_by, reason, at }) => ({ kind, id, by: revoked_by, reason, at }));
  }

  /** Takes over what the store has, where it is not known to be the same, and ends the sessions that it concerns. */
  load(): Promise<void> {
    return this.#inOrder(async () => {
      const { db } = this.#options.store;
      const { count, newest } = await db
        .selectFrom('revocations')
        .select((select) => [select.fn.countAll<number>().as('count'), select.fn.max('at').as('newest')])
        .executeTakeFirstOrThrow();
      const { users, times } = await db
        .selectFrom('revoked_before')
        .select((select) => [select.fn.countAll<number>().as('users'), select.fn.sum('at').as('times')])
        .executeTakeFirstOrThrow();
      const state = `${count} ${newest} ${users} ${times}`;
      if (state === this.#loaded && Number(count) === this.#revoked.size) return;
      const rows = await db.selectFrom('revocations').select(['kind', 'id']).execute();
      const before = await db.selectFrom('revoked_before').selectAll().execute();
      this.#before = new Map(before.map(({ id, at }) => [id, at]));
      this.#revoked = new Set(rows.map(({ kind, id }) => key(kind, id)));
      this.#loaded = state;
      this.#endSessions();
    });
  }

  /** A gateway, this one included, has changed one; with '' or what is no key any may have changed. */
  changed(payload: string): void {
    const space = payload.indexOf(' ');
    const kind = payload.slice(0, space);
    const change = kind === 'user' || kind === 'credential' ? this.#reload(kind, payload.slice(space + 1)) : this.load();
    change.catch((error: unknown) => this.#options.log.warn('revocations could not be loaded', { error: String(error) }));
  }

  /** Forgets credentials that have long expired by themselves. */
  async prune(at: number): Promise<void> {
    await this.#options.store.db
      .deleteFrom('revocations')
      .where('kind', '=', 'credential')
      .where('at', '<', at - LONGEST_CREDENTIAL_MS)
      .where('id', 'not in', (db) => db.selectFrom('service_keys').select('id').where('expires_at', '>', at))
      .execute();
  }

  async close(): Promise<void> {
    await this.#last;
  }

  async #revoke(kind: Kind, id: string, user: string, by: By, reason: string): Promise<void> {
    const { store, audit, now } = this.#options;
    audit.check();
    const revokedBy = by === 'identity-provider' ? by : by.name;
    const at = now();
    const why = storable(reason);
    const inserted = await store.transaction(async (db) => {
      if (kind === 'user') await lockUser(db, id);
      const row = await db
        .insertInto('revocations')
        .values({ kind, id, revoked_by: revokedBy, reason: why, at })
        // A person's word stands over the provider's, which the provider itself takes back when it lets the user in again.
        .onConflict((conflict) =>
          by === 'identity-provider'
            ? conflict.doNothing()
            : conflict
                .columns(['kind', 'id'])
                .doUpdateSet({ revoked_by: revokedBy, reason: why })
                .where('revocations.revoked_by', '=', 'identity-provider'),
        )
        .returning('id')
        .executeTakeFirst();
      if (row !== undefined && kind === 'user')
        await db
          .insertInto('revoked_before')
          .values({ id, at })
          .onConflict((conflict) => conflict.column('id').doUpdateSet({ at }).where('revoked_before.at', '<', at))
          .execute();
      return row;
    });
    // Revoked before, maybe on another gateway a moment ago.
    if (inserted === undefined) return this.#reload(kind, id);
    this.#revoked.add(key(kind, id));
    if (kind === 'user') this.#before.set(id, Math.max(at, this.#before.get(id) ?? 0));
    this.#endSessions();
    this.#note('revoked', kind, id, user, by, why);
    await audit.recorded();
    await this.#spread(kind, id);
  }

  #reload(kind: Kind, id: string): Promise<void> {
    return this.#inOrder(async () => {
      const { db } = this.#options.store;
      const row = await db.selectFrom('revocations').select('id').where('kind', '=', kind).where('id', '=', id).executeTakeFirst();
      const before = await db.selectFrom('revoked_before').select('at').where('id', '=', id).executeTakeFirst();
      // Only with both answers: a restored user must not be let in without the time that is kept.
      if (row === undefined) this.#revoked.delete(key(kind, id));
      else this.#revoked.add(key(kind, id));
      if (kind === 'user' && before !== undefined) this.#before.set(id, before.at);
      this.#endSessions();
    });
  }

  #inOrder(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  /** This gateway's own memory first: its caller may ask right after. */
  async #spread(kind: Kind, id: string): Promise<void> {
    try {
      await this.#reload(kind, id);
      const payload = key(kind, id);
      await this.#options.store.notify('revocations', Buffer.byteLength(payload) > MAX_PAYLOAD ? '' : payload);
    } catch (error) {
      this.#options.log.warn('gateways could not be told of a revocation', { error: String(error) });
    }
  }

  #note(event: 'revoked' | 'restored', kind: Kind, id: string, user: string, by: By, reason: string): void {
    const who = whoIs(by);
    this.#options.audit.note(
      { type: 'revocation', event, sid: '', user, resource: '' },
      { kind, of: id, by: who, reason },
      { kind, id, by: who.name, reason },
    );
  }

  /** Ends a session whose principal was revoked while it began. */
  recheck(session: LiveSession): void {
    if (this.#has(session.principal)) session.end(revoked());
  }

  #has(principal: Principal): boolean {
    const { name, issuer, credential } = principal;
    // A credential falls with the log-in or the token that it was made from.
    const user = userId(name, issuer);
    const before = this.#before.get(user);
    return (
      this.#revoked.has(key('user', user)) ||
      (before !== undefined && mayPredate(principal, before)) ||
      [credential.id, ...(credential.parents ?? [])].some((id) => this.#revoked.has(key('credential', id)))
    );
  }

  #endSessions(): void {
    for (const session of this.#options.live.list()) if (this.#has(session.principal)) session.end(revoked());
  }
}

function whoIs(by: By): { readonly name: string; readonly issuer?: string; readonly subject?: string } {
  return by === 'identity-provider' ? { name: by } : { name: by.name, issuer: by.issuer, subject: by.subject };
}

function key(kind: Kind, id: string): string {
  return `${kind} ${id}`;
}

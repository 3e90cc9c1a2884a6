import { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';
import type { Store } from '../store/model.ts';
import type { AccessLog, Audit } from './audit.ts';
import type { LiveSession, LiveSessions, Revocations } from './model.ts';

export interface RevocationOptions {
  readonly store: Store;
  readonly audit: Audit;
  readonly live: Pick<LiveSessions, 'list'>;
  readonly now: () => number;
  readonly log: AccessLog;
}

type By = Principal | 'identity-provider';
type Kind = 'user' | 'credential';

/** Revocations in the store, mirrored in memory. */
export class StoreRevocations implements Revocations {
  readonly #options: RevocationOptions;
  #revoked: ReadonlySet<string> = new Set();
  /** Loads and single changes in the order in which they were asked for. */
  #last: Promise<void> = Promise.resolve();

  constructor(options: RevocationOptions) {
    this.#options = options;
  }

  check(principal: Principal): void {
    if (this.#has(principal)) throw revoked();
  }

  async revokeUser(name: string, issuer: string, by: By, reason: string): Promise<void> {
    await this.#revoke('user', userId(name, issuer), name, by, reason);
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
    this.#note('restored', 'user', id, name, by, reason);
    await audit.recorded();
    await this.#spread();
  }

  async list(): ReturnType<Revocations['list']> {
    const rows = await this.#options.store.db.selectFrom('revocations').selectAll().orderBy('at').orderBy('id').execute();
    return rows.map(({ kind, id, revoked_by, reason, at }) => ({ kind, id, by: revoked_by, reason, at }));
  }

  /** Takes over what the store has, and ends the sessions that it concerns. */
  load(): Promise<void> {
    const load = async (): Promise<void> => {
      const rows = await this.#options.store.db.selectFrom('revocations').select(['kind', 'id']).execute();
      this.#revoked = new Set(rows.map(({ kind, id }) => key(kind, id)));
      this.#endSessions();
    };
    // A load that began before a change must not undo the one after it.
    const loaded = this.#last.then(load);
    this.#last = loaded.catch(() => {});
    return loaded;
  }

  changed(): void {
    this.load().catch((error: unknown) => this.#options.log.warn('revocations could not be loaded', { error: String(error) }));
  }

  async close(): Promise<void> {
    await this.#last;
  }

  async #revoke(kind: Kind, id: string, user: string, by: By, reason: string): Promise<void> {
    const { store, audit, now } = this.#options;
    audit.check();
    const revokedBy = by === 'identity-provider' ? by : by.name;
    const inserted = await store.db
      .insertInto('revocations')
      .values({ kind, id, revoked_by: revokedBy, reason, at: now() })
      .onConflict((conflict) => conflict.doNothing())
      .returning('id')
      .executeTakeFirst();
    // Revoked before, maybe on another gateway a moment ago.
    if (inserted === undefined) return this.load();
    this.#revoked = new Set([...this.#revoked, key(kind, id)]);
    this.#endSessions();
    this.#note('revoked', kind, id, user, by, reason);
    await audit.recorded();
    await this.#spread();
  }

  /** This gateway's own memory first: its caller may ask right after. */
  async #spread(): Promise<void> {
    try {
      await this.load();
      await this.#options.store.notify('revocations', 'changed');
    } catch (error) {
      this.#options.log.warn('gateways could not be told of a revocation', { error: String(error) });
    }
  }

  #note(event: 'revoked' | 'restored', kind: Kind, id: string, user: string, by: By, reason: string): void {
    const who = by === 'identity-provider' ? { name: by } : { name: by.name, issuer: by.issuer, subject: by.subject };
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
    return this.#revoked.has(key('user', userId(name, issuer))) || this.#revoked.has(key('credential', credential.id));
  }

  #endSessions(): void {
    for (const session of this.#options.live.list()) if (this.#has(session.principal)) session.end(revoked());
  }
}

/** An issuer holds no space. */
function userId(name: string, issuer: string): string {
  return `${issuer} ${name}`;
}

function key(kind: Kind, id: string): string {
  return `${kind} ${id}`;
}

function revoked(): GatewayError {
  return new GatewayError({
    code: 'revoked',
    source: 'client',
    phase: 'login',
    publicMessage: 'access was revoked',
    hint: 'log in again, or ask whoever runs the gateway',
  });
}

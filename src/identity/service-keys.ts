import { randomBytes, timingSafeEqual } from 'node:crypto';

import { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';
import type { Store } from '../store/model.ts';
import { notAccepted, refuse, storeUnavailable } from './failure.ts';
import { isUserName } from './local-token.ts';
import type { CredentialRevoked, ServiceKey, ServiceKeys } from './model.ts';
import type { IdentityLines } from './record.ts';
import type { Users } from './users.ts';

/** Who vouches for a service with a key: the gateways of one store. */
export const SERVICE_KEY_ISSUER = 'sluice:service-keys';

const keyPattern = /^slk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;
const MAX_TTL_SECONDS = 366 * 86_400;
const MAX_OVERLAP_SECONDS = 30 * 86_400;
const LIST_MS = 90 * 86_400_000;
const TOUCH_MS = 60_000;
const MAX_CACHED = 10_000;

/** Whether the text has the form of a key; says nothing of whether it is one. */
export function isServiceKey(text: string): boolean {
  return text.startsWith('slk_');
}

interface KnownKey {
  readonly id: string;
  readonly service: string;
  readonly groups: readonly string[];
  readonly digest: Uint8Array;
  readonly createdAt: number;
  readonly expiresAt: number;
  usedAt: number;
}

export interface ServiceKeyOptions {
  readonly store: Store | null;
  readonly users: Users;
  readonly lines: IdentityLines;
  readonly now: () => number;
  /** Whether the principal or its key was revoked: throws GatewayError `revoked`. */
  readonly check: (principal: Principal) => void;
  readonly onCredentialRevoked: CredentialRevoked;
  readonly failed: (error: unknown) => void;
}

/**
 * Keys of service accounts, `slk_<id>_<secret>`. Kept is a keyed digest of the secret. Keys that were used are known in memory,
 * so that pools go on connecting while the store is away; a change anywhere makes every gateway forget them.
 */
export class ServiceKeyStore implements ServiceKeys {
  readonly #options: ServiceKeyOptions;
  readonly #known = new Map<string, KnownKey>();
  readonly #stopListening: () => void;
  /** Counts changes: what was read before one must not be kept after it. */
  #changes = 0;

  constructor(options: ServiceKeyOptions) {
    this.#options = options;
    this.#stopListening = options.store?.listen('service-keys', (id) => this.#forget(id)) ?? (() => {});
  }

  /** The service that presents this key. Throws `key_unknown`, `key_expired`, `revoked`, `store_unavailable`. */
  async verify(text: string): Promise<Principal> {
    const [, id, secret] = keyPattern.exec(text) ?? [];
    if (id === undefined || secret === undefined) throw notAccepted('key_unknown');
    const store = this.#required();
    const key = this.#known.get(id) ?? (await this.#load(store, id));
    if (key === null || !timingSafeEqual(key.digest, digestOf(store, id, secret))) throw notAccepted('key_unknown');
    const now = this.#options.now();
    const principal = principalOf(key.service, key.groups, id, key);
    if (now >= key.expiresAt) {
      // A revoked key has ended as well; that somebody took it back is what its service has to know.
      this.#options.check(principal);
      throw refuse('key_expired', 'the service key has expired', { hint: 'whoever manages keys makes a new one with: sluice keys create' });
    }
    if (now - key.usedAt >= TOUCH_MS) {
      key.usedAt = now;
      void store.db.updateTable('service_keys').set({ last_used_at: now }).where('id', '=', id).execute().catch(this.#options.failed);
    }
    return principal;
  }

  async create(wanted: Parameters<ServiceKeys['create']>[0]): ReturnType<ServiceKeys['create']> {
    const { service, groups, ttlSeconds, by } = wanted;
    const store = this.#required();
    if (!isUserName(service)) throw refuse('service_name_unusable', 'a service is named with letters, digits and _ . @ : -, up to 128');
    const odd = groups.find((group) => !isUserName(group));
    if (odd !== undefined) throw refuse('service_group_unusable', 'a group is named with letters, digits and _ . @ : -, up to 128');
    checkSeconds(ttlSeconds, 60, MAX_TTL_SECONDS, 'a key lives between 1 minute and 366 days');
    const now = this.#options.now();
    // The name is the service's from its first key on.
    await this.#options.users.admit(principalOf(service, groups, '', { expiresAt: now, createdAt: now }));
    const { id, secret, text } = newKey();
    const row = { id, service, groups: [...new Set(groups)], createdAt: now, expiresAt: now + ttlSeconds * 1000 };
    await this.#insert(store, row, secret, by);
    this.#options.lines.write('config', {
      event: 'service-key',
      action: 'create',
      key: id,
      service,
      groups: row.groups,
      expires: new Date(row.expiresAt).toISOString(),
      by: by.name,
      issuer: by.issuer,
    });
    return { key: madeBy(row, by), secret: text };
  }

  async rotate(id: string, overlapSeconds: number, by: Principal): ReturnType<ServiceKeys['rotate']> {
    const store = this.#required();
    checkSeconds(overlapSeconds, 0, MAX_OVERLAP_SECONDS, 'two keys overlap for 30 days at most');
    const fresh = newKey();
    const now = this.#options.now();
    const row = await store.transaction(async (db) => {
      const old = await db.selectFrom('service_keys').selectAll().where('id', '=', id).executeTakeFirst();
      if (old === undefined) throw keyUnknown(id);
      const state = stateOf({ ...old, revoked: await isRevoked(db, id) }, now);
      if (state !== 'open') throw keyEnded(id, state, old.replaced_by);
      const made = {
        id: fresh.id,
        service: old.service,
        groups: old.groups,
        createdAt: now,
        expiresAt: now + (old.expires_at - old.created_at),
      };
      await db
        .insertInto('service_keys')
        .values({ ...columnsOf(made, by), digest: digestOf(store, fresh.id, fresh.secret) })
        .execute();
      await db
        .updateTable('service_keys')
        .set({ replaced_by: fresh.id, expires_at: Math.min(old.expires_at, now + overlapSeconds * 1000) })
        .where('id', '=', id)
        .execute();
      return made;
    });
    this.#options.lines.write('config', {
      event: 'service-key',
      action: 'rotate',
      key: id,
      service: row.service,
      replaced_by: fresh.id,
      overlap: overlapSeconds,
      by: by.name,
      issuer: by.issuer,
    });
    await this.#changed(store, id);
    // Without an overlap the old one is not trusted any more: nor are the tokens that were made with it, and what they opened.
    if (overlapSeconds === 0) await this.#options.onCredentialRevoked(id, 'rotated without an overlap', by);
    return { key: madeBy(row, by), secret: fresh.text };
  }

  async revoke(id: string, by: Principal, reason: string): Promise<void> {
    const revoked = await this.#end([id], by, reason);
    if (revoked.length > 0) return;
    const key = (await this.list()).find((one) => one.id === id);
    throw key === undefined ? keyUnknown(id) : keyEnded(id, key.state, key.replacedBy);
  }

  /** Ends the keys that someone made: who leaves still knows them. Returns their ids. */
  async revokeMadeBy(name: string, reason: string): Promise<readonly string[]> {
    const store = this.#required();
    const now = this.#options.now();
    const rows = await store.db
      .selectFrom('service_keys')
      .select('id')
      .where('created_by', '=', name)
      .where('expires_at', '>', now)
      .execute();
    return this.#end(
      rows.map((row) => row.id),
      'identity-provider',
      reason,
    );
  }

  async list(): Promise<readonly ServiceKey[]> {
    const rows = await this.#required()
      .db.selectFrom('service_keys')
      .leftJoin('revocations', (join) => join.onRef('revocations.id', '=', 'service_keys.id').on('revocations.kind', '=', 'credential'))
      .selectAll('service_keys')
      .select('revocations.at as revoked_at')
      .where('expires_at', '>', this.#options.now() - LIST_MS)
      .orderBy('service')
      .orderBy('created_at')
      .execute();
    const now = this.#options.now();
    return rows.map((row) => ({
      id: row.id,
      service: row.service,
      groups: row.groups,
      createdBy: row.created_by,
      createdAt: row.created_at,
      expiresAt: row.expires_at,
      lastUsedAt: row.last_used_at,
      replacedBy: row.replaced_by,
      state: stateOf({ ...row, revoked: row.revoked_at !== null }, now),
    }));
  }

  close(): void {
    this.#stopListening();
  }

  async #end(ids: readonly string[], by: Principal | 'identity-provider', reason: string): Promise<readonly string[]> {
    if (ids.length === 0) return [];
    const store = this.#required();
    const now = this.#options.now();
    const who = by === 'identity-provider' ? { by, issuer: '' } : { by: by.name, issuer: by.issuer };
    const rows = await store.db
      .updateTable('service_keys')
      .set({ expires_at: now })
      .where('id', 'in', [...ids])
      .where('expires_at', '>', now)
      .returning(['id', 'service'])
      .execute();
    for (const { id, service } of rows) {
      this.#options.lines.write('config', { event: 'service-key', action: 'revoke', key: id, service, ...who, reason });
      await this.#changed(store, id);
      await this.#options.onCredentialRevoked(id, reason, by);
    }
    return rows.map((row) => row.id);
  }

  async #insert(store: Store, row: NewRow, secret: string, by: Principal): Promise<void> {
    await store.db
      .insertInto('service_keys')
      .values({ ...columnsOf(row, by), digest: digestOf(store, row.id, secret) })
      .execute();
  }

  async #load(store: Store, id: string): Promise<KnownKey | null> {
    const before = this.#changes;
    const row = await store.db.selectFrom('service_keys').selectAll().where('id', '=', id).executeTakeFirst();
    if (row === undefined) return null;
    const { service, groups, digest, expires_at: expiresAt, created_at: createdAt } = row;
    const known: KnownKey = { id, service, groups, digest: Buffer.from(digest), createdAt, expiresAt, usedAt: Number.NEGATIVE_INFINITY };
    if (this.#known.size >= MAX_CACHED) this.#known.clear();
    if (this.#changes === before) this.#known.set(id, known);
    return known;
  }

  async #changed(store: Store, id: string): Promise<void> {
    this.#forget(id);
    await store.notify('service-keys', id);
  }

  /** `''` is everything: something may have been missed. */
  #forget(id: string): void {
    this.#changes++;
    if (id === '') this.#known.clear();
    else this.#known.delete(id);
  }

  #required(): Store {
    if (this.#options.store === null) throw storeUnavailable();
    return this.#options.store;
  }
}

interface NewRow {
  readonly id: string;
  readonly service: string;
  readonly groups: readonly string[];
  readonly createdAt: number;
  readonly expiresAt: number;
}

function columnsOf(row: NewRow, by: Principal) {
  return {
    id: row.id,
    service: row.service,
    groups: JSON.stringify(row.groups),
    created_by: by.name,
    created_at: row.createdAt,
    expires_at: row.expiresAt,
    last_used_at: null,
    replaced_by: null,
  };
}

function newKey(): { readonly id: string; readonly secret: string; readonly text: string } {
  const id = randomBytes(8).toString('hex');
  const secret = randomBytes(32).toString('base64url');
  return { id, secret, text: `slk_${id}_${secret}` };
}

function digestOf(store: Store, id: string, secret: string): Buffer {
  return store.digest([Buffer.from(id), Buffer.from(secret)], 'service-key');
}

function principalOf(
  service: string,
  groups: readonly string[],
  id: string,
  { createdAt, expiresAt }: { readonly createdAt: number; readonly expiresAt: number },
): Principal {
  return {
    kind: 'service',
    name: service,
    issuer: SERVICE_KEY_ISSUER,
    subject: service,
    groups,
    credential: { kind: 'service-key', id, expiresAt, issuedAt: createdAt },
    claims: {},
  };
}

function checkSeconds(value: number, min: number, max: number, message: string): void {
  if (!(Number.isFinite(value) && value >= min && value <= max)) throw refuse('key_lifetime', message);
}

function madeBy(row: NewRow, by: Principal): ServiceKey {
  return { ...row, createdBy: by.name, lastUsedAt: null, replacedBy: null, state: 'open' };
}

async function isRevoked(db: Store['db'], id: string): Promise<boolean> {
  const row = await db.selectFrom('revocations').select('id').where('kind', '=', 'credential').where('id', '=', id).executeTakeFirst();
  return row !== undefined;
}

function stateOf(
  key: { readonly expires_at: number; readonly replaced_by: string | null; readonly revoked: boolean },
  now: number,
): ServiceKey['state'] {
  if (key.revoked) return 'revoked';
  if (key.expires_at <= now) return 'expired';
  return key.replaced_by === null ? 'open' : 'replaced';
}

/** Of the phase of decisions: whoever asks is logged in. */
function keyUnknown(id: string): GatewayError {
  return new GatewayError({
    code: 'key_unknown',
    source: 'client',
    phase: 'decide',
    publicMessage: `there is no key ${id}`,
    hint: 'sluice keys ls lists them',
  });
}

function keyEnded(id: string, state: ServiceKey['state'], replacedBy: string | null): GatewayError {
  const how = { open: 'is open', expired: 'has expired', revoked: 'was revoked', replaced: 'was rotated already' }[state];
  return new GatewayError({
    code: 'key_ended',
    source: 'client',
    phase: 'decide',
    publicMessage: `the key ${id} ${how}`,
    hint: replacedBy === null ? 'make a new one with: sluice keys create' : `the key ${replacedBy} has taken its place`,
  });
}

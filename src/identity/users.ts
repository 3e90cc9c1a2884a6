import type { Principal } from '../policy/model.ts';
import type { Store } from '../store/model.ts';
import { refuse } from './failure.ts';

/** How often it is noted that someone was here. */
const SEEN_MS = 60_000;
/** SQLSTATE. */
const UNIQUE_VIOLATION = '23505';
/** Names kept in memory; beyond, they are asked for again. */
const MAX_KNOWN = 100_000;

/**
 * One name, one identity (PCI DSS 8.2.1): the first issuer and subject that log in under a name keep it, people and services
 * alike. Names already seen need no store.
 */
export class Users {
  readonly #store: Store | null;
  readonly #now: () => number;
  readonly #failed: (error: unknown) => void;
  readonly #stopListening: () => void;
  /** By name: whose it is, and when that was last written. */
  readonly #known = new Map<string, { readonly owner: string; seenAt: number }>();
  /** Names that operators issued tokens for and that no provider has claimed. */
  readonly #local = new Set<string>();

  /** `failed` hears of writes that nobody waits for. */
  constructor(store: Store | null, now: () => number, failed: (error: unknown) => void) {
    this.#store = store;
    this.#now = now;
    this.#failed = failed;
    this.#stopListening =
      store?.listen('logins', (name) => {
        if (name === '') this.#local.clear();
        else this.#local.delete(name);
      }) ?? (() => {});
  }

  /** Takes note of someone whom a provider or a service key vouches for. Throws `name_taken`, `name_changed`, `store_unavailable`. */
  async admit(principal: Principal): Promise<void> {
    const { name } = principal;
    const owner = ownerOf(principal);
    const known = this.#known.get(name);
    if (known !== undefined) {
      if (known.owner !== owner) throw taken(name);
      if (this.#now() - known.seenAt >= SEEN_MS) {
        known.seenAt = this.#now();
        void this.#claim(principal).catch(this.#failed);
      }
      return;
    }
    const isNew = await this.#claimed(principal);
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(name, { owner, seenAt: this.#now() });
    this.#local.delete(name);
    if (isNew) await this.#store?.notify('logins', name);
  }

  /**
   * A token that an operator issued on the gateway's own command line may not stand for someone a provider knows. Such tokens
   * work without the store: who can issue them holds the key of the gateway.
   */
  async checkLocal(name: string): Promise<void> {
    if (this.#known.has(name)) throw taken(name);
    if (this.#store === null || this.#local.has(name)) return;
    const row = await this.#store.db
      .selectFrom('users')
      .select('name')
      .where('name', '=', name)
      .executeTakeFirst()
      .catch((error: unknown) => {
        this.#failed(error);
        return null;
      });
    if (row !== undefined && row !== null) throw taken(name);
    if (row === null) return;
    if (this.#local.size >= MAX_KNOWN) this.#local.clear();
    this.#local.add(name);
  }

  /** Names by which an issuer's subject is known. */
  async named(issuer: string, subject: string): Promise<string | null> {
    const row = await this.#store?.db
      .selectFrom('users')
      .select('name')
      .where('issuer', '=', issuer)
      .where('subject', '=', subject)
      .executeTakeFirst();
    return row?.name ?? null;
  }

  close(): void {
    this.#stopListening();
  }

  /** Whether the name is new. */
  async #claim(principal: Principal): Promise<boolean> {
    if (this.#store === null) return false;
    const { issuer, subject, name, kind } = principal;
    const groups = JSON.stringify(principal.groups);
    const now = this.#now();
    return this.#store.transaction(async (db) => {
      const holder = await db.selectFrom('users').select(['issuer', 'subject']).where('name', '=', name).executeTakeFirst();
      if (holder !== undefined && (holder.issuer !== issuer || holder.subject !== subject)) throw taken(name);
      if (holder !== undefined) {
        await db.updateTable('users').set({ last_seen: now, groups }).where('issuer', '=', issuer).where('subject', '=', subject).execute();
        return false;
      }
      const earlier = await db
        .selectFrom('users')
        .select('name')
        .where('issuer', '=', issuer)
        .where('subject', '=', subject)
        .executeTakeFirst();
      if (earlier !== undefined) throw changed(earlier.name, name);
      await db.insertInto('users').values({ issuer, subject, name, kind, groups, first_seen: now, last_seen: now }).execute();
      return true;
    });
  }

  /** Of two that come under one new name at the same moment, the unique name in the store lets one pass. */
  async #claimed(principal: Principal): Promise<boolean> {
    try {
      return await this.#claim(principal);
    } catch (error) {
      if ((error as { code?: unknown }).code !== UNIQUE_VIOLATION) throw error;
      // It is there now: the same person from another device, or somebody else.
      return this.#claim(principal);
    }
  }
}

function ownerOf(principal: Principal): string {
  return `${principal.issuer}\n${principal.subject}`;
}

function taken(name: string): Error {
  return refuse('name_taken', `the name ${name} belongs to another identity`, {
    hint: 'one name stands for one person or service; the operator may choose another claim for the name, or rename one of the two',
  });
}

/** A name that its bearer can change must not lead away from grants, revocations and the record of what was done under it. */
function changed(from: string, to: string): Error {
  return refuse('name_changed', `the identity provider now calls ${from} ${to}`, {
    hint: 'the operator may choose a claim for the name that does not change',
  });
}

import { createHash, createPublicKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { Store } from '../store/model.ts';
import type { TokenKeyTable } from '../store/schema.ts';
import type { IdentityLog } from './departures.ts';
import type { IdentityLines } from './record.ts';

/** How often a gateway says that its key is in use, and looks at those of the others, ms. */
const BEAT_MS = 60_000;
/** A name whose holder was not heard of for so long may be taken over by a gateway with another key, ms. */
const TAKEOVER_MS = 3 * BEAT_MS;
/** The key of a gateway that was not heard of for so long counts no more, ms. */
const KEPT_MS = 30 * 86_400_000;
/** Between two looks because of a token that no key fits: a flood of made-up tokens must not become a flood at the store, ms. */
const COOLDOWN_MS = 10_000;
const CONTEXT = 'token-key';

type Published = 'new' | 'known' | 'taken';

export interface GatewayKeyParts {
  readonly store: Store;
  /** The name in which this gateway issues tokens. */
  readonly gateway: string;
  /** This process among all of the store; the same after a restart. */
  readonly process: string;
  readonly publicKey: KeyObject;
  readonly lines: IdentityLines;
  readonly now: () => number;
  readonly log: IdentityLog;
}

/**
 * The keys with which the gateways of one store sign tokens. Each publishes its own, under its own name; a name has one key at a
 * time. What the store has is authentic only with a digest under the key of the store, which is not in the database. Verifying
 * goes by memory: while the store is away, what was known goes on, and nothing new is learned.
 */
export class GatewayKeys {
  readonly #parts: GatewayKeyParts;
  readonly #own: Buffer;
  #known: ReadonlyMap<string, KeyObject> = new Map();
  #timer: NodeJS.Timeout | null = null;
  #stopListening: () => void = () => {};
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<boolean> | null = null;
  #taken = false;
  /** One after another: an older answer of the store must not come after a newer one. */
  #last: Promise<void> = Promise.resolve();

  constructor(parts: GatewayKeyParts) {
    this.#parts = parts;
    this.#own = parts.publicKey.export({ type: 'spki', format: 'der' });
  }

  /** Publishes the own key and learns the others'. A store that does not answer is asked again at the next beat. */
  async start(): Promise<void> {
    this.#stopListening = this.#parts.store.listen('token-keys', () => void this.#attempt(() => this.#load()));
    this.#timer = setInterval(() => void this.beat(), BEAT_MS);
    this.#timer.unref();
    await this.beat();
  }

  /** What is done now and then: says that the key is in use, and learns what no notification told. */
  async beat(): Promise<void> {
    await this.#attempt(async () => {
      await this.#publish();
      await this.#prune();
      await this.#load();
    });
  }

  /** The key that `issuer` has published, as a list. */
  of(issuer: string): readonly KeyObject[] {
    const key = this.#known.get(issuer);
    return key === undefined ? [] : [key];
  }

  /** Looks whether a key has come that nobody told of, unless that was done a moment ago. Whether it could look. */
  look(): Promise<boolean> {
    if (this.#looking !== null) return this.#looking;
    const { now } = this.#parts;
    // A clock that was set back must not keep anybody waiting until it has caught up.
    if (Math.abs(now() - this.#lookedAt) < COOLDOWN_MS) return Promise.resolve(false);
    this.#lookedAt = now();
    this.#looking = this.#attempt(() => this.#load()).finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#stopListening();
    await this.#last;
  }

  /** Whether it was done; what fails is done again by the next beat. */
  async #attempt(work: () => Promise<void>): Promise<boolean> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    try {
      await done;
      return true;
    } catch (error) {
      this.#parts.log.warn('the keys of the gateways could not be looked after', { error: String(error) });
      return false;
    }
  }

  async #publish(): Promise<void> {
    const { store, gateway, lines, log } = this.#parts;
    const published = await store.transaction((db) => this.#claim(db));
    if (published === 'taken' && !this.#taken)
      log.error('another gateway of this name has another key: tokens of this one are good here alone', {
        gateway,
        hint: 'give each gateway its own gateway.name, or both the same keys/token.key',
      });
    this.#taken = published === 'taken';
    if (published !== 'new') return;
    lines.write('config', { event: 'token-key', issuer: gateway, key: createHash('sha256').update(this.#own).digest('hex') });
    await store.notify('token-keys', '');
  }

  /** The name is this process's if it had it before, if nobody has it, or if whoever had it is gone. */
  async #claim(db: Parameters<Parameters<Store['transaction']>[0]>[0]): Promise<Published> {
    const { gateway, process, now } = this.#parts;
    const at = now();
    const row = await db.selectFrom('token_keys').selectAll().where('issuer', '=', gateway).forUpdate().executeTakeFirst();
    const own = { public_key: this.#own, mac: this.#mac(gateway, this.#own), process, published_at: at, seen_at: at };
    if (row === undefined) {
      const inserted = await db
        .insertInto('token_keys')
        .values({ issuer: gateway, ...own })
        .onConflict((conflict) => conflict.doNothing())
        .returning('issuer')
        .executeTakeFirst();
      // Another one was first by a moment: the next beat sees which key it has.
      return inserted === undefined ? 'known' : 'new';
    }
    const authentic = this.#isAuthentic(row);
    if (authentic && this.#own.equals(row.public_key)) {
      await db.updateTable('token_keys').set({ process, seen_at: at }).where('issuer', '=', gateway).execute();
      return 'known';
    }
    if (authentic && row.process !== process && row.seen_at > at - TAKEOVER_MS) return 'taken';
    await db.updateTable('token_keys').set(own).where('issuer', '=', gateway).execute();
    return 'new';
  }

  async #load(): Promise<void> {
    const { store, now, log } = this.#parts;
    const rows = await store.db
      .selectFrom('token_keys')
      .selectAll()
      .where('seen_at', '>', now() - KEPT_MS)
      .execute();
    const known = new Map<string, KeyObject>();
    for (const row of rows) {
      if (this.#isAuthentic(row)) known.set(row.issuer, publicKeyOf(row.public_key));
      else log.error('a key in the store was not put there by a gateway, and is not used', { issuer: row.issuer });
    }
    this.#known = known;
  }

  async #prune(): Promise<void> {
    const { store, now } = this.#parts;
    await store.db
      .deleteFrom('token_keys')
      .where('seen_at', '<=', now() - KEPT_MS)
      .execute();
  }

  #isAuthentic({ issuer, public_key, mac }: Pick<TokenKeyTable, 'issuer' | 'public_key' | 'mac'>): boolean {
    const expected = this.#mac(issuer, public_key);
    return mac.byteLength === expected.byteLength && timingSafeEqual(mac, expected);
  }

  #mac(issuer: string, publicKey: Uint8Array): Buffer {
    return this.#parts.store.digest([Buffer.from(issuer, 'utf8'), publicKey], CONTEXT);
  }
}

/** Only gateways put keys there, and theirs are Ed25519 (see signing-key.ts). */
function publicKeyOf(der: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.from(der), type: 'spki', format: 'der' });
}

import { Kysely, PostgresDialect, sql, type Transaction } from 'kysely';
import type { GatewayError } from '../errors.ts';
import { type Backend, CHANNEL, type StoreLog } from './backend.ts';
import { openEmbedded } from './embedded.ts';
import { isTransient, storeInvalid } from './errors.ts';
import { createKey, KEY_VARIABLE, keyFile, readKey } from './key.ts';
import { migrate } from './migrate.ts';
import type { Store, Topic } from './model.ts';
import type { ControlSchema } from './schema.ts';
import { Seal } from './seal.ts';
import { openShared } from './shared.ts';

export interface StoreOptions {
  /** `embedded`, or a connection string (the reference already resolved). */
  readonly url: string;
  readonly dataDir: string;
  readonly log: StoreLog;
  /** ms since the epoch. */
  readonly now: () => number;
  /** Where SLUICE_STORE_KEY is looked up; default the environment of the process. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** How long a shared database may take to appear at start, ms; default 10 s. */
  readonly patienceMs?: number;
}

const MAX_PAYLOAD = 4_000;
const ATTEMPTS = 5;
const CANARY = 'seal-check';

/**
 * Opens the control store: connects or starts it, brings its schema up to date, checks the key. Throws GatewayError
 * `store_unavailable`, `store_in_use`, `store_unusable`, `store_newer`, `store_key_missing`, `store_key_mismatch`.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { url, dataDir, log, now } = options;
  const topics = new Topics(log);
  const backendOptions = { onNotification: (payload: string) => topics.deliver(payload), now, log };
  const embedded = url === 'embedded';
  const backend = embedded
    ? await openEmbedded(dataDir, backendOptions)
    : await openShared(url, backendOptions, options.patienceMs ?? 10_000);
  const db = new Kysely<ControlSchema>({ dialect: new PostgresDialect({ pool: backend.pool }) });
  try {
    await migrate(db);
    const seal = new Seal(await agreeOnKey(db, dataDir, options.env ?? process.env));
    return new OpenStore(embedded ? 'embedded' : 'shared', db, backend, topics, seal);
  } catch (error) {
    await backend.close();
    throw error;
  }
}

/**
 * The key, proven to be the one that the store was begun with: with another one, what is sealed in it would be lost and
 * digests would match nothing. Made when the store is new.
 */
async function agreeOnKey(db: Kysely<ControlSchema>, dataDir: string, env: Readonly<Record<string, string | undefined>>): Promise<Buffer> {
  const canary = (): Promise<{ sealed: Uint8Array } | undefined> => db.selectFrom('seal_check').select('sealed').executeTakeFirst();
  let known = await canary();
  let key = readKey(dataDir, env);
  if (known === undefined) {
    key ??= createKey(dataDir);
    const sealed = new Seal(key).seal(Buffer.from(CANARY), CANARY);
    // Another gateway may begin the same store now: the first one's key is it.
    await db
      .insertInto('seal_check')
      .values({ id: 1, sealed })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    known = await canary();
  }
  if (key === null) throw keyError('store_key_missing', 'there is no key to open the store with', dataDir);
  try {
    new Seal(key).open(known?.sealed ?? Buffer.alloc(0), CANARY);
  } catch {
    throw keyError('store_key_mismatch', 'the store was begun with another key', dataDir);
  }
  return key;
}

function keyError(code: string, message: string, dataDir: string): GatewayError {
  return storeInvalid(
    code,
    message,
    `give this gateway the key of the others, in ${keyFile(dataDir)} (mode 0600) or in ${KEY_VARIABLE}, or restore it from a backup`,
  );
}

/** Who listens to which topic. */
class Topics {
  readonly #listeners = new Map<Topic, Set<(payload: string) => void>>();
  readonly #log: StoreLog;

  constructor(log: StoreLog) {
    this.#log = log;
  }

  listen(topic: Topic, onChange: (payload: string) => void): () => void {
    const listeners = this.#listeners.get(topic) ?? new Set();
    this.#listeners.set(topic, listeners);
    // Its own identity: the same function may listen twice.
    const own = (payload: string): void => onChange(payload);
    listeners.add(own);
    return () => listeners.delete(own);
  }

  /** `topic payload`, or '' for everything. */
  deliver(message: string): void {
    const space = message.indexOf(' ');
    const topic = message.slice(0, space);
    for (const [name, listeners] of this.#listeners) {
      if (message !== '' && name !== topic) continue;
      for (const listener of listeners) {
        try {
          listener(message === '' ? '' : message.slice(space + 1));
        } catch (error) {
          this.#log.error('a listener of the store failed', { topic: name, error: String(error) });
        }
      }
    }
  }
}

class OpenStore implements Store {
  readonly kind: 'embedded' | 'shared';
  readonly db: Kysely<ControlSchema>;
  readonly #backend: Backend;
  readonly #topics: Topics;
  readonly #seal: Seal;

  constructor(kind: 'embedded' | 'shared', db: Kysely<ControlSchema>, backend: Backend, topics: Topics, seal: Seal) {
    this.kind = kind;
    this.db = db;
    this.#backend = backend;
    this.#topics = topics;
    this.#seal = seal;
  }

  get downSince(): number | null {
    return this.#backend.downSince;
  }

  async transaction<T>(work: (db: Transaction<ControlSchema>) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.db.transaction().execute(work);
      } catch (error) {
        if (!isTransient(error) || attempt === ATTEMPTS) throw error;
        // Whoever collided should not do so again at the same moment.
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 20 * attempt));
      }
    }
  }

  async notify(topic: Topic, payload: string): Promise<void> {
    if (Buffer.byteLength(payload) > MAX_PAYLOAD) throw new RangeError(`a notification of ${topic} is too long`);
    await sql`select pg_notify(${CHANNEL}, ${`${topic} ${payload}`})`.execute(this.db);
  }

  listen(topic: Topic, onChange: (payload: string) => void): () => void {
    return this.#topics.listen(topic, onChange);
  }

  seal(secret: Uint8Array, context: string): Buffer {
    return this.#seal.seal(secret, context);
  }

  open(sealed: Uint8Array, context: string): Buffer {
    return this.#seal.open(sealed, context);
  }

  digest(parts: readonly Uint8Array[], context: string): Buffer {
    return this.#seal.digest(parts, context);
  }

  async close(): Promise<void> {
    await this.db.destroy();
    // Kysely ends a pool only once it has used it.
    await this.#backend.close();
  }
}

import type { PostgresPool, PostgresPoolClient, PostgresQueryResult } from 'kysely';
import pg from 'pg';
import { type Backend, type BackendOptions, CHANNEL, type StoreLog } from './backend.ts';
import { isUnavailable, storeUnavailable } from './errors.ts';

/** How long things may take, ms. */
export interface SharedTiming {
  readonly connect: number;
  readonly statement: number;
  /** How often the subscription is asked whether it is still there: a connection can be gone without a word. */
  readonly ping: number;
  /** How long connections have to end in order. */
  readonly close: number;
}

const TIMING: SharedTiming = { connect: 5_000, statement: 15_000, ping: 5_000, close: 2_000 };
const BACKOFF_MS = { first: 50, most: 5_000 };
const INT8 = 20;

/** Times are milliseconds, far below 2^53. */
const types = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === INT8 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

/**
 * A pool of connections to a shared database, and one that listens. While the listening one is lost the store counts as down:
 * statements fail at once instead of each waiting for its own time-out. Throws GatewayError `store_unavailable` when it cannot
 * be reached within `patienceMs`.
 */
export async function openShared(
  url: string,
  options: BackendOptions,
  patienceMs: number,
  timing: SharedTiming = TIMING,
): Promise<Backend> {
  const backend = new SharedBackend(url, options, timing);
  try {
    await backend.start(patienceMs);
  } catch (error) {
    await backend.close();
    throw error;
  }
  return backend;
}

class SharedBackend implements Backend {
  readonly pool: PostgresPool;
  readonly #settings: pg.ClientConfig;
  readonly #connections: pg.Pool;
  readonly #options: BackendOptions;
  readonly #log: StoreLog;
  readonly #timing: SharedTiming;
  /** Every connection that is open, so that none outlives the store. */
  readonly #open = new Set<pg.ClientBase>();
  #subscription: pg.Client | null = null;
  #downSince: number | null;
  #retry: NodeJS.Timeout | null = null;
  #ping: NodeJS.Timeout | null = null;
  #failures = 0;
  #closed: Promise<void> | null = null;
  #connecting: Promise<void> = Promise.resolve();

  constructor(url: string, options: BackendOptions, timing: SharedTiming) {
    this.#options = options;
    this.#timing = timing;
    this.#log = options.log;
    this.#downSince = options.now();
    this.#settings = {
      connectionString: url,
      application_name: 'sluice',
      keepAlive: true,
      connectionTimeoutMillis: timing.connect,
      statement_timeout: timing.statement,
      idle_in_transaction_session_timeout: timing.statement,
      query_timeout: timing.statement + timing.connect,
      types,
    };
    this.#connections = new pg.Pool({ ...this.#settings, max: 8, idleTimeoutMillis: 60_000 });
    // A connection that broke while idle leaves the pool by itself; the subscription tells whether the server is gone.
    this.#connections.on('error', (error) => this.#log.warn('an idle connection of the store broke', { error: error.message }));
    this.#connections.on('connect', (client) => this.#open.add(client));
    this.#connections.on('remove', (client) => this.#open.delete(client));
    this.pool = { connect: () => this.#connect(), end: () => this.close(), options: {} };
  }

  get downSince(): number | null {
    return this.#downSince;
  }

  async start(patienceMs: number): Promise<void> {
    const deadline = performance.now() + patienceMs;
    for (let wait = BACKOFF_MS.first; ; wait *= 2) {
      try {
        await this.#subscribe();
        return;
      } catch (cause) {
        // A wrong password or a missing database does not mend itself.
        if (!isUnavailable(cause) || performance.now() + wait > deadline)
          throw storeUnavailable(`the shared store cannot be reached: ${reason(cause)}`, cause);
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#downSince ??= this.#options.now();
    if (this.#retry !== null) clearTimeout(this.#retry);
    if (this.#ping !== null) clearTimeout(this.#ping);
    await this.#connecting;
    const subscription = this.#subscription;
    this.#subscription = null;
    // A server that has fallen silent answers no farewell either.
    const impatient = setTimeout(() => {
      for (const client of this.#open) destroy(client);
    }, this.#timing.close);
    await Promise.all([subscription?.end().catch(() => {}), this.#connections.end()]);
    clearTimeout(impatient);
  }

  async #connect(): Promise<PostgresPoolClient> {
    if (this.#downSince !== null) throw storeUnavailable('the shared store does not answer');
    let client: pg.PoolClient;
    try {
      client = await this.#connections.connect();
    } catch (error) {
      throw this.#failed(error);
    }
    // Without a listener an error between two statements would end the process; the next statement reports it.
    const onError = (error: Error): void => this.#log.warn('a connection of the store broke', { error: error.message });
    client.on('error', onError);
    let broken = false;
    const query = async (sql: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<unknown>> => {
      try {
        return (await client.query(sql, [...parameters])) as unknown as PostgresQueryResult<unknown>;
      } catch (error) {
        if (!isUnavailable(error)) throw error;
        broken = true;
        throw this.#failed(error);
      }
    };
    return {
      query: query as PostgresPoolClient['query'],
      release: (destroy) => {
        client.off('error', onError);
        client.release(destroy === true || broken);
      },
    };
  }

  /** Takes note that a statement could not reach the server: the subscription has to prove that it is there. */
  #failed(cause: unknown): Error {
    if (!isUnavailable(cause)) return cause instanceof Error ? cause : new Error(String(cause));
    this.#lose(this.#subscription, cause);
    return storeUnavailable('the shared store does not answer', cause);
  }

  #lose(subscription: pg.Client | null, cause: unknown): void {
    if (this.#closed !== null || subscription === null || subscription !== this.#subscription) return;
    this.#subscription = null;
    this.#downSince = this.#options.now();
    this.#failures = 0;
    if (this.#ping !== null) clearTimeout(this.#ping);
    this.#log.warn('the shared store does not answer', { error: reason(cause) });
    destroy(subscription);
    this.#resubscribe(0);
  }

  #resubscribe(afterMs: number): void {
    this.#retry = setTimeout(() => {
      this.#connecting = this.#subscribe().then(
        () => this.#log.info('the shared store answers again'),
        (error: unknown) => {
          if (this.#closed !== null) return;
          this.#failures += 1;
          if (this.#failures === 1) this.#log.warn('the shared store cannot be reached', { error: reason(error) });
          const backoff = Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** Math.min(this.#failures, 10));
          this.#resubscribe(backoff * (0.5 + Math.random() / 2));
        },
      );
    }, afterMs);
  }

  /** One question at a time: the next comes only once this one is answered. */
  #pingLater(client: pg.Client): void {
    this.#ping = setTimeout(() => {
      client.query('select 1').then(
        () => {
          if (client === this.#subscription) this.#pingLater(client);
        },
        (error: unknown) => this.#lose(client, error),
      );
    }, this.#timing.ping);
    this.#ping.unref();
  }

  async #subscribe(): Promise<void> {
    const client = new pg.Client({ ...this.#settings, query_timeout: this.#timing.connect });
    this.#open.add(client);
    client.on('error', (error) => this.#lose(client, error));
    client.once('end', () => {
      this.#open.delete(client);
      this.#lose(client, new Error('the connection ended'));
    });
    client.on('notification', ({ payload }) => this.#options.onNotification(payload ?? ''));
    try {
      await client.connect();
      await client.query(`listen ${CHANNEL}`);
    } catch (error) {
      destroy(client);
      throw error;
    }
    if (this.#closed !== null) {
      await client.end().catch(() => {});
      return;
    }
    this.#subscription = client;
    this.#downSince = null;
    this.#pingLater(client);
    // Whatever was told while nobody listened.
    this.#options.onNotification('');
  }
}

/** Ends a connection whatever its other end does. */
function destroy(client: pg.ClientBase): void {
  (client as pg.Client).connection.stream.destroy();
}

/** The server's or the network's own words; they name no data. */
function reason(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reason).join('; ');
  return error instanceof Error ? error.message : String(error);
}

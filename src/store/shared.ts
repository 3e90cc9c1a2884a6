import type { PostgresPool, PostgresPoolClient, PostgresQueryResult } from 'kysely';
import pg from 'pg';
import { type Backend, type BackendOptions, CHANNEL, type StoreLog } from './backend.ts';
import { isUnavailable, storeUnavailable } from './errors.ts';

const CONNECT_MS = 5_000;
const STATEMENT_MS = 15_000;
/** How often the subscription is asked whether it is still there: a connection can be gone without a word. */
const PING_MS = 5_000;
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
export async function openShared(url: string, options: BackendOptions, patienceMs: number): Promise<Backend> {
  const backend = new SharedBackend(url, options);
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
  #subscription: pg.Client | null = null;
  #downSince: number | null;
  #retry: NodeJS.Timeout | null = null;
  #ping: NodeJS.Timeout | null = null;
  #failures = 0;
  #closed: Promise<void> | null = null;
  #connecting: Promise<void> = Promise.resolve();

  constructor(url: string, options: BackendOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#downSince = options.now();
    this.#settings = {
      connectionString: url,
      application_name: 'sluice',
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_MS,
      statement_timeout: STATEMENT_MS,
      idle_in_transaction_session_timeout: STATEMENT_MS,
      query_timeout: STATEMENT_MS + CONNECT_MS,
      types,
    };
    this.#connections = new pg.Pool({ ...this.#settings, max: 8, idleTimeoutMillis: 60_000 });
    // A connection that broke while idle leaves the pool by itself; the subscription tells whether the server is gone.
    this.#connections.on('error', (error) => this.#log.warn('an idle connection of the store broke', { error: error.message }));
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
    if (this.#ping !== null) clearInterval(this.#ping);
    await this.#connecting;
    const subscription = this.#subscription;
    this.#subscription = null;
    await subscription?.end().catch(() => {});
    await this.#connections.end();
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
    if (this.#ping !== null) clearInterval(this.#ping);
    this.#log.warn('the shared store does not answer', { error: reason(cause) });
    subscription.end().catch(() => {});
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

  async #subscribe(): Promise<void> {
    const client = new pg.Client({ ...this.#settings, query_timeout: CONNECT_MS });
    client.on('error', (error) => this.#lose(client, error));
    client.once('end', () => this.#lose(client, new Error('the connection ended')));
    client.on('notification', ({ payload }) => this.#options.onNotification(payload ?? ''));
    try {
      await client.connect();
      await client.query(`listen ${CHANNEL}`);
    } catch (error) {
      client.end().catch(() => {});
      throw error;
    }
    if (this.#closed !== null) {
      await client.end().catch(() => {});
      return;
    }
    this.#subscription = client;
    this.#downSince = null;
    this.#ping = setInterval(() => client.query('select 1').catch((error: unknown) => this.#lose(client, error)), PING_MS);
    this.#ping.unref();
    // Whatever was told while nobody listened.
    this.#options.onNotification('');
  }
}

/** The server's or the network's own words; they name no data. */
function reason(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reason).join('; ');
  return error instanceof Error ? error.message : String(error);
}

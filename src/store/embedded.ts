import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { PostgresPool, PostgresPoolClient, PostgresQueryResult } from 'kysely';
import { RecordLock } from '../../native/binding/index.js';
import { type Backend, type BackendOptions, CHANNEL } from './backend.ts';
import type { EmbeddedAnswer, EmbeddedRequest, EmbeddedSettings } from './embedded-worker.ts';
import { storeInvalid, storeUnavailable } from './errors.ts';

/** Longest that a statement waits for the one connection. A transaction that asks the store beside itself would wait for ever. */
const CONNECT_MS = 15_000;
const CLOSE_MS = 10_000;

type Answered = (answer: EmbeddedAnswer & { readonly id: number }) => void;

/** An error of the embedded database, with its SQLSTATE. */
class EmbeddedError extends Error {
  readonly code: string;
  readonly constraint: string;

  constructor(error: { readonly message: string; readonly code: string; readonly constraint: string }) {
    super(error.message);
    this.code = error.code;
    this.constraint = error.constraint;
  }
}

/**
 * PGlite in a thread of its own, with its files in `<dataDir>/store`. It has one session, so connections are handed out one at
 * a time, in order, and transactions cannot interleave. Throws GatewayError `store_in_use`, `store_unusable`.
 */
export async function openEmbedded(dataDir: string, options: BackendOptions): Promise<Backend> {
  const directory = join(dataDir, 'store');
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  // Two processes in the same files would ruin them, and the database itself does not look.
  const lock = new RecordLock(join(dataDir, 'store.lock'));
  if (!lock.held)
    throw storeInvalid(
      'store_in_use',
      `the embedded store in ${directory} belongs to a process that is running`,
      'gateways that share a data directory, or anything else, need a shared store: set store to a connection string',
    );
  let backend: EmbeddedBackend | null = null;
  try {
    if (!existsSync(join(directory, 'PG_VERSION'))) await createDatabase(directory);
    backend = new EmbeddedBackend(directory, lock, options);
    await backend.ready;
    return backend;
  } catch (cause) {
    await backend?.close().catch(() => {});
    lock.release();
    throw storeInvalid(
      'store_unusable',
      `the embedded store in ${directory} cannot be opened: ${cause instanceof Error ? cause.message : String(cause)}`,
      'restore the directory from a backup, or move it away to begin with an empty store',
      cause,
    );
  }
}

/**
 * Makes a new database beside its place, so that a half-made one is never taken for a whole one. In a thread of its own: what
 * that takes, 180 MB, is given back when it ends.
 */
export async function createDatabase(directory: string): Promise<void> {
  const draft = `${directory}.new`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { mode: 0o700 });
  const worker = startWorker({ dataDir: draft, channel: CHANNEL, initialize: true });
  const answer = await new Promise<EmbeddedAnswer>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('the thread that makes it has ended')));
  });
  if ('error' in answer) throw new EmbeddedError(answer.error);
  await worker.terminate();
  renameSync(draft, directory);
}

function startWorker(workerData: EmbeddedSettings): Worker {
  return new Worker(new URL('./embedded-worker.ts', import.meta.url), { workerData, name: 'store' });
}

class EmbeddedBackend implements Backend {
  readonly pool: PostgresPool;
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #lock: RecordLock;
  readonly #options: BackendOptions;
  readonly #answers = new Map<number, Answered>();
  readonly #waiting: (() => void)[] = [];
  readonly #exited: Promise<void>;
  #busy = false;
  #next = 1;
  #downSince: number | null = null;
  #closed: Promise<void> | null = null;

  constructor(directory: string, lock: RecordLock, options: BackendOptions) {
    this.#lock = lock;
    this.#options = options;
    this.#worker = startWorker({ dataDir: directory, channel: CHANNEL, initialize: false });
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    this.#worker.on('message', (message: EmbeddedAnswer) => this.#onMessage(message));
    this.#worker.on('error', (error) => this.#onDown(error));
    this.#worker.once('exit', () => this.#onDown(null));
    this.ready = this.#answer(0).then(() => {});
    const client: PostgresPoolClient = {
      query: ((sql: string, parameters: readonly unknown[]) => this.#query(sql, parameters)) as PostgresPoolClient['query'],
      release: () => this.#release(),
      // One session, and nobody cancels its statements: any number will do.
      processID: 1,
    };
    this.pool = {
      connect: async () => {
        await this.#acquire();
        return client;
      },
      end: () => this.close(),
      options: {},
    };
  }

  get downSince(): number | null {
    return this.#downSince;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    if (this.#downSince === null) this.#worker.postMessage({ id: this.#next++, close: true } satisfies EmbeddedRequest);
    const impatient = setTimeout(() => void this.#worker.terminate(), CLOSE_MS);
    await this.#exited;
    clearTimeout(impatient);
    this.#lock.release();
  }

  async #query(sql: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<unknown>> {
    if (this.#downSince !== null) throw storeUnavailable('the embedded store has stopped');
    const id = this.#next++;
    const answered = this.#answer(id);
    this.#worker.postMessage({ id, sql, parameters } satisfies EmbeddedRequest);
    const answer = await answered;
    if ('error' in answer) throw new EmbeddedError(answer.error);
    if ('notification' in answer) throw new Error('a notification answers no statement');
    return {
      command: answer.command as PostgresQueryResult<unknown>['command'],
      rowCount: answer.rowCount,
      rows: [...answer.rows],
    };
  }

  async #answer(id: number): Promise<EmbeddedAnswer> {
    const answer = await new Promise<EmbeddedAnswer>((resolve) => this.#answers.set(id, resolve));
    // Without a SQLSTATE it is not the statement but the database itself that failed.
    if ('error' in answer && answer.error.code === '') throw storeUnavailable(`the embedded store failed: ${answer.error.message}`);
    return answer;
  }

  #onMessage(message: EmbeddedAnswer): void {
    if ('notification' in message) {
      this.#options.onNotification(message.notification);
      return;
    }
    const answered = this.#answers.get(message.id);
    this.#answers.delete(message.id);
    answered?.(message);
  }

  #onDown(error: unknown): void {
    if (this.#downSince === null) {
      this.#downSince = this.#options.now();
      if (this.#closed === null) this.#options.log.error('the embedded store has stopped', { error: String(error) });
    }
    for (const [id, answered] of this.#answers) answered({ id, error: { message: 'its thread has ended', code: '', constraint: '' } });
    this.#answers.clear();
  }

  #acquire(): Promise<void> {
    if (this.#closed !== null) return Promise.reject(storeUnavailable('the store is closed'));
    if (!this.#busy) {
      this.#busy = true;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const impatient = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(granted), 1);
        reject(storeUnavailable('the embedded store is too busy'));
      }, CONNECT_MS);
      const granted = (): void => {
        clearTimeout(impatient);
        resolve();
      };
      this.#waiting.push(granted);
    });
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#busy = false;
    else next();
  }
}

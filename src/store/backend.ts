import type { PostgresPool } from 'kysely';

/** A database that the store stands on: connections for Kysely and the notifications of the gateways. */
export interface Backend {
  readonly pool: PostgresPool;
  /** As of Store. */
  readonly downSince: number | null;
  /** Ends connections, threads and timers. Kysely's `destroy` calls it by way of `pool.end`. */
  close(): Promise<void>;
}

/** What a backend needs to know of its surroundings. */
export interface BackendOptions {
  /** Each payload of CHANNEL; '' when notifications may have been missed. */
  readonly onNotification: (payload: string) => void;
  readonly now: () => number;
  readonly log: StoreLog;
}

/** Structured log; never a payload, never a secret. */
export interface StoreLog {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** The one channel of NOTIFY: a payload is `topic payload`. */
export const CHANNEL = 'sluice';

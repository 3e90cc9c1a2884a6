import type { Kysely, Transaction } from 'kysely';
import type { ControlSchema } from './schema.ts';

/** What the gateways of one store tell each other. */
export type Topic = 'approvals' | 'grants' | 'revocations' | 'sessions' | 'service-keys' | 'logins' | 'token-keys' | 'alerts';

/** The control state: an embedded database or a shared one, with the same SQL. Errors are GatewayError `store_unavailable` where the database cannot be reached. */
export interface Store {
  readonly kind: 'embedded' | 'shared';
  readonly db: Kysely<ControlSchema>;
  /**
   * In one transaction, tried again on serialization failures and deadlocks. `work` must have no effects outside it, and use no
   * other handle than its own: the embedded database has one connection.
   */
  transaction<T>(work: (db: Transaction<ControlSchema>) => Promise<T>): Promise<T>;
  /**
   * Tells every gateway of this store, this one included, once what was written before is visible. `payload` is an id, never a
   * secret, at most 4,000 bytes.
   */
  notify(topic: Topic, payload: string): Promise<void>;
  /** `onChange('')` after a connection was lost and found again: anything may have changed meanwhile. */
  listen(topic: Topic, onChange: (payload: string) => void): () => void;
  /** Seals with the key that is kept outside the database (AES-256-GCM); `context` must be given again to open. */
  seal(secret: Uint8Array, context: string): Buffer;
  open(sealed: Uint8Array, context: string): Buffer;
  /** HMAC-SHA-256 under a key derived from the same: what may be kept of something that must not be. */
  digest(parts: readonly Uint8Array[], context: string): Buffer;
  /** Null while it answers, else since when (ms since the epoch) it does not. */
  readonly downSince: number | null;
  close(): Promise<void>;
}

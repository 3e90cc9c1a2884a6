import type { Access } from '../access/model.ts';
import type { Config, ListenAddress } from '../config/model.ts';
import type { Authenticator } from '../identity/model.ts';
import type { IoCounters } from '../io/counters.ts';
import type { SlabPool } from '../io/slab.ts';
import type { PolicyEngine } from '../policy/model.ts';
import type { Recorder } from '../recording/model.ts';
import type { Masker } from '../workers/masker.ts';
import type { MaskPool } from '../workers/pool.ts';

/** Structured log; never a payload, never a secret. */
export interface ProtocolLog {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** Named places in the pipeline where a test may stop the process. Does nothing outside of tests. */
export interface Failpoints {
  hit(name: string): void;
}

/** What the pipeline lends to a protocol. Built once by the session layer. */
export interface ProtocolServices {
  readonly config: Config;
  readonly recorder: Recorder;
  /** The policy set in force: a new one after a reload. */
  readonly policy: () => PolicyEngine;
  readonly authenticator: Authenticator;
  readonly access: Access;
  readonly masker: Masker;
  /** Worker threads; null when everything is pinned to the event loop. */
  readonly pool: MaskPool | null;
  readonly slabs: SlabPool;
  readonly counters: IoCounters;
  readonly log: ProtocolLog;
  readonly failpoints: Failpoints;
  /** Resolves `env:` and `file:` references. Throws GatewayError when the secret is missing. */
  readonly secret: (reference: string) => string;
  /** Certificate and key of the listener, PEM. */
  readonly tls: { readonly cert: string; readonly key: string };
  /** A new session id, unique over all gateways. */
  readonly newSessionId: () => string;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
}

export interface ProtocolListener {
  readonly address: ListenAddress;
  /** Open sessions. */
  readonly sessions: number;
  /** Takes no new connections, lets operations in flight end for up to `graceMs`, then closes the rest with a protocol error. */
  drain(graceMs: number): Promise<void>;
}

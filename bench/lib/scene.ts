import { join } from 'node:path';
import { EventBus } from '../../src/access/events.ts';
import { LocalSessions } from '../../src/access/live.ts';
import { accessWithoutStore } from '../../src/access/without-store.ts';
import type { Config, Resource } from '../../src/config/model.ts';
import { newCounters } from '../../src/io/counters.ts';
import { SlabPool } from '../../src/io/slab.ts';
import { type CedarEngine, loadPolicies } from '../../src/policy/engine.ts';
import type { Principal, Target } from '../../src/policy/model.ts';
import { Catalog, type CatalogSnapshot } from '../../src/protocols/postgres/catalog.ts';
import type { CatalogClient } from '../../src/protocols/postgres/catalog-client.ts';
import { Classifier } from '../../src/protocols/postgres/classifier.ts';
import type { ProtocolServices } from '../../src/protocols/protocol.ts';
import { vocabularies } from '../../src/protocols/registry.ts';
import type { Recorder, RecordWaiter } from '../../src/recording/model.ts';
import { Masker } from '../../src/workers/masker.ts';
import { COLUMNS, TABLE_OID } from './rows.ts';

export const root = join(import.meta.dirname, '..', '..');

/** What a session needs, without a target: policies as shipped, a catalog of one table, masking on the event loop. */
export interface Scene {
  readonly services: ProtocolServices;
  readonly engine: CedarEngine;
  readonly principal: Principal;
  readonly target: Target;
  readonly resource: Resource;
  readonly catalog: Catalog;
  readonly snapshot: CatalogSnapshot;
  readonly classifier: Classifier;
}

export interface SceneOptions {
  /** A recorder that takes everything at once when absent. */
  readonly recorder?: Recorder;
  readonly slabs?: SlabPool;
  readonly output?: 'full' | 'none';
  readonly masker?: Masker;
  /** Told what goes wrong. */
  readonly warn?: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

export const MASKING: Config['masking'] = { keepLast: 4, keepFirst: 0, optIn: [], patterns: [] };

export async function makeScene(options: SceneOptions = {}): Promise<Scene> {
  const resource: Resource = {
    name: 'payments',
    kind: 'postgres',
    host: '127.0.0.1',
    port: 5432,
    database: 'payments',
    tls: 'disable',
    ca: null,
    accounts: new Map(),
    protect: new Map(),
  };
  const principal: Principal = {
    kind: 'user',
    name: 'dev1',
    issuer: 'bench',
    subject: 'dev1',
    groups: ['analysts'],
    credential: { kind: 'local-token', id: 'bench', expiresAt: 0 },
    claims: {},
  };
  const target: Target = { resource: 'payments', kind: 'postgres', account: 'read-only', address: '127.0.0.1:5432' };
  const policies = join(root, 'deploy', 'policies');
  const engine = loadPolicies(policies, vocabularies);
  const catalog = new Catalog(catalogClient(), new Map(), () => performance.now());
  const silent = (): void => {};
  const nobody = (): Promise<never> => Promise.reject(new Error('nobody logs in'));
  const services: ProtocolServices = {
    config: configOf(resource, policies, options.output ?? 'none'),
    recorder: options.recorder ?? new NullRecorder(),
    policy: () => engine,
    authenticator: { authenticate: nobody, authenticateBearer: nobody },
    access: accessWithoutStore(new LocalSessions(), new EventBus('bench', () => 0, silent)),
    masker: options.masker ?? new Masker(MASKING, 'inline', null),
    pool: null,
    slabs: options.slabs ?? new SlabPool(),
    counters: newCounters(),
    log: { debug: silent, info: silent, warn: options.warn ?? silent, error: options.warn ?? silent },
    failpoints: { hit: silent },
    secret: (reference) => reference,
    tls: { cert: '', key: '' },
    newSessionId: () => 'bench',
    now: () => performance.now(),
  };
  const classifier = new Classifier(engine, principal, target, null, (text) => text);
  return { services, engine, principal, target, resource, catalog, snapshot: await catalog.fresh(), classifier };
}

/** Records nothing, and says at once that it did: for what the pipeline costs without the record. */
export class NullRecorder implements Recorder {
  readonly durability = 'buffered';
  readonly pendingBytes = 0;
  readonly highWater = 1;
  readonly failure = null;
  #seq = 0;

  append(): number {
    return this.#seq++;
  }

  appendOutput(): number {
    return this.#seq++;
  }

  whenRecorded(waiter: RecordWaiter): void {
    waiter.onRecorded(null);
  }

  onceDrained(fn: () => void): void {
    fn();
  }

  async close(): Promise<void> {}
}

/** Answers the catalog's questions for `public.payments`, the table of rows.ts. */
function catalogClient(): CatalogClient {
  const relations = COLUMNS.map(({ name, type }, i) => [
    String(TABLE_OID),
    'public',
    'payments',
    'r',
    String(i + 1),
    name,
    String(type),
    '',
  ]);
  const client: Pick<CatalogClient, 'query' | 'close'> = {
    query: async (text) => (text.includes('a.attname') ? relations : []),
    close: () => {},
  };
  return client as CatalogClient;
}

function configOf(resource: Resource, policies: string, output: 'full' | 'none'): Config {
  return {
    file: join(root, 'bench.yaml'),
    gateway: { name: 'bench', dataDir: join(root, 'var') },
    listeners: {},
    tls: null,
    allowPlaintextLoopback: true,
    workers: { count: 0, dispatch: 'inline' },
    recording: { durability: 'buffered', output, retentionDays: 1, segmentBytes: 2 ** 30, checkpointSeconds: 3600 },
    masking: MASKING,
    limits: { statementBytes: 8 << 20, messageBytes: 64 << 20, bindBytes: 64 << 10, sessions: 10, loginSeconds: 10, pendingLogins: 10 },
    policies,
    resources: [resource],
    store: 'embedded',
    identity: { oidc: [], saml: [], mfaClasses: [], tokenSeconds: 3600, idleSeconds: 0 },
    access: {
      approvals: { timeoutSeconds: 60, inTransaction: 'retry', retrySeconds: 60, webhook: null },
      grants: { maxSeconds: 3600, breakGlassGroups: [] },
      alerts: { webhook: null, cards: 0, denials: 0, failedLogins: 0, windowSeconds: 60, hours: null },
    },
    api: null,
  };
}

import { randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import type { Health } from '../admin/services.ts';
import type { Config, ListenAddress } from '../config/model.ts';
import { secret } from '../config/secrets.ts';
import { GatewayError } from '../errors.ts';
import { tokenKey } from '../identity/signing-key.ts';
import { newCounters } from '../io/counters.ts';
import { SlabPool } from '../io/slab.ts';
import { socketPoll } from '../io/socket-poll.ts';
import type { ReloadOutcome } from '../policy/reload.ts';
import type { Failpoints, ProtocolListener, ProtocolLog, ProtocolServices } from '../protocols/protocol.ts';
import { protocols } from '../protocols/registry.ts';
import { jsonString } from '../recording/json.ts';
import { type FileRecorder, openRecorder } from '../recording/recorder.ts';
import { expireSegments } from '../recording/retention.ts';
import { calibrate } from '../workers/dispatch.ts';
import { Masker } from '../workers/masker.ts';
import { MaskPool } from '../workers/pool.ts';
import { sampleScan } from '../workers/sample.ts';
import { requireFree } from './addresses.ts';
import { serverCertificate } from './certificate.ts';
import { Control } from './control.ts';
import { dataPathMetrics } from './metrics.ts';
import { GatewayPolicies } from './policies.ts';
import { VERSION } from './version.ts';

export interface GatewayOptions {
  readonly log: ProtocolLog;
  /** For tests: named places where the process may be stopped. */
  readonly failpoints?: Failpoints;
}

/** A running gateway: every listener open, its record begun. */
export interface Gateway {
  /** Where each protocol listens, with the ports that were really bound. */
  readonly listeners: ReadonlyMap<string, ListenAddress>;
  /** Where the API listens; null without one. */
  readonly api: ListenAddress | null;
  readonly recorder: FileRecorder;
  readonly services: ProtocolServices;
  /** Reads the policies anew, now; what comes of it is recorded and logged. */
  reloadPolicies(): ReloadOutcome;
  /** Takes no new connections, lets operations end for `graceMs`, closes the record. */
  close(graceMs?: number): Promise<void>;
}

const NO_FAILPOINTS: Failpoints = { hit: () => {} };

/** Composes the pipeline from a validated configuration and opens the listeners. Throws GatewayError when a part cannot start. */
export async function startGateway(config: Config, options: GatewayOptions): Promise<Gateway> {
  const { log } = options;
  const failpoints = options.failpoints ?? NO_FAILPOINTS;
  const policies = new GatewayPolicies(config, log);
  await requireFree([...Object.values(config.listeners), ...(config.api === null ? [] : [config.api.address])]);
  const certificate = await serverCertificate(config);
  const key = tokenKey(config.gateway.dataDir);
  const pool = config.workers.dispatch === 'inline' || config.workers.count === 0 ? null : new MaskPool(config.workers.count);
  const closing: (() => Promise<void>)[] = [];
  if (pool !== null) closing.push(() => pool.close());
  try {
    const masker = new Masker(config.masking, config.workers.dispatch, pool);
    if (pool !== null) await warmUp(masker, pool, log);
    const recorder = openRecorder({
      dataDir: config.gateway.dataDir,
      gateway: config.gateway.name,
      durability: config.recording.durability,
      segmentBytes: config.recording.segmentBytes,
      checkpointSeconds: config.recording.checkpointSeconds,
      version: VERSION,
      policySnapshot: policies.current.snapshot,
      failpoints,
      schedule: (flush) => socketPoll.afterTurn(flush),
    });
    closing.unshift(() => recorder.close());
    const secretOf = (reference: string): string => secret(reference, { env: process.env, dir: dirname(config.file) });
    const control = await Control.open({
      config,
      recorder,
      policy: () => policies.current,
      tokenKey: key,
      secret: secretOf,
      mask: (text) => masker.string(text),
      log,
    });
    closing.unshift(() => control.close());
    closing.unshift(async () => policies.close());
    policies.begin(recorder, control.access.events);
    const services: ProtocolServices = {
      config,
      recorder,
      policy: () => policies.current,
      authenticator: control.authenticator,
      access: control.access,
      masker,
      pool,
      slabs: new SlabPool(),
      counters: newCounters(),
      log,
      failpoints,
      secret: secretOf,
      tls: certificate,
      newSessionId: () => randomBytes(9).toString('base64url'),
      now: () => performance.now(),
    };
    const listeners = new Map<string, ProtocolListener>();
    for (const [name, address] of Object.entries(config.listeners)) {
      const protocol = protocols.get(name);
      if (protocol === undefined)
        throw new GatewayError({
          code: 'config_invalid',
          source: 'gateway',
          phase: 'config',
          publicMessage: `listeners.${name}: no such protocol`,
        });
      const listener = await protocol.listen(services, address);
      listeners.set(name, listener);
      log.info('listening', { protocol: name, ...listener.address });
    }
    const api = await control.listen({
      tls: certificate,
      protocols,
      listeners: () => new Map([...listeners].map(([name, listener]) => [name, listener.address])),
      metrics: () => dataPathMetrics(services, listeners),
      health: () => healthOf(recorder, control),
      policies: () => policies.current.policies,
    });
    const retention = expireDaily(config, recorder, log);
    closing.unshift(async () => clearInterval(retention));
    return new RunningGateway(services, recorder, policies, listeners, api?.address ?? null, closing);
  } catch (error) {
    for (const close of closing) await close().catch(() => {});
    throw error;
  }
}

/** Ready is who can forward: a store that is away only stops what needs it. */
function healthOf(recorder: FileRecorder, control: Control): Health {
  const record = recorder.failure === null ? 'ok' : 'the record has failed: nothing is forwarded';
  const store = control.store === null || control.store.downSince === null ? 'ok' : 'the control store does not answer';
  return { ready: recorder.failure === null, parts: { record, store } };
}

/** Removes segments older than the retention, at start and once a day; what cannot be removed is said and tried again. */
function expireDaily(config: Config, recorder: FileRecorder, log: ProtocolLog): NodeJS.Timeout {
  const expire = (): void => {
    try {
      const removed = expireSegments(join(config.gateway.dataDir, 'record'), config.recording.retentionDays, Date.now());
      for (const segment of removed) recorder.append('recorder', '', `"event":"expire","file":${jsonString(basename(segment))}`);
      if (removed.length > 0) log.info('record segments expired', { segments: removed });
    } catch (error) {
      log.error('record segments could not be expired', { error: String(error) });
    }
  };
  expire();
  const timer = setInterval(expire, 86_400_000);
  timer.unref();
  return timer;
}

/** Starts the workers and measures what a hand-off to them costs against scanning inline. */
async function warmUp(masker: Masker, pool: MaskPool, log: ProtocolLog): Promise<void> {
  const counts = masker.newCounts();
  const empty = { memory: new SharedArrayBuffer(8), offset: 0, length: 0, rules: masker.rules, plan: 0, counts: counts.length };
  await Promise.all(Array.from({ length: pool.size }, () => pool.run(empty)));
  // Rows, not prose: a scan of many short values costs several times what one long text does.
  const sample = sampleScan(masker, 64 * 1024);
  const measured = await calibrate(sample.scan, sample.bytes, () => pool.run(empty), process.hrtime.bigint);
  sample.close();
  masker.dispatch.apply(measured);
  log.info('dispatch calibrated', { ...measured, threshold: masker.dispatch.threshold, workers: pool.size, mode: masker.dispatch.mode });
}

class RunningGateway implements Gateway {
  readonly listeners: ReadonlyMap<string, ListenAddress>;
  readonly api: ListenAddress | null;
  readonly recorder: FileRecorder;
  readonly services: ProtocolServices;
  readonly #policies: GatewayPolicies;
  readonly #open: ReadonlyMap<string, ProtocolListener>;
  readonly #closing: (() => Promise<void>)[];
  #closed: Promise<void> | null = null;

  constructor(
    services: ProtocolServices,
    recorder: FileRecorder,
    policies: GatewayPolicies,
    open: ReadonlyMap<string, ProtocolListener>,
    api: ListenAddress | null,
    closing: (() => Promise<void>)[],
  ) {
    this.services = services;
    this.recorder = recorder;
    this.#policies = policies;
    this.api = api;
    this.#open = open;
    this.#closing = closing;
    this.listeners = new Map([...open].map(([name, listener]) => [name, listener.address]));
  }

  reloadPolicies(): ReloadOutcome {
    return this.#policies.reload();
  }

  close(graceMs = 10_000): Promise<void> {
    this.#closed ??= this.#close(graceMs);
    return this.#closed;
  }

  async #close(graceMs: number): Promise<void> {
    await Promise.all([...this.#open.values()].map((listener) => listener.drain(graceMs)));
    for (const close of this.#closing) await close();
  }
}

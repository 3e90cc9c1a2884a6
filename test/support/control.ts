import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAccess } from '../../src/access/create.ts';
import { EventBus } from '../../src/access/events.ts';
import { LocalSessions } from '../../src/access/live.ts';
import type { Access, ApprovalQuestion, LiveEvent, LiveSession } from '../../src/access/model.ts';
import type { Schedule } from '../../src/access/schedule.ts';
import type { Config } from '../../src/config/model.ts';
import type { GatewayError } from '../../src/errors.ts';
import type { Decision, PolicyEngine, Principal } from '../../src/policy/model.ts';
import type { LineType, Recorder } from '../../src/recording/model.ts';
import type { Store } from '../../src/store/model.ts';
import { openStore } from '../../src/store/open.ts';
import { seedStore } from './embedded-store.ts';
import type { Postgres } from './postgres.ts';

/** What the tests of the control side share: a clock of their own, a record in memory, gateways over one store. */

/** A clock that moves only when told, with timers that it fires. */
export class TestClock {
  #now = Date.UTC(2026, 0, 31, 12);
  readonly #timers = new Set<{ readonly at: number; readonly run: () => void }>();
  #onScheduled: (() => void)[] = [];
  readonly now = (): number => this.#now;
  readonly schedule: Schedule = (ms, run) => {
    const timer = { at: this.#now + ms, run };
    this.#timers.add(timer);
    for (const resolve of this.#onScheduled.splice(0)) resolve();
    return () => this.#timers.delete(timer);
  };

  /** Lets `ms` pass, and resolves when what that started has set its next timer. */
  async advanceUntilScheduled(ms: number): Promise<void> {
    const scheduled = new Promise<void>((resolve) => this.#onScheduled.push(resolve));
    this.advance(ms);
    await scheduled;
  }

  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.run();
    }
    this.#now = end;
  }
}

export interface TestLine {
  readonly type: LineType;
  readonly sid: string;
  readonly [member: string]: unknown;
}

/** A record in memory. */
export class TestRecorder implements Recorder {
  readonly durability = 'durable';
  readonly pendingBytes = 0;
  readonly highWater = 1;
  readonly lines: TestLine[] = [];
  failure: Error | null = null;

  append(type: LineType, sid: string, members: string): number {
    return this.lines.push({ type, sid, ...(JSON.parse(`{${members}}`) as object) });
  }

  appendOutput(): number {
    throw new Error('nothing here has output');
  }

  whenRecorded(waiter: { onRecorded(error: Error | null): void }): void {
    queueMicrotask(() => waiter.onRecorded(this.failure));
  }

  onceDrained(fn: () => void): void {
    fn();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** `event` of every line, in order. */
  events(type?: LineType): string[] {
    return this.lines.filter((line) => type === undefined || line.type === type).map((line) => String(line['event']));
  }
}

/** One gateway's part of the control side. */
export interface TestGateway {
  readonly access: Access & { close(): Promise<void> };
  readonly store: Store;
  readonly live: LocalSessions;
  readonly record: TestRecorder;
  readonly events: LiveEvent[];
  /** Stops its clock: as if the process had died. */
  forget(): void;
  /** Resolves with the next event for which `wanted` holds, or one that was already there. */
  event(wanted: (event: LiveEvent) => boolean): Promise<LiveEvent>;
}

export const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** A policy that says `kind` to every request for a grant, and `breakGlass` to those by break-glass. */
export function policySaying(kind: Decision['kind'], breakGlass: Decision['kind'] = 'allow'): () => PolicyEngine {
  const common = { policies: ['p'], snapshot: 'test', message: 'the policy says so', hint: '' };
  const decisions: Readonly<Record<Decision['kind'], Decision>> = {
    allow: { kind: 'allow', ...common },
    deny: { kind: 'deny', reason: 'forbidden', ...common },
    approve: { kind: 'approve', approvers: [{ group: 'dba', needed: 1 }], ...common },
  };
  const engine: PolicyEngine = {
    snapshot: 'test',
    decide: (_principal, _target, operation) => decisions[operation.attributes['breakGlass'] === true ? breakGlass : kind],
    scope: () => '',
  };
  return () => engine;
}

export interface TestGatewayOptions {
  readonly name: string;
  readonly clock: TestClock;
  readonly timeoutSeconds?: number | null;
  readonly policy?: () => PolicyEngine;
  /** Default `name`. */
  readonly process?: string;
}

/** Access over a store that is open already. */
export async function gatewayOver(store: Store, options: TestGatewayOptions): Promise<TestGateway> {
  const { name, clock } = options;
  const record = new TestRecorder();
  let dead = false;
  const live = new LocalSessions(name);
  const bus = new EventBus(name, clock.now, (error) => {
    throw error;
  });
  const events: LiveEvent[] = [];
  bus.listen((event) => events.push(event));
  const access = await createAccess({
    store,
    recorder: record,
    live,
    events: bus,
    config: testConfig(options.timeoutSeconds === undefined ? 900 : options.timeoutSeconds),
    policy: options.policy ?? policySaying('approve'),
    gateway: name,
    process: options.process ?? name,
    now: clock.now,
    schedule: (ms, run) => clock.schedule(ms, () => dead || run()),
    log: quiet,
  });
  const event = (wanted: (event: LiveEvent) => boolean): Promise<LiveEvent> => {
    const there = events.find(wanted);
    if (there !== undefined) return Promise.resolve(there);
    return new Promise((resolve) => {
      const stop = bus.listen((next) => {
        if (!wanted(next)) return;
        stop();
        resolve(next);
      });
    });
  };
  const forget = (): void => {
    dead = true;
  };
  return { access, store, live, record, events, event, forget };
}

/** A data directory that `remove` takes away. */
export function dataDirectory(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'sluice-control-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** A key for the stores of one test. */
export const TEST_KEY = Buffer.alloc(32, 7).toString('base64');

export async function testStore(url: string, dataDir: string, clock: TestClock, key = TEST_KEY): Promise<Store> {
  if (url === 'embedded') await seedStore(dataDir);
  return openStore({ url, dataDir, log: quiet, now: clock.now, env: { SLUICE_STORE_KEY: key } });
}

/** For assert.rejects: a GatewayError of that code. */
export function refusedWith(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.equal((error as { code?: unknown }).code, code, String(error));
    return true;
  };
}

export function urlOf(server: Postgres, database = 'postgres'): string {
  return `postgres://postgres:${server.password}@${server.host}:${server.port}/${database}`;
}

export function person(name: string, groups: readonly string[] = [], issuer = 'idp'): Principal {
  return {
    kind: 'user',
    name,
    issuer,
    subject: `sub-${name}`,
    groups,
    credential: { kind: 'token', id: `token-${name}`, expiresAt: 0 },
    claims: {},
  };
}

export function question(by: Principal, more: Partial<ApprovalQuestion> = {}): ApprovalQuestion {
  return {
    sid: 's1',
    principal: by,
    target: { resource: 'payments', kind: 'database', account: 'read-write', address: '127.0.0.1:5432' },
    source: '10.0.0.9:4000',
    reason: '',
    action: 'delete',
    objects: ['delete public.cards'],
    policies: ['destructive'],
    approvers: [{ group: 'dba', needed: 1 }],
    statement: "delete from cards where number = '****'",
    params: [],
    exact: [Buffer.from("delete from cards where number = '4111111111111111'")],
    estimate: { rows: 3 },
    mode: 'wait',
    ...more,
  };
}

/** A session that notes how it was ended. */
export function openSession(
  sid: string,
  principal: Principal,
  grants: readonly string[] = [],
): LiveSession & { readonly ended: Promise<GatewayError> } {
  let onEnd: (error: GatewayError) => void = () => {};
  const ended = new Promise<GatewayError>((resolve) => {
    onEnd = resolve;
  });
  return {
    sid,
    protocol: 'database',
    principal,
    target: { resource: 'payments', kind: 'database', account: 'read-write', address: '' },
    source: '10.0.0.9:4000',
    startedAt: 0,
    grants,
    lastActive: 0,
    busy: false,
    operations: 0,
    denied: 0,
    masked: {},
    ended,
    end: (error) => onEnd(error),
  };
}

function testConfig(timeoutSeconds: number | null): Pick<Config, 'access' | 'api' | 'resources' | 'recording'> {
  const account = { user: 'app', password: 'env:NONE', groups: null };
  return {
    access: {
      approvals: { timeoutSeconds, inTransaction: 'retry', retrySeconds: 600, webhook: null },
      grants: { maxSeconds: 7200, breakGlassGroups: ['oncall'] },
      alerts: { webhook: null, cards: 0, denials: 0, failedLogins: 0, windowSeconds: 60, hours: null },
    },
    api: { address: { host: '127.0.0.1', port: 0 }, url: 'https://sluice.example', trustedProxies: [] },
    resources: [
      {
        name: 'payments',
        kind: 'database',
        host: '127.0.0.1',
        port: 5432,
        database: 'payments',
        tls: 'disable',
        ca: null,
        accounts: new Map([
          ['read-only', account],
          ['read-write', account],
        ]),
        protect: new Map(),
      },
    ],
    recording: { durability: 'durable', output: 'full', retentionDays: 400, segmentBytes: 1, checkpointSeconds: 60 },
  };
}

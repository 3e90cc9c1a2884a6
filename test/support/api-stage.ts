import { chmodSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { compileRules, maskText, ruleNames } from '../../native/binding/index.js';
import { createAccess } from '../../src/access/create.ts';
import { EventBus } from '../../src/access/events.ts';
import { LocalSessions } from '../../src/access/live.ts';
import type { Access, ApprovalQuestion } from '../../src/access/model.ts';
import { type RunningApi, startApi } from '../../src/admin/server.ts';
import type { ApiServices } from '../../src/admin/services.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/model.ts';
import { createIdentity } from '../../src/identity/create.ts';
import { issueToken } from '../../src/identity/local-token.ts';
import type { Identity } from '../../src/identity/model.ts';
import { tokenKey } from '../../src/identity/signing-key.ts';
import { loadPolicies } from '../../src/policy/engine.ts';
import type { Principal } from '../../src/policy/model.ts';
import { protocols, vocabularies } from '../../src/protocols/registry.ts';
import { type FileRecorder, openRecorder } from '../../src/recording/recorder.ts';
import type { Store } from '../../src/store/model.ts';
import { openStore } from '../../src/store/open.ts';
import { makeCertificates } from './certificates.ts';
import type { Yaml } from './gateway.ts';
import { TestOidcProvider, testClient } from './oidc-provider.ts';
import { freePort } from './postgres.ts';
import { type RecordLine, readRecord } from './stage.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export interface ApiStageOptions {
  readonly sections?: Readonly<Record<string, Yaml>>;
  /** Cedar policies beside those that are shipped. */
  readonly policies?: string;
  /** Replaces parts of what the API stands on. */
  readonly services?: Partial<ApiServices>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON. */
  readonly body: unknown;
}

/** The API over the real control store, access, identity and record, with a real OpenID provider; no target behind it. */
export interface ApiStage {
  readonly api: RunningApi;
  /** `https://127.0.0.1:port`. */
  readonly url: string;
  readonly config: Config;
  readonly dir: string;
  readonly caFile: string;
  readonly provider: TestOidcProvider;
  readonly store: Store;
  readonly access: Access;
  readonly identity: Identity;
  readonly live: LocalSessions;
  readonly recorder: FileRecorder;
  readonly log: readonly string[];
  /** A token of this gateway, as `sluice token issue --api` makes it. */
  token(user: string, groups?: readonly string[]): string;
  call(method: string, path: string, more?: CallOptions): Promise<Answer>;
  record(): Promise<RecordLine[]>;
  stop(): Promise<void>;
}

export interface CallOptions {
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly form?: Readonly<Record<string, string>>;
  readonly raw?: string;
}

/** Starts everything. The certificates of the test become those that this process trusts. */
export async function startApiStage(options: ApiStageOptions = {}): Promise<ApiStage> {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-api-'));
  chmodSync(dir, 0o700);
  const certificates = makeCertificates();
  const caFile = join(dir, 'ca.crt');
  for (const [name, text] of [
    ['ca.crt', certificates.ca],
    ['tls.crt', certificates.cert],
    ['tls.key', certificates.key],
  ] as const)
    writeFileSync(join(dir, name), text, { mode: 0o600 });
  setDefaultCACertificates([...getCACertificates('default'), certificates.ca]);
  const port = await freePort();
  const url = `https://127.0.0.1:${port}`;
  const provider = await TestOidcProvider.start({ redirectUris: [`${url}/api/v1/login/callback`] });
  const closing: (() => Promise<void> | void)[] = [() => provider.close()];
  const stop = async (): Promise<void> => {
    for (const close of closing.reverse()) await close();
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    cpSync(join(root, 'deploy', 'policies'), join(dir, 'policies'), { recursive: true });
    if (options.policies !== undefined) writeFileSync(join(dir, 'policies', '99-test.cedar'), options.policies);
    const file = join(dir, 'sluice.yaml');
    const text: Yaml = {
      gateway: { name: 'gw-1', data_dir: './var' },
      listeners: { postgres: '127.0.0.1:6543', https: `127.0.0.1:${port}` },
      tls: { cert: './tls.crt', key: './tls.key' },
      policies: './policies',
      identity: {
        oidc: [
          {
            name: 'company',
            issuer: provider.issuer,
            client_id: testClient.id,
            client_secret: testClient.secret,
            scopes: ['openid', 'profile', 'groups'],
          },
        ],
      },
      resources: [
        {
          name: 'payments',
          kind: 'postgres',
          address: '127.0.0.1:5432',
          accounts: { 'read-only': { user: 'app_ro', password: 'none' }, 'read-write': { user: 'app_rw', password: 'none' } },
        },
      ],
      ...options.sections,
    };
    writeFileSync(file, stringify(text), { mode: 0o600 });
    const { config } = loadConfig(file, { protocols, env: process.env });
    const log: string[] = [];
    const say = (message: string, fields?: object): void => void log.push(`${message} ${JSON.stringify(fields ?? {})}`);
    const logger = { debug: say, info: say, warn: say, error: say };
    const policy = loadPolicies(config.policies, vocabularies);
    const recorder = openRecorder({
      dataDir: config.gateway.dataDir,
      gateway: config.gateway.name,
      durability: 'durable',
      segmentBytes: 64 << 20,
      checkpointSeconds: 60,
      version: '0.0.0-test',
      policySnapshot: policy.snapshot,
    });
    closing.push(() => recorder.close());
    const store = await openStore({ url: 'embedded', dataDir: config.gateway.dataDir, log: logger, now: Date.now });
    closing.push(() => store.close());
    const live = new LocalSessions(config.gateway.name);
    const events = new EventBus(config.gateway.name, Date.now, (error) => logger.error('a listener failed', { error: String(error) }));
    const access = await createAccess({
      store,
      recorder,
      live,
      events,
      config,
      policy: () => policy,
      gateway: config.gateway.name,
      process: 'gw-1-1',
      now: Date.now,
      log: logger,
    });
    closing.push(() => access.close());
    const key = tokenKey(config.gateway.dataDir);
    const mask = textMask(config);
    const identity = createIdentity({
      config: config.identity,
      gateway: config.gateway.name,
      process: config.gateway.name,
      tokenKey: key,
      store,
      recorder,
      mask,
      reservedGroups: new Set(
        config.resources.flatMap(({ name, accounts }) => [...accounts.keys()].map((account) => `${name}/${account}`)),
      ),
      check: (principal) => access.revocations.check(principal),
      onRevoked: (name, issuer, why) => access.revocations.revokeUser(name, issuer, 'identity-provider', why),
      onReturned: (principal, why) => access.revocations.restoreUser(principal.name, principal.issuer, principal, why),
      onCredentialRevoked: (id, why, by) => access.revocations.revokeCredential(id, by, why),
      secret: (reference) => reference,
      now: Date.now,
      log: logger,
    });
    closing.push(() => identity.close());
    const api = await startApi({
      config,
      tls: certificates,
      store,
      access,
      authenticator: identity.authenticator,
      logins: identity.logins,
      tokens: identity.tokens,
      serviceKeys: identity.serviceKeys,
      policy: () => policy,
      policies: () => policy.policies,
      recorder,
      protocols,
      listeners: () => new Map([['postgres', { host: '127.0.0.1', port: 6543 }]]),
      mask,
      metrics: () => [],
      health: () => ({ ready: recorder.failure === null, parts: { record: recorder.failure === null ? 'ok' : 'failed' } }),
      log: logger,
      now: Date.now,
      ...options.services,
    });
    closing.push(() => api.close());
    return {
      api,
      url,
      config,
      dir,
      caFile,
      provider,
      store,
      access,
      identity,
      live,
      recorder,
      log,
      token: (user, groups = []) =>
        issueToken({ user, kind: 'user', groups, ttlMs: 3_600_000 }, config.gateway.name, key.privateKey, Date.now()),
      call: (method, path, more = {}) => call(`${url}${path}`, method, more),
      async record() {
        await new Promise<void>((resolve, reject) =>
          recorder.whenRecorded({ onRecorded: (error) => (error === null ? resolve() : reject(error)) }),
        );
        return readRecord(join(dir, 'var', 'record'));
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function call(url: string, method: string, more: CallOptions): Promise<Answer> {
  const headers = new Headers(more.headers);
  if (more.token !== undefined) headers.set('authorization', `Bearer ${more.token}`);
  let body: string | null = null;
  if (more.json !== undefined) {
    headers.set('content-type', 'application/json');
    body = JSON.stringify(more.json);
  } else if (more.form !== undefined) {
    headers.set('content-type', 'application/x-www-form-urlencoded');
    body = new URLSearchParams(more.form).toString();
  } else if (more.raw !== undefined) body = more.raw;
  const response = await fetch(url, { method, headers, body, redirect: 'manual' });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    get body() {
      return JSON.parse(text) as unknown;
    },
  };
}

/** Masks card data in a text, by the rules of the configuration. */
function textMask(config: Config): (text: string) => string {
  const rules = compileRules(JSON.stringify(config.masking));
  const counts = new Uint32Array(ruleNames(rules).length + 1);
  return (text) => {
    const bytes = Buffer.from(text);
    maskText(rules, bytes, 0, bytes.length, counts);
    return bytes.toString();
  };
}

/** What an operation that needs the approval of `dba` asks with. */
export function questionOf(principal: Pick<Principal, 'name' | 'issuer'>, more: Partial<ApprovalQuestion> = {}): ApprovalQuestion {
  return {
    sid: 'session-1',
    principal: {
      kind: 'user',
      subject: principal.name,
      groups: [],
      credential: { kind: 'token', id: `of ${principal.name}`, expiresAt: Date.now() + 3_600_000 },
      claims: {},
      ...principal,
    },
    target: { resource: 'payments', kind: 'postgres', account: 'read-write', address: '127.0.0.1:5432' },
    source: '10.0.0.9:4000',
    reason: '',
    action: 'delete',
    objects: ['delete public.cards'],
    policies: ['destructive.delete'],
    approvers: [{ group: 'dba', needed: 1 }],
    statement: "delete from cards where number = '************1111'",
    params: [],
    exact: [Buffer.from('delete from cards')],
    estimate: { rows: 3 },
    mode: 'wait',
    ...more,
  };
}

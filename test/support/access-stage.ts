import { chmodSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { type Seeded, seedPayments } from '../../demo/seed.ts';
import type { Access } from '../../src/access/model.ts';
import { loadConfig } from '../../src/config/load.ts';
import { issueToken } from '../../src/identity/local-token.ts';
import { tokenKey } from '../../src/identity/signing-key.ts';
import type { Principal } from '../../src/policy/model.ts';
import type { ProtocolServices } from '../../src/protocols/protocol.ts';
import { protocols } from '../../src/protocols/registry.ts';
import { type Gateway, startGateway } from '../../src/session/gateway.ts';
import type { Yaml } from './gateway.ts';
import { type Postgres, type PostgresOptions, startPostgres } from './postgres.ts';
import { paymentsResource, type RecordLine, readRecord } from './stage.ts';
import { Wire, type WireOptions } from './wire.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export interface AccessStageOptions {
  readonly postgres?: PostgresOptions;
  readonly setup?: string;
  /** Cedar policies beside those that are shipped. */
  readonly policies?: string;
  readonly sections?: Readonly<Record<string, Yaml>>;
  readonly resource?: Readonly<Record<string, Yaml>>;
  /** Groups that the accounts are for, by account. */
  readonly groups?: Readonly<Record<string, readonly string[]>>;
  /** Replaces parts of what the gateway gives its protocols. */
  readonly services?: (services: ProtocolServices) => Partial<ProtocolServices>;
}

/** A gateway in this very process, whose services a test can reach and replace, in front of a real server. */
export interface AccessStage {
  readonly server: Postgres;
  readonly seeded: Seeded;
  readonly gateway: Gateway;
  readonly port: number;
  readonly dir: string;
  readonly access: Access;
  readonly log: readonly string[];
  token(user: string, groups: readonly string[]): string;
  /** Through the gateway, in cleartext on loopback. */
  connect(user: string, groups: readonly string[], more?: Partial<WireOptions>): Promise<Wire>;
  /** PGHOST and so on for libpq's programs. */
  environment(user: string, groups: readonly string[]): NodeJS.ProcessEnv;
  record(): RecordLine[];
  /** Lines of the record as soon as one passes `test`; they are written by the event loop of this process. */
  recorded(test: (line: RecordLine) => boolean, limitMs?: number): Promise<RecordLine>;
  stop(): Promise<void>;
}

export async function startAccessStage(options: AccessStageOptions = {}): Promise<AccessStage> {
  const server = await startPostgres(options.postgres ?? {});
  const dir = mkdtempSync(join(tmpdir(), 'sluice-access-'));
  chmodSync(dir, 0o700);
  const stopServer = async (): Promise<void> => {
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    const seeded = await seedPayments(server.superuser, { customers: 20, cards: 50, orders: 60 });
    if (options.setup !== undefined) await server.sql(options.setup, seeded.database);
    cpSync(join(root, 'deploy', 'policies'), join(dir, 'policies'), { recursive: true });
    if (options.policies !== undefined) writeFileSync(join(dir, 'policies', '99-test.cedar'), options.policies);
    const file = join(dir, 'sluice.yaml');
    const text = {
      gateway: { name: 'gw-1', data_dir: './var' },
      listeners: { postgres: '127.0.0.1:0' },
      tls: { plaintext_loopback: true },
      workers: { dispatch: 'inline' },
      policies: './policies',
      resources: [paymentsResource(server, seeded, { ...accountsFor(seeded, options.groups), ...options.resource })],
      ...options.sections,
    };
    writeFileSync(file, stringify(text), { mode: 0o600 });
    const { config } = loadConfig(file, { protocols, env: process.env });
    const log: string[] = [];
    const say = (message: string, fields?: object): void => void log.push(`${message} ${JSON.stringify(fields ?? {})}`);
    const gateway = await startGateway(config, { log: { debug: say, info: say, warn: say, error: say } });
    Object.assign(gateway.services, options.services?.(gateway.services));
    const key = tokenKey(config.gateway.dataDir);
    const { port } = gateway.listeners.get('postgres') ?? { port: 0 };
    const token = (user: string, groups: readonly string[]): string =>
      issueToken({ user, kind: 'user', groups, ttlMs: 3_600_000 }, config.gateway.name, key.privateKey, Date.now());
    const record = (): RecordLine[] => readRecord(join(dir, 'var', 'record'));
    return {
      server,
      seeded,
      gateway,
      port,
      dir,
      access: gateway.services.access,
      log,
      token,
      connect: (user, groups, more) =>
        Wire.connect({ port, user, password: token(user.split('+')[0] ?? user, groups), database: 'payments', ...more }),
      environment: (user, groups) => ({
        PATH: process.env['PATH'],
        HOME: dir,
        LC_ALL: 'C.UTF-8',
        PGHOST: '127.0.0.1',
        PGPORT: String(port),
        PGUSER: user,
        PGPASSWORD: token(user.split('+')[0] ?? user, groups),
        PGDATABASE: 'payments',
        PGSSLMODE: 'disable',
      }),
      record,
      async recorded(test, limitMs = 10_000) {
        for (const deadline = Date.now() + limitMs; ; ) {
          const found = record().find(test);
          if (found !== undefined) return found;
          if (Date.now() > deadline) throw new Error('no such line came into the record');
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      },
      async stop() {
        await gateway.close(1000);
        await stopServer();
      },
    };
  } catch (error) {
    await stopServer();
    throw error;
  }
}

function accountsFor({ accounts }: Seeded, groups: AccessStageOptions['groups']): Readonly<Record<string, Yaml>> {
  if (groups === undefined) return {};
  const of = (name: string): Record<string, Yaml> => (groups[name] === undefined ? {} : { groups: groups[name] });
  return {
    accounts: { 'read-only': { ...accounts.readOnly, ...of('read-only') }, 'read-write': { ...accounts.readWrite, ...of('read-write') } },
  };
}

/** Someone who decides. */
export const approver = (name: string, groups: readonly string[] = ['dba']): Principal => ({
  kind: 'user',
  name,
  issuer: 'gw-1',
  subject: name,
  groups,
  credential: { kind: 'token', id: `of ${name}`, expiresAt: Date.now() + 3_600_000 },
  claims: {},
});

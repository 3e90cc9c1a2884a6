import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Seeded, type SeedOptions, seedPayments } from '../../demo/seed.ts';
import { type Gateway, type GatewayOptions, startGateway, type Yaml } from './gateway.ts';
import { type Postgres, type PostgresOptions, startPostgres } from './postgres.ts';
import { Wire, type WireOptions } from './wire.ts';

/** A real server with the payments database behind a gateway in a process of its own: what most tests stand on. */
export interface Stage {
  readonly server: Postgres;
  readonly gateway: Gateway;
  readonly seeded: Seeded;
  /** Log-ins for the wire client and for `environment`. */
  readonly analyst: StageLogin;
  readonly developer: StageLogin;
  /** Through the gateway. */
  connect(login: StageLogin, more?: Partial<WireOptions>): Promise<Wire>;
  /** Straight to the server, as the target account behind the log-in. */
  direct(login: StageLogin, more?: Partial<WireOptions>): Promise<Wire>;
  /** PGHOST and so on, for libpq's programs, through the gateway. */
  environment(login: StageLogin): NodeJS.ProcessEnv;
  /** The lines of the record as they are on disk now. */
  record(): RecordLine[];
  /** The same once every session has its end on disk: results are recorded without anybody waiting for them. */
  settledRecord(): Promise<RecordLine[]>;
  stop(): Promise<void>;
}

export interface StageLogin {
  readonly user: string;
  readonly token: string;
  readonly account: { readonly user: string; readonly password: string };
}

/** A line of the record; members beyond these depend on its type. */
export interface RecordLine {
  readonly seq: number;
  readonly type: string;
  readonly sid: string;
  readonly [member: string]: unknown;
}

export interface StageOptions {
  readonly postgres?: PostgresOptions;
  readonly seed?: SeedOptions;
  /** Runs as superuser in the payments database before the gateway starts. */
  readonly setup?: string;
  readonly gateway?: Partial<GatewayOptions>;
  /** Members of the resource that win over the ones made here. */
  readonly resource?: Readonly<Record<string, Yaml>>;
}

const SMALL: SeedOptions = { customers: 60, cards: 200, orders: 300 };

/** Starts both. The gateway takes cleartext logins on loopback, so that a test sees every byte. */
export async function startStage(options: StageOptions = {}): Promise<Stage> {
  const server = await startPostgres(options.postgres ?? {});
  try {
    const seeded = await seedPayments(server.superuser, options.seed ?? SMALL);
    if (options.setup !== undefined) await server.sql(options.setup, seeded.database);
    const gateway = await startGateway({
      plaintext: true,
      resources: [paymentsResource(server, seeded, options.resource)],
      ...options.gateway,
    });
    const { readOnly, readWrite } = seeded.accounts;
    const analyst = { user: 'ada', token: gateway.token('ada', ['analysts']), account: readOnly };
    const developer = { user: 'dev+read-write', token: gateway.token('dev', ['developers']), account: readWrite };
    return {
      server,
      gateway,
      seeded,
      analyst,
      developer,
      connect: (login, more) =>
        Wire.connect({ port: gateway.port, user: login.user, password: login.token, database: 'payments', ...more }),
      direct: (login, more) =>
        Wire.connect({ port: server.port, user: login.account.user, password: login.account.password, database: 'payments', ...more }),
      environment: (login) => ({
        PATH: process.env['PATH'],
        HOME: gateway.dir,
        LC_ALL: 'C.UTF-8',
        TZ: 'UTC',
        PGHOST: '127.0.0.1',
        PGPORT: String(gateway.port),
        PGUSER: login.user,
        PGPASSWORD: login.token,
        PGDATABASE: 'payments',
        PGSSLMODE: 'disable',
      }),
      record: () => readRecord(gateway.recordDir),
      settledRecord: () => settled(gateway.recordDir),
      async stop() {
        await gateway.stop();
        await server.stop();
      },
    };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** The entry of `resources` for a seeded server. */
export function paymentsResource(server: Postgres, seeded: Seeded, more: Readonly<Record<string, Yaml>> = {}): Yaml {
  const { readOnly, readWrite } = seeded.accounts;
  return {
    name: 'payments',
    kind: 'postgres',
    address: `${server.host}:${server.port}`,
    database: seeded.database,
    tls: 'disable',
    accounts: { 'read-only': { ...readOnly }, 'read-write': { ...readWrite } },
    ...more,
  };
}

/** Every line of every segment under `recordDir`, in order of the chain. The last line may be half written. */
export function readRecord(recordDir: string): RecordLine[] {
  const lines: RecordLine[] = [];
  for (const file of recordFiles(recordDir)) {
    for (const line of readFileSync(file, 'utf8').split('\n')) if (line.endsWith('}')) lines.push(JSON.parse(line) as RecordLine);
  }
  return lines;
}

async function settled(recordDir: string): Promise<RecordLine[]> {
  for (const deadline = Date.now() + 30_000; ; ) {
    const lines = readRecord(recordDir);
    const sessions = lines.filter((line) => line.type === 'session');
    const ended = new Set(sessions.filter((line) => line['event'] === 'end').map((line) => line.sid));
    if (sessions.every((line) => ended.has(line.sid))) return lines;
    if (Date.now() > deadline) throw new Error('a session is still open');
    // The end of a session comes by the event loop of another process: give it the processor.
    await nextTurn();
  }
}

/** The bytes of everything under `recordDir`, as one text, with recorded output in clear beside its base64. */
export function recordedBytes(recordDir: string): string {
  const parts: string[] = [];
  for (const name of readdirSync(recordDir, { recursive: true, encoding: 'utf8' })) {
    const file = join(recordDir, name);
    try {
      parts.push(readFileSync(file, 'latin1'));
    } catch {
      // A directory.
    }
  }
  for (const line of readRecord(recordDir))
    if (typeof line['data'] === 'string') parts.push(Buffer.from(line['data'], 'base64').toString('latin1'));
  return parts.join('\n');
}

function recordFiles(recordDir: string): string[] {
  return readdirSync(recordDir, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.jsonl'))
    .sort()
    .map((name) => join(recordDir, name));
}

import { spawn } from 'node:child_process';
import { chownSync, closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { luhnValid, makePan, pick, pickBrand, seeded } from '../../demo/cards.ts';
import { requireClient } from '../../test/support/clients.ts';
import { type Gateway, startGateway } from '../../test/support/gateway.ts';
import { freePort, type Postgres, startPostgres } from '../../test/support/postgres.ts';
import { temporaryFolder, unprivileged } from '../../test/support/unprivileged.ts';
import { end, watch } from '../../test/support/watchdog.ts';
import { Wire } from '../../test/support/wire.ts';

/** The servers of the bench. Each runs in a session of its own, because the scheduler shares the CPU out by session. */

export const database = 'bench';
export const account = { user: 'bench', password: 'bench-4tq8' };
export const bulkRows = 300_000;
export const bulkQuery = 'select id, customer, email, pan, amount, status, placed_at from payments';

/** The target, with pgbench's own tables and one table of `bulkRows` rows of 7 columns, one card number each. */
export async function startTarget(scale: number): Promise<Postgres> {
  const server = await startPostgres({ conf: { shared_buffers: '512MB', max_wal_size: '4GB', autovacuum: 'off', jit: 'off' } });
  await server.sql(`create role ${account.user} login password '${account.password}'`);
  await server.sql(`create database ${database}`);
  await run(requireClient('pgbench').path ?? '', [
    '-i',
    '-q',
    '-s',
    String(scale),
    '-h',
    server.dir,
    '-p',
    String(server.port),
    '-U',
    'postgres',
    database,
  ]);
  const wire = await Wire.connect({ path: join(server.dir, `.s.PGSQL.${server.port}`), port: server.port, user: 'postgres', database });
  await wire.query(
    'create table payments (id int, customer text, email text, pan text, amount numeric(10,2), status text, placed_at timestamptz)',
  );
  const copied = await wire.copyIn('copy payments from stdin', bulkLines());
  if (copied.tags[0] !== `COPY ${bulkRows}`) throw new Error(`loading the rows: ${copied.errors[0]?.['M'] ?? copied.tags[0]}`);
  await wire.end();
  // VACUUM refuses to share a statement's transaction with others.
  for (const text of [`grant select on all tables in schema public to ${account.user}`, 'vacuum analyze', 'checkpoint'])
    await server.sql(text, database);
  return server;
}

/** COPY lines in pieces of 1000 rows. */
function bulkLines(): string[] {
  const random = seeded(7);
  const names = ['Ada Chen', 'Bruno Rossi', 'Chioma Okafor', 'Elif Tanaka', 'Greta Bauer', 'Omar Haddad'];
  const states = ['captured', 'authorized', 'refunded', 'declined'];
  const pieces: string[] = [];
  for (let id = 1; id <= bulkRows; ) {
    let piece = '';
    for (let left = 1000; left > 0 && id <= bulkRows; left--, id++) {
      const pan = makePan(pickBrand(random), random);
      if (!luhnValid(pan)) throw new Error('an invalid card number');
      const amount = (random() * 900 + 1).toFixed(2);
      piece += `${id}\t${pick(names, random)}\tcustomer.${id}@example.com\t${pan}\t${amount}\t${pick(states, random)}\t2025-06-${1 + (id % 28)} 10:00:00+00\n`;
    }
    pieces.push(piece);
  }
  return pieces;
}

export interface Pooler {
  readonly port: number;
  readonly version: string;
  stop(): Promise<void>;
}

/** Debian's pgbouncer, pooling by session as the gateway does: 1.18 loses prepared statements when it pools by transaction. */
export async function startPooler(target: Postgres): Promise<Pooler> {
  const client = requireClient('pgbouncer');
  if (client.skip !== undefined) throw new Error(client.skip);
  const identity = unprivileged();
  const dir = temporaryFolder('sluice-bouncer-', identity);
  const port = await freePort();
  const settings = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'trust',
    auth_file: join(dir, 'users'),
    pool_mode: 'session',
    default_pool_size: 20,
    max_client_conn: 100,
    ignore_startup_parameters: 'extra_float_digits',
    log_connections: 0,
    log_disconnections: 0,
  };
  const text = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
  const files = {
    users: `"${account.user}" "${account.password}"\n`,
    'pgbouncer.ini': `[databases]\n${database} = host=127.0.0.1 port=${target.port} dbname=${database}\n[pgbouncer]\n${text.join('')}`,
  };
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(dir, name), content, { mode: 0o600 });
    if (identity.uid !== undefined && identity.gid !== undefined) chownSync(join(dir, name), identity.uid, identity.gid);
  }
  const log = openSync(join(dir, 'log'), 'a');
  const child = spawn(client.path, [join(dir, 'pgbouncer.ini')], { cwd: dir, detached: true, stdio: ['ignore', log, log], ...identity });
  closeSync(log);
  child.on('error', () => {});
  const watchdog = watch('kill -KILL "$1"; rm -rf "$2"', [String(child.pid), dir]);
  await listening(port, () => (child.exitCode === null ? null : readFileSync(join(dir, 'log'), 'utf8')));
  child.unref();
  const version = (await run(client.path, ['--version'])).split('\n')[0] ?? '';
  return {
    port,
    version,
    async stop() {
      await end(child, 'SIGTERM');
      await watchdog.disarm();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function listening(port: number, died: () => string | null): Promise<void> {
  for (const deadline = Date.now() + 10_000; ; await delay(20)) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open) return;
    const log = died();
    if (log !== null || Date.now() > deadline) throw new Error(`pgbouncer did not start: ${log ?? 'not listening'}`);
  }
}

export interface Mode {
  readonly durability: 'buffered' | 'durable';
  readonly output: 'none' | 'full';
}

/** A gateway with masking, policy and record on. */
export function startSluice(target: Postgres, mode: Mode): Promise<Gateway> {
  return startGateway({
    plaintext: true,
    resources: [
      {
        name: database,
        kind: 'postgres',
        address: `${target.host}:${target.port}`,
        database,
        tls: 'disable',
        accounts: { 'read-only': { user: account.user, password: 'env:BENCH_PASSWORD' } },
        protect: { columns: { 'public.payments.pan': 'pan' } },
      },
    ],
    sections: { recording: { durability: mode.durability, output: mode.output } },
    env: { BENCH_PASSWORD: account.password },
  });
}

/** Runs a program to its end and returns its standard output. */
export function run(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve(stdout) : reject(new Error(`${program} ${args.join(' ')}: ${stderr.slice(-2000)}`))));
  });
}

/** The server's version, for the report. */
export async function serverVersion(server: Postgres): Promise<string> {
  const client = new pg.Client({ ...server.superuser });
  await client.connect();
  const { rows } = await client.query('show server_version');
  await client.end();
  return rows[0].server_version;
}

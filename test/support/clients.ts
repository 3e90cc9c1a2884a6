import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { aptInstall, asRoot, which } from '../../scripts/system.mjs';

/**
 * Real clients for tests. A missing one is installed where that is allowed (root, or sudo without a password). Where it is
 * not, the test is skipped with the reason; with CI=true that is an error, so that no check goes missing unseen.
 */

export type ClientName = 'psql' | 'pgbench' | 'pg_dump' | 'pg_restore' | 'pgbouncer' | 'postgres-15' | 'openssl' | 'asyncpg' | 'chromium';

/** `path` is the program to run: for asyncpg the python that has it. Otherwise `skip` tells why it is not there. */
export type Client = { readonly path: string; readonly skip?: undefined } | { readonly path?: undefined; readonly skip: string };

interface Source {
  readonly program: string;
  readonly packages: readonly string[];
  readonly folders: readonly string[];
}

const debian15 = '/usr/lib/postgresql/15/bin';
const sources: Readonly<Record<Exclude<ClientName, 'asyncpg'>, Source>> = {
  psql: { program: 'psql', packages: ['postgresql-client'], folders: [debian15] },
  pg_dump: { program: 'pg_dump', packages: ['postgresql-client'], folders: [debian15] },
  pg_restore: { program: 'pg_restore', packages: ['postgresql-client'], folders: [debian15] },
  pgbench: { program: 'pgbench', packages: ['postgresql', 'postgresql-contrib'], folders: [debian15] },
  pgbouncer: { program: 'pgbouncer', packages: ['pgbouncer'], folders: ['/usr/sbin'] },
  'postgres-15': { program: 'postgres', packages: ['postgresql'], folders: [debian15] },
  openssl: { program: 'openssl', packages: ['openssl'], folders: [] },
  chromium: { program: 'chromium', packages: ['chromium'], folders: [] },
};

const known = new Map<ClientName, Client>();

/** Finds a client, installing it where possible. Spread `skip` into node:test's options: `test('...', { skip: client.skip }, ...)`. */
export function requireClient(name: ClientName): Client {
  let client = known.get(name);
  if (client === undefined) {
    client = name === 'asyncpg' ? asyncpg() : program(name, sources[name]);
    known.set(name, client);
  }
  if (client.skip !== undefined && process.env['CI'] === 'true') throw new Error(client.skip);
  return client;
}

function program(name: ClientName, source: Source): Client {
  const path = which(source.program, source.folders) ?? (aptInstall(source.packages) ? which(source.program, source.folders) : null);
  return path === null ? { skip: `${name} is not installed: apt-get install ${source.packages.join(' ')}` } : { path };
}

/** In a virtual environment of our own: Debian's python refuses packages beside its own. */
function asyncpg(): Client {
  const cache = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'node_modules', '.cache', 'sluice');
  const python = join(cache, 'python', 'bin', 'python');
  const usable = (): boolean => existsSync(python) && spawnSync(python, ['-c', 'import asyncpg']).status === 0;
  if (usable()) return { path: python };
  mkdirSync(cache, { recursive: true });
  const create = (): boolean => spawnSync('python3', ['-m', 'venv', join(cache, 'python')], { stdio: 'ignore' }).status === 0;
  if (!create() && !(asRoot() !== null && aptInstall(['python3', 'python3-venv']) && create())) {
    return { skip: 'asyncpg needs python3 with venv: apt-get install python3-venv' };
  }
  process.stderr.write('sluice: installing asyncpg by pip ...\n');
  const installed = spawnSync(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', 'asyncpg'], { encoding: 'utf8' });
  return usable() ? { path: python } : { skip: `asyncpg could not be installed: ${installed.stderr.trim().split('\n').at(-1) ?? ''}` };
}

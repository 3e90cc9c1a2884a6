// Finds programs and libraries of the system, and installs them by apt where that is allowed.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cache = join(dirname(dirname(fileURLToPath(import.meta.url))), 'node_modules', '.cache', 'sluice');

/** The path of a program, or null. `extra` are folders to look in after PATH. */
export function which(program, extra = []) {
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), ...extra]) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here: look on.
    }
  }
  return null;
}

/** The words that run a command as root without asking, or null where that is not possible. */
export function asRoot() {
  if (process.getuid?.() === 0) return [];
  return which('sudo') !== null && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0 ? ['sudo', '-n'] : null;
}

/** Installs Debian packages. Returns whether it could; says on stderr what it does, and the end of apt's output when that fails. */
export function aptInstall(packages) {
  const prefix = asRoot();
  if (prefix === null || which('apt-get') === null) return false;
  const apt = (...args) => {
    const [command, ...rest] = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', '-y', ...args];
    return spawnSync(command, rest, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  };
  const started = Date.now();
  process.stderr.write(`sluice: installing ${packages.join(', ')} by apt ...\n`);
  let done = apt('install', '--no-install-recommends', ...packages);
  if (done.status !== 0) {
    // A fresh container has no package lists.
    apt('update');
    done = apt('install', '--no-install-recommends', ...packages);
  }
  if (done.status !== 0) {
    process.stderr.write(`${`${done.stdout}${done.stderr}`.trim().split('\n').slice(-5).join('\n')}\n`);
    return false;
  }
  process.stderr.write(`sluice: installing by apt: done in ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
  return true;
}

/**
 * Sees to everything that building the native addon needs and returns the environment variables the build wants.
 * Throws an Error of one line that names all that is missing.
 */
export function ensureBuildTools() {
  let missing = missingBuildPackages();
  if (missing.length > 0 && aptInstall(missing)) missing = missingBuildPackages();
  const env = {};
  if (missing.includes('libclang-dev') && Object.assign(env, libclangFromPyPI()).LIBCLANG_PATH)
    missing = missing.filter((name) => name !== 'libclang-dev');
  const wanted = missing.length > 0 ? [`apt-get install ${missing.join(' ')} (as root)`] : [];
  if (which('cargo') === null) wanted.push('install Rust from https://rustup.rs');
  if (wanted.length > 0) throw new Error(`the native addon cannot be built yet: ${wanted.join('; ')}`);
  return env;
}

function missingBuildPackages() {
  const missing = [];
  if (which('cc') === null && which('gcc') === null) missing.push('build-essential');
  if (which('pkg-config') === null) missing.push('pkg-config', 'libvectorscan-dev');
  else if (spawnSync('pkg-config', ['--exists', 'libhs'], { stdio: 'ignore' }).status !== 0) missing.push('libvectorscan-dev');
  if (!libclangFound()) missing.push('libclang-dev');
  return missing;
}

function libclangFound() {
  if (process.env.LIBCLANG_PATH) return true;
  const folders = [
    '/usr/lib',
    '/usr/lib64',
    '/usr/local/lib',
    ...list('/usr/lib', /-linux-gnu$/),
    ...list('/usr/lib', /^llvm-/).map((folder) => join(folder, 'lib')),
  ];
  return folders.some((folder) => list(folder, /^libclang(-[\d.]+)?\.so/).length > 0);
}

function list(folder, pattern) {
  return existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => pattern.test(name))
        .map((name) => join(folder, name))
    : [];
}

/** PyPI's wheel holds the library but not the compiler's own headers, which gcc has as well. */
function libclangFromPyPI() {
  const target = join(cache, 'libclang');
  const library = join(target, 'clang', 'native');
  if (!existsSync(join(library, 'libclang.so'))) {
    const python = which('python3');
    if (python === null) return {};
    mkdirSync(target, { recursive: true });
    process.stderr.write('sluice: installing libclang from PyPI ...\n');
    spawnSync(python, ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', target, 'libclang'], { stdio: ['ignore', 2, 2] });
    if (!existsSync(join(library, 'libclang.so'))) return {};
  }
  const headers = spawnSync('gcc', ['-print-file-name=include'], { encoding: 'utf8' }).stdout?.trim();
  return { LIBCLANG_PATH: library, ...(headers ? { BINDGEN_EXTRA_CLANG_ARGS: `-I${headers}` } : {}) };
}

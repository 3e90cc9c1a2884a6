import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { freePort } from './postgres.ts';
import { end, watch } from './watchdog.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const cli = ['--disable-warning=ExperimentalWarning', join(root, 'src', 'cli', 'main.ts')];

/** A value of the configuration file. */
export type Yaml = string | number | boolean | null | readonly Yaml[] | { readonly [name: string]: Yaml };

export interface GatewayOptions {
  /** Entries of `resources`. */
  readonly resources: readonly Yaml[];
  /** Further top-level sections, which win over the ones made here. */
  readonly sections?: Readonly<Record<string, Yaml>>;
  /** Open the API as well. */
  readonly api?: boolean;
  /** Take cleartext logins on loopback. */
  readonly plaintext?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** A script to run in place of the command line's `gateway`; it gets `--config FILE` and prints `ready` as well. */
  readonly program?: string;
  /** Keeps the folder (configuration, record, log) after `stop`. */
  readonly keep?: boolean;
}

/** A gateway in a process of its own, as an operator starts it: `sluice gateway --config FILE`. */
export interface Gateway {
  readonly port: number;
  /** `https://127.0.0.1:port` of the API; '' without one. */
  readonly apiUrl: string;
  /** Certificate of the gateway, for clients that verify it. */
  readonly caFile: string;
  /** Holds sluice.yaml, the log and the data. */
  readonly dir: string;
  readonly config: string;
  readonly recordDir: string;
  readonly pid: number;
  /** `sluice token issue --api`: the token alone. */
  token(user: string, groups: readonly string[], ttl?: string): string;
  /** Runs a command of the command line to its end. */
  sluice(...args: readonly string[]): { readonly status: number | null; readonly stdout: string; readonly stderr: string };
  /** The JSON lines of its log so far. */
  log(): string;
  /** Ends it by a signal and waits; the exit code, null when the signal ended it. */
  kill(signal: NodeJS.Signals): Promise<number | null>;
  /** Starts again after `kill`, with the same data, on the same port. */
  start(): Promise<void>;
  /** Drains, ends and removes everything. Returns the exit code. */
  stop(): Promise<number | null>;
}

/** Starts a gateway on a free port; it ends with `stop`, or by itself when this process dies. Throws with the end of its log when it fails. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-gw-'));
  chmodSync(dir, 0o700);
  const config = join(dir, 'sluice.yaml');
  const port = await freePort();
  const apiPort = options.api ? await freePort() : 0;
  const text = {
    gateway: { name: 'gw-1', data_dir: './var' },
    listeners: { postgres: `127.0.0.1:${port}`, ...(options.api ? { https: `127.0.0.1:${apiPort}` } : {}) },
    tls: { plaintext_loopback: options.plaintext ?? false },
    policies: join(root, 'deploy', 'policies'),
    resources: options.resources,
    ...options.sections,
  };
  writeFileSync(config, stringify(text), { mode: 0o600 });
  const env = { ...process.env, ...options.env };
  const args = options.program === undefined ? [...cli, 'gateway'] : [cli[0] ?? '', options.program];
  const started = (): Promise<ChildProcess> => launch(dir, [...args, '--config', config], env);
  let child = await started();
  const pidFile = join(dir, 'pid');
  writeFileSync(pidFile, String(child.pid));
  const watchdog = watch(`kill -KILL "$(cat "$1/pid")"\n${options.keep ? '' : 'rm -rf "$1"'}`, [dir]);
  const sluice: Gateway['sluice'] = (...args) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [...cli, ...args], { encoding: 'utf8', env, cwd: root });
    return { status, stdout, stderr };
  };
  return {
    port,
    apiUrl: options.api ? `https://127.0.0.1:${apiPort}` : '',
    caFile: join(dir, 'var', 'tls.crt'),
    dir,
    config,
    recordDir: join(dir, 'var', 'record'),
    get pid() {
      return child.pid ?? 0;
    },
    token(user, groups, ttl = '1h') {
      const done = sluice(
        'token',
        'issue',
        '--config',
        config,
        '--user',
        user,
        ...groups.flatMap((group) => ['--group', group]),
        '--ttl',
        ttl,
        '--api',
      );
      if (done.status !== 0) throw new Error(`token issue failed: ${done.stderr}`);
      return done.stdout.trim();
    },
    sluice,
    log: () => readFileSync(join(dir, 'log'), 'utf8'),
    kill: (signal) => end(child, signal),
    async start() {
      child = await started();
      writeFileSync(pidFile, String(child.pid));
    },
    async stop() {
      const code = await end(child, 'SIGTERM');
      await watchdog.disarm();
      if (!options.keep) rmSync(dir, { recursive: true, force: true });
      return code;
    },
  };
}

/** Starts the process and waits for the line `ready`. In a session of its own, as a service manager does it. */
async function launch(dir: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const log = openSync(join(dir, 'log'), 'a');
  const child = spawn(process.execPath, args, {
    cwd: root,
    detached: true,
    stdio: ['ignore', 'pipe', log],
    env,
  });
  closeSync(log);
  // A pipe of a child process is a socket, which the types do not say.
  const stdout = child.stdout as Socket;
  const failure = await new Promise<string | null>((resolve) => {
    const deadline = setTimeout(() => resolve('not ready within 60 s'), 60_000);
    const done = (problem: string | null): void => {
      clearTimeout(deadline);
      resolve(problem);
    };
    createInterface(stdout).on('line', (line) => {
      if (line === 'ready') done(null);
    });
    child.once('error', (error) => done(error.message));
    child.once('exit', (code, signal) => done(`it ended with ${code ?? signal}`));
  });
  if (failure !== null) {
    child.kill('SIGKILL');
    const tail = readFileSync(join(dir, 'log'), 'utf8').slice(-3000);
    rmSync(dir, { recursive: true, force: true });
    throw new Error(`the gateway did not start: ${failure}\n${tail}`);
  }
  child.unref();
  stdout.unref();
  return child;
}

import { accessSync, constants, readFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';

import { GatewayError } from '../errors.ts';
import { readAccess, readApi, readIdentity, readStore } from './control.ts';
import type { Config, MaskPattern } from './model.ts';
import { type Place, Reader } from './reader.ts';
import { type KnownProtocols, readListeners, readResources, type Warn } from './resources.ts';
import type { SecretSource } from './secrets.ts';
import { parseSize } from './values.ts';

const KB = 1024;
const MB = 1024 * KB;
const GB = 1024 * MB;

export interface LoadOptions {
  /** The protocols of this build by name: what `listeners` and the `kind` of a resource may say. */
  readonly protocols: KnownProtocols;
  /** Given: every secret reference and TLS file must be there now. Left out: they are looked at when used. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface LoadedConfig {
  readonly config: Config;
  /** What is allowed but unwise, one line each. */
  readonly warnings: readonly string[];
}

/** Reads a configuration file. Throws GatewayError `config_invalid` with one line per problem: `sluice.yaml:12:5: path: message`. */
export function loadConfig(file: string, options: LoadOptions): LoadedConfig {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? 'it is not UTF-8 text';
    throw invalid([`${file}: cannot read the configuration (${why})`]);
  }
  return parseConfig(text, resolve(file), options);
}

/** As loadConfig, with the text given; `file` is absolute and relative paths start at its directory. */
export function parseConfig(text: string, file: string, options: LoadOptions): LoadedConfig {
  const reader = new Reader(text);
  const dir = dirname(file);
  const name = basename(file);
  // A file that is no YAML would only give follow-up errors.
  if (reader.problems.length > 0) throw invalid(lines(name, reader));
  const warnings: string[] = [];
  const warn: Warn = (place, message) => warnings.push(`${name}: ${place.path}: ${message}`);
  const absolute = (path: string): string => resolve(dir, path);
  const secrets: SecretSource | null = options.env === undefined ? null : { env: options.env, dir };

  const f = reader.root.fields(
    [
      'gateway',
      'listeners',
      'tls',
      'store',
      'workers',
      'recording',
      'masking',
      'limits',
      'policies',
      'identity',
      'access',
      'api',
      'resources',
    ],
    ['gateway', 'listeners', 'policies', 'resources'],
  );
  const gateway = f.gateway.fields(['name', 'data_dir'], ['name']);
  const tls = readTls(f.tls, absolute, secrets !== null);
  const workers = f.workers.fields(['count', 'dispatch']);
  const context = { protocols: options.protocols, warn, absolute, secrets };
  const { https, ...listeners } = readListeners(f.listeners, options.protocols);
  const config: Config = {
    file,
    gateway: {
      name: gateway.name.parsed(
        (value) => (/^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$/.test(value) ? value : null),
        'a usable name; write letters, digits, - or .',
        'gateway',
      ),
      dataDir: absolute(gateway.data_dir.text('./var')),
    },
    listeners,
    ...tls,
    workers: {
      count: workers.count.parsed((value) => workerCount(value), 'a number of workers; write auto or 1 to 256', 'auto'),
      dispatch: workers.dispatch.oneOf(['auto', 'inline', 'pool'], 'auto'),
    },
    recording: readRecording(f.recording),
    masking: readMasking(f.masking),
    limits: readLimits(f.limits),
    policies: absolute(f.policies.text('./policies')),
    resources: readResources(f.resources, context),
    store: readStore(f.store, context),
    identity: readIdentity(f.identity, context),
    access: readAccess(f.access, context),
    api: readApi(f.api, https),
  };
  if (reader.problems.length > 0) throw invalid(lines(name, reader));
  return { config, warnings };
}

function readTls(place: Place, absolute: (path: string) => string, check: boolean): Pick<Config, 'tls' | 'allowPlaintextLoopback'> {
  const f = place.fields(['cert', 'key', 'plaintext_loopback']);
  const allowPlaintextLoopback = f.plaintext_loopback.boolean(false);
  if (f.cert.present !== f.key.present) {
    place.problem(`${f.cert.present ? 'key' : 'cert'} is missing; write both cert and key, or neither for a self-signed certificate`);
  }
  if (!f.cert.present || !f.key.present) return { tls: null, allowPlaintextLoopback };
  const tls = { cert: absolute(f.cert.text()), key: absolute(f.key.text()) };
  if (check) {
    for (const [at, path] of [
      [f.cert, tls.cert],
      [f.key, tls.key],
    ] as const) {
      try {
        accessSync(path, constants.R_OK);
      } catch {
        at.problem(`${path} cannot be read`);
      }
    }
  }
  return { tls, allowPlaintextLoopback };
}

function readRecording(place: Place): Config['recording'] {
  const f = place.fields(['durability', 'output', 'retention_days', 'segment_bytes', 'checkpoint_seconds', 'archive']);
  if (f.archive.present && !f.archive.isNull) f.archive.problem('archives are not available in this version; write archive: null');
  return {
    durability: f.durability.oneOf(['durable', 'buffered'], 'durable'),
    output: f.output.oneOf(['full', 'none'], 'full'),
    retentionDays: f.retention_days.integer({ min: 1, max: 36_500 }, 400),
    segmentBytes: f.segment_bytes.size(parseSize, { min: 64 * KB, max: 4 * GB }, 64 * MB),
    checkpointSeconds: f.checkpoint_seconds.integer({ min: 1, max: 3600 }, 60),
  };
}

function readMasking(place: Place): Config['masking'] {
  const f = place.fields(['keep_last', 'keep_first', 'opt_in', 'patterns']);
  const ids = new Set<string>();
  const patterns: MaskPattern[] = f.patterns.items().map((item) => {
    const p = item.fields(['id', 'regex', 'keep_last'], ['id', 'regex']);
    const id = p.id.parsed(
      (text) => (/^[a-z][a-z0-9_-]{0,39}$/.test(text) ? text : null),
      'a usable id; write lower-case letters, digits, - or _',
      '',
    );
    if (ids.has(id) && id !== '') p.id.problem(`the id ${id} is taken by an earlier pattern`);
    ids.add(id);
    return { id, regex: p.regex.text(), keepLast: p.keep_last.integer({ min: 0, max: 4 }, 0) };
  });
  const keepFirst = f.keep_first.parsed(
    (text) => (({ 0: 0, 6: 6, 8: 8 }) as const)[text] ?? null,
    'one of 0, 6, 8; write keep_first: 0',
    0 as const,
  );
  return {
    keepLast: f.keep_last.integer({ min: 0, max: 4 }, 4),
    keepFirst,
    optIn: f.opt_in.items().map((item) => item.text()),
    patterns,
  };
}

function readLimits(place: Place): Config['limits'] {
  const f = place.fields(['statement_bytes', 'message_bytes', 'bind_bytes', 'sessions', 'login_seconds']);
  const limits = {
    statementBytes: f.statement_bytes.size(parseSize, { min: KB, max: GB - 1 }, 8 * MB),
    messageBytes: f.message_bytes.size(parseSize, { min: 16 * KB, max: GB - 1 }, 64 * MB),
    bindBytes: f.bind_bytes.size(parseSize, { min: 0, max: 16 * MB }, 64 * KB),
    sessions: f.sessions.integer({ min: 1, max: 1_000_000 }, 1000),
    loginSeconds: f.login_seconds.integer({ min: 1, max: 600 }, 15),
  };
  if (limits.statementBytes > limits.messageBytes)
    f.statement_bytes.problem('is more than message_bytes, so that no such statement could arrive; write a smaller size');
  return limits;
}

function workerCount(text: string): number | 'auto' | null {
  if (text === 'auto') return 'auto';
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  return count >= 1 && count <= 256 ? count : null;
}

function lines(name: string, reader: Reader): string[] {
  return reader.problems.map(({ line, column, path, message }) => `${name}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`);
}

function invalid(problems: readonly string[]): GatewayError {
  return new GatewayError({ code: 'config_invalid', source: 'gateway', phase: 'config', publicMessage: problems.join('\n') });
}

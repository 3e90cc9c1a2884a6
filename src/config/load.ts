import { readFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';

import { GatewayError } from '../errors.ts';
import type { KnownProtocols, Warn } from './context.ts';
import { readAccess, readApi, readIdentity, readStore } from './control.ts';
import { readPolicies, readTls } from './files.ts';
import { type MaskingCheck, readMasking } from './masking.ts';
import type { Config } from './model.ts';
import { type Place, Reader } from './reader.ts';
import { readListeners, readResources } from './resources.ts';
import type { SecretSource } from './secrets.ts';
import { whyUnreadable } from './unreadable.ts';

const KB = 1024;
const MB = 1024 * KB;
const GB = 1024 * MB;

export interface LoadOptions {
  /** The protocols of this build by name: what `listeners` and the `kind` of a resource may say. */
  readonly protocols: KnownProtocols;
  /** Given: every secret reference and file must be there now. Left out: they are looked at when used. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Compiles masking settings; left out: they are read, and compiled when used. */
  readonly masking?: MaskingCheck;
}

/** What a configuration file says, and what is wrong with it. */
export interface Inspection {
  /** With defaults in place of what is wrong; null when the file cannot be read at all. */
  readonly config: Config | null;
  /** In the order of the file, one line each: `sluice.yaml:12:5: path: message`. */
  readonly problems: readonly string[];
  /** What is allowed but unwise, in the same form. */
  readonly warnings: readonly string[];
}

export interface LoadedConfig {
  readonly config: Config;
  readonly warnings: readonly string[];
}

/** Reads a configuration file. Throws GatewayError `config_invalid` with one line per problem. */
export function loadConfig(file: string, options: LoadOptions): LoadedConfig {
  return sound(inspectConfig(file, options));
}

/** As loadConfig, with the text given; `file` is absolute and relative paths start at its directory. */
export function parseConfig(text: string, file: string, options: LoadOptions): LoadedConfig {
  return sound(inspectText(text, file, options));
}

/** Reads a configuration file and throws nothing. */
export function inspectConfig(file: string, options: LoadOptions): Inspection {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
    return inspectText(text, resolve(file), options);
  } catch (error) {
    return { config: null, problems: [`${file}: cannot read the configuration: ${whyUnreadable(error)}`], warnings: [] };
  }
}

function sound({ config, problems, warnings }: Inspection): LoadedConfig {
  if (config === null || problems.length > 0)
    throw new GatewayError({ code: 'config_invalid', source: 'gateway', phase: 'config', publicMessage: problems.join('\n') });
  return { config, warnings };
}

function inspectText(text: string, file: string, options: LoadOptions): Inspection {
  const reader = new Reader(text);
  const dir = dirname(file);
  const name = basename(file);
  // Where the text is no YAML, whatever follows would be a follow-up error.
  if (!reader.readable) return { config: null, problems: lines(name, reader), warnings: [] };
  const warnings: string[] = [];
  const warn: Warn = (place, message) => warnings.push(`${name}:${place.position}: ${place.path}: ${message}`);
  const absolute = (path: string): string => resolve(dir, path);
  const secrets: SecretSource | null = options.env === undefined ? null : { env: options.env, dir };
  const context = { protocols: options.protocols, warn, absolute, secrets };

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
  const tls = readTls(f.tls, context);
  const workers = f.workers.fields(['count', 'dispatch']);
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
    masking: readMasking(f.masking, options.masking),
    limits: readLimits(f.limits),
    policies: readPolicies(f.policies, context),
    resources: readResources(f.resources, context),
    store: readStore(f.store, context),
    identity: readIdentity(f.identity, context),
    access: readAccess(f.access, context),
    api: readApi(f.api, https),
  };
  return { config, problems: lines(name, reader), warnings };
}

function readRecording(place: Place): Config['recording'] {
  const f = place.fields(['durability', 'output', 'retention_days', 'segment_bytes', 'checkpoint_seconds', 'archive']);
  if (f.archive.present && !f.archive.isNull) f.archive.problem('archives are not available in this version; write archive: null');
  return {
    durability: f.durability.oneOf(['durable', 'buffered'], 'durable'),
    output: f.output.oneOf(['full', 'none'], 'full'),
    retentionDays: f.retention_days.integer({ min: 1, max: 36_500 }, 400),
    segmentBytes: f.segment_bytes.size({ min: 64 * KB, max: 4 * GB }, 64 * MB),
    checkpointSeconds: f.checkpoint_seconds.integer({ min: 1, max: 3600 }, 60),
  };
}

function readLimits(place: Place): Config['limits'] {
  const f = place.fields(['statement_bytes', 'message_bytes', 'bind_bytes', 'sessions', 'login_seconds', 'pending_logins']);
  const limits = {
    statementBytes: f.statement_bytes.size({ min: KB, max: GB - 1 }, 8 * MB),
    messageBytes: f.message_bytes.size({ min: 16 * KB, max: GB - 1 }, 64 * MB),
    bindBytes: f.bind_bytes.size({ min: 0, max: 16 * MB }, 64 * KB),
    sessions: f.sessions.integer({ min: 1, max: 1_000_000 }, 1000),
    loginSeconds: f.login_seconds.integer({ min: 1, max: 600 }, 15),
    pendingLogins: f.pending_logins.integer({ min: 2, max: 1_000_000 }, 2000),
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

import type { StatementInfo } from './analysis.ts';

/**
 * Run-time settings that are part of the security of the parse: the server's lexer must read a statement as ours did.
 * They are pinned at start-up, may not be changed, and a ParameterStatus with another value ends the session.
 */
export const PINNED_SETTINGS: ReadonlyMap<string, string> = new Map([
  ['standard_conforming_strings', 'on'],
  ['client_encoding', 'UTF8'],
]);

/** Settings a client may hand over in its start-up packet. The others can be SET afterwards, where policy sees them. */
const STARTUP_SETTINGS: ReadonlySet<string> = new Set([
  'application_name',
  'bytea_output',
  'client_min_messages',
  'datestyle',
  'default_transaction_isolation',
  'default_transaction_read_only',
  'extra_float_digits',
  'geqo',
  'idle_in_transaction_session_timeout',
  'idle_session_timeout',
  'intervalstyle',
  'jit',
  'lock_timeout',
  'search_path',
  'statement_timeout',
  'tcp_keepalives_idle',
  'timezone',
  'transaction_timeout',
]);

const norm = (value: string): string => value.toLowerCase().replaceAll(/[-_ ']/g, '');

/** Whether `value` sets a pinned setting to what it is pinned to anyway (`utf-8` for `UTF8`, `true` for `on`). */
export function keepsPinned(name: string, value: string): boolean {
  const wanted = PINNED_SETTINGS.get(name);
  if (wanted === undefined) return true;
  const given = norm(value);
  if (name === 'client_encoding') return given === 'utf8' || given === 'unicode';
  return given === 'on' || given === 'true' || given === 'yes' || given === '1';
}

/** Settings of the gateway's own, given as start-up options: `options=-c sluice.approval=retry`. */
export interface OwnSettings {
  /** A driver that cannot wait for an approval asks for `retry`. */
  readonly approval: 'wait' | 'retry';
  /** How the client proves who it is: a token as password, or by SASL OAUTHBEARER. */
  readonly auth: 'password' | 'oauth';
  /** What the session is for, as its user says it to approvers and auditors: one line, not masked yet. '' when nothing was said. */
  readonly reason: string;
}

/** The one of them that can be SET later as well, on the server, which knows nothing of it. */
const REASON = 'sluice.reason';
/** As many characters as a reason may have. */
const MAX_REASON = 500;
/** Line ends, controls, what has no width and what reorders: a reason is one line wherever it is shown, and reads as it was written. */
const NOT_IN_A_LINE = /[\s\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}]+/gu;

/** A reason as one line; as long as it was given. */
const oneLine = (value: string): string => value.replaceAll(NOT_IN_A_LINE, ' ').trim();

type Settings = Pick<StatementInfo, 'kind' | 'settings'>;

/** SET or RESET of the reason, which changes nothing on the server. Calls may do more than they name. */
export function setsReasonAlone({ kind, settings }: Settings): boolean {
  return (kind === 'set' || kind === 'reset') && settings.length === 1 && settings[0]?.name === REASON;
}

/**
 * What a session is for after a statement that can change its settings has completed; null: the same as before.
 * @param tag of its completion. @param atStart what its start-up option said.
 */
export function reasonSetBy({ kind, settings }: Settings, tag: string, atStart: string): string | null {
  // Pools clean a connection so before they give it to somebody else.
  if (tag === 'DISCARD ALL') return atStart;
  const setting = settings[0];
  if (kind === 'reset') return setting?.name === REASON || setting?.name === 'all' ? atStart : null;
  if (kind !== 'set' || setting?.name !== REASON || setting.local || setting.value === null) return null;
  // DEFAULT has no value.
  return setting.value === '' ? atStart : [...oneLine(setting.value)].slice(0, MAX_REASON).join('');
}

const OWN_SETTINGS: { readonly [name: string]: readonly [field: 'approval' | 'auth', ...values: readonly string[]] } = {
  'sluice.approval': ['approval', 'wait', 'retry'],
  'sluice.auth': ['auth', 'password', 'oauth'],
};

export type StartupSettings =
  | {
      readonly ok: true;
      readonly settings: Map<string, string>;
      readonly applicationName: string;
      /** What a client wants of the gateway itself: the server never sees it. */
      readonly own: OwnSettings;
    }
  | { readonly ok: false; readonly message: string };

/**
 * What of a client's start-up parameters goes to the server. `_pq_.` extensions are negotiated elsewhere; `user`, `database`
 * and `replication` are the caller's.
 */
export function startupSettings(parameters: ReadonlyMap<string, string>): StartupSettings {
  const asked: [string, string][] = [];
  for (const [name, value] of parameters) {
    if (name === 'user' || name === 'database' || name === 'replication' || name.startsWith('_pq_.')) continue;
    if (name === 'options') {
      const parsed = parseOptions(value);
      if (parsed === null) return { ok: false, message: `start-up options are limited to "-c name=value" and "--name=value"` };
      asked.push(...parsed);
    } else asked.push([name.toLowerCase(), value]);
  }
  const settings = new Map<string, string>(PINNED_SETTINGS);
  let applicationName = '';
  let own: OwnSettings = { approval: 'wait', auth: 'password', reason: '' };
  for (const [name, value] of asked) {
    const ours = OWN_SETTINGS[name];
    if (ours !== undefined) {
      const [field, ...values] = ours;
      if (!values.includes(value)) return { ok: false, message: `"${name}" takes ${values.join(' or ')}, not "${value}"` };
      own = { ...own, [field]: value };
    } else if (name === REASON) {
      const reason = oneLine(value);
      if ([...reason].length > MAX_REASON) return { ok: false, message: `"${REASON}" takes up to ${MAX_REASON} characters` };
      own = { ...own, reason };
    } else if (name === 'application_name') applicationName = value;
    else if (PINNED_SETTINGS.has(name)) {
      if (!keepsPinned(name, value) && !(name === 'client_encoding' && norm(value) === 'auto')) {
        return { ok: false, message: `parameter "${name}" cannot be changed to "${value}": it is pinned to ${PINNED_SETTINGS.get(name)}` };
      }
    } else if (!STARTUP_SETTINGS.has(name))
      return { ok: false, message: `start-up parameter "${name}" is not allowed: use SET after connecting` };
    else settings.set(name, value);
  }
  return { ok: true, settings, applicationName, own };
}

/** The `options` parameter: blank-separated words, a backslash quotes the next character. */
function parseOptions(options: string): [string, string][] | null {
  const words: string[] = [];
  let word = '';
  let inWord = false;
  for (let i = 0; i < options.length; i++) {
    const char = options[i] ?? '';
    if (char === '\\' && i + 1 < options.length) {
      word += options[++i];
      inWord = true;
    } else if (/\s/.test(char)) {
      if (inWord) words.push(word);
      word = '';
      inWord = false;
    } else {
      word += char;
      inWord = true;
    }
  }
  if (inWord) words.push(word);
  const found: [string, string][] = [];
  for (let i = 0; i < words.length; i++) {
    let setting = words[i] ?? '';
    if (setting === '-c') setting = words[++i] ?? '';
    else if (setting.startsWith('-c')) setting = setting.slice(2);
    else if (setting.startsWith('--')) setting = setting.slice(2);
    else return null;
    const equals = setting.indexOf('=');
    if (equals < 1) return null;
    found.push([setting.slice(0, equals).replaceAll('-', '_').toLowerCase(), setting.slice(equals + 1)]);
  }
  return found;
}

/**
 * pg_dump changes a setting that the server may lack by `SELECT set_config(name, '...', false) FROM pg_settings WHERE name =
 * '...'`: the name is a constant after all. The literals hold neither quote nor backslash, so that nothing can hide in them.
 */
export function settingFromView(text: string): { name: string; value: string; local: boolean } | null {
  const found =
    /^\s*select\s+(?:pg_catalog\.)?set_config\(name, '([^'\\]*)', (true|false)\)\s+from\s+(?:pg_catalog\.)?pg_settings\s+where\s+name\s*=\s*'([a-z_]+)'\s*;?\s*$/i.exec(
      text,
    );
  const [, value = '', local = '', name = ''] = found ?? [];
  return found === null ? null : { name, value, local: local.toLowerCase() === 'true' };
}

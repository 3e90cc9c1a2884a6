import { readFileSync } from 'node:fs';
import { setDefaultCACertificates } from 'node:tls';

import { whyUnreadable } from '../config/unreadable.ts';
import { GatewayError } from '../errors.ts';
import { type Arguments, type Io, UsageError } from './command.ts';
import { configOf } from './config-option.ts';
import { storedLogin } from './stored-login.ts';
import { visible } from './terminal.ts';

/** Options of every command that talks to a gateway. */
export const apiOptions = {
  url: { type: 'string' },
  ca: { type: 'string' },
  config: { type: 'string', short: 'c' },
  json: { type: 'boolean' },
} as const;

/** Explains each of them. */
export const apiOptionDetails = [
  '  --url URL       the gateway, e.g. https://gateway.example.com:8443; default: where you logged in, or SLUICE_URL',
  '  --ca FILE       authorities that its certificate is checked by; default: those of the log-in, or the system',
  '  --config FILE   takes the URL from the configuration file of a gateway',
  '  --json          JSON in place of text; of a list one object a line',
].join('\n');

/** As `apiOptionDetails`, for what needs somebody who is logged in. */
export const apiDetails = [
  apiOptionDetails,
  '',
  'Log in with `sluice login`, or set SLUICE_URL and SLUICE_TOKEN (a service key, or of `sluice token issue --api`).',
].join('\n');

/** What the gateway answered with an error. */
export class ApiFailure extends GatewayError {
  /** Of HTTP. */
  readonly status: number;

  constructor(status: number, code: string, message: string, hint: string | undefined) {
    // Both may quote what somebody else chose, and go to a terminal.
    const more = hint === undefined ? {} : { hint: visible(hint, true) };
    super({ code, source: 'gateway', phase: 'decide', publicMessage: visible(message, true), ...more });
    this.status = status;
  }
}

/** A gateway as commands see it. */
export class ApiClient {
  readonly url: string;
  readonly #token: string | null;

  /** @param ca file of authorities that alone are trusted; null: the system's. */
  constructor(url: string, token: string | null, ca: string | null) {
    this.url = url.replace(/\/+$/, '');
    this.#token = token;
    if (ca !== null) setDefaultCACertificates([readCa(ca)]);
  }

  get<T>(path: string, query: Readonly<Record<string, string | undefined>> = {}): Promise<T> {
    const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined);
    return this.#send<T>('GET', `${path}${given.length === 0 ? '' : `?${new URLSearchParams(given)}`}`, undefined);
  }

  post<T>(path: string, body: unknown): Promise<T> {
    return this.#send<T>('POST', path, body);
  }

  /** The live events. `onEvent` gets each; resolves when the stream has ended, with why. */
  async events(query: string, onEvent: (text: string) => void, stopped: Promise<void>): Promise<string> {
    const headers = this.#token === null ? {} : { authorization: `Bearer ${this.#token}` };
    // Who may not read them is told so here: a WebSocket that is refused does not say why.
    await this.get('/api/v1/events').catch((error: unknown) => {
      if (!(error instanceof ApiFailure) || error.status !== 426) throw error;
    });
    // Node takes headers here; the types are those of browsers, which do not.
    const socket = new WebSocket(`${this.url.replace(/^http/, 'ws')}/api/v1/events${query}`, { headers } as unknown as string[]);
    return new Promise((resolve, reject) => {
      let open = false;
      socket.addEventListener('open', () => {
        open = true;
      });
      socket.addEventListener('message', ({ data }) => onEvent(String(data)));
      socket.addEventListener('close', ({ code, reason }) => {
        if (open) resolve(reason === '' ? `the stream ended (${code})` : reason);
        else reject(unreachable(this.url, 'the stream was refused'));
      });
      void stopped.then(() => socket.close());
    });
  }

  async #send<T>(method: string, path: string, body: unknown): Promise<T> {
    const headers: Record<string, string> = { accept: 'application/json' };
    if (this.#token !== null) headers['authorization'] = `Bearer ${this.#token}`;
    if (body !== undefined) headers['content-type'] = 'application/json';
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${this.url}${path}`, {
        method,
        headers,
        redirect: 'error',
        body: body === undefined ? null : JSON.stringify(body),
      });
      text = await response.text();
    } catch (error) {
      throw unreachable(this.url, reasonOf(error));
    }
    const answer = parse(text);
    if (response.ok) return answer as T;
    const { code = 'failed', message = `the gateway answered ${response.status}`, hint } = errorOf(answer);
    throw new ApiFailure(response.status, code, message, hint ?? (response.status === 401 ? 'log in with: sluice login' : undefined));
  }
}

/** The client for who is logged in. Throws UsageError when nobody is. */
export function apiOf(args: Arguments, io: Io): ApiClient {
  const stored = storedLogin(io);
  const url = gatewayUrl(args, io) ?? stored?.login.url;
  const own = io.env['SLUICE_TOKEN'];
  const token = own === undefined || own === '' ? (stored !== null && stored.login.url === url ? stored.token : undefined) : own;
  if (url === undefined || token === undefined)
    throw new UsageError('log in first with `sluice login`, or set SLUICE_URL and SLUICE_TOKEN');
  return new ApiClient(url, token, args.text('ca') ?? io.env['SLUICE_CA'] ?? (stored?.login.url === url ? stored.login.ca : null));
}

/** The URL as the command line, a configuration or the environment names it. */
export function gatewayUrl(args: Arguments, io: Io): string | undefined {
  let url = args.text('url');
  if (url === undefined && args.text('config') !== undefined) {
    const { api } = configOf(args, io).config;
    if (api === null) throw new UsageError('the configuration has no API: add https: host:port to listeners');
    url = api.url;
  }
  url ??= io.env['SLUICE_URL'];
  if (url === undefined || url === '') return undefined;
  // The token goes there: it must not go in clear.
  if (!URL.canParse(url) || new URL(url).protocol !== 'https:') throw new UsageError(`"${url}" is not an https URL`);
  return new URL(url).origin;
}

function readCa(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${whyUnreadable(error)}`);
  }
}

function unreachable(url: string, why: string): GatewayError {
  const certificate = /certificate|self.signed|SELF_SIGNED|altname/i.test(why);
  return new GatewayError({
    code: 'gateway_unreachable',
    source: 'gateway',
    phase: 'connect',
    publicMessage: `the gateway at ${url} cannot be reached: ${why}`,
    ...(certificate ? { hint: 'name the file of its authority with --ca' } : {}),
  });
}

/** fetch says only that it failed; why is in its cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code ?? 'unknown error') : String(cause);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function errorOf(answer: unknown): { readonly code?: string; readonly message?: string; readonly hint?: string } {
  if (typeof answer !== 'object' || answer === null || !('error' in answer)) return {};
  const { error } = answer;
  if (typeof error !== 'object' || error === null) return {};
  const texts = Object.entries(error).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return Object.fromEntries(texts);
}

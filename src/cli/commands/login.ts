import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';

import type { ClientFile } from '../../access/client-help.ts';
import { GatewayError } from '../../errors.ts';
import { protocols } from '../../protocols/registry.ts';
import { ApiClient, ApiFailure, apiDetails, apiOf, apiOptionDetails, apiOptions, gatewayUrl } from '../api-client.ts';
import { hasEntry, lineOf, writeClientFiles } from '../client-files.ts';
import { type Arguments, type Command, type ExitCode, type Io, UsageError } from '../command.ts';
import { forgetLogin, storedLogin, storeLogin } from '../stored-login.ts';
import { visible } from '../terminal.ts';
import { showList } from './list.ts';

interface Issued {
  readonly token: string;
  readonly id: string;
  readonly expiresAt: number;
  readonly user: string;
  /** For clients that connect to resources; the other is for the API alone. */
  readonly client: { readonly token: string };
}

interface DeviceBegun {
  readonly id: string;
  readonly userCode: string;
  readonly verificationUri: string;
  readonly verificationUriComplete: string | null;
  readonly expiresInSeconds: number;
  readonly intervalSeconds: number;
}

interface Reachable {
  readonly resources: readonly {
    readonly name: string;
    readonly kind: string;
    readonly accounts: readonly {
      readonly account: string;
      readonly default: boolean;
      readonly reachable: boolean;
      readonly line: string;
      readonly short: string;
      readonly files: readonly ClientFile[];
    }[];
  }[];
}

/** How long a person may take in the browser. */
const BROWSER_MS = 5 * 60_000;

export const login: Command = {
  name: 'login',
  summary: 'Logs in with an identity provider and keeps short-lived tokens, one for the other commands and one for your clients.',
  usage: '--url https://GATEWAY:8443 [--provider P] [--device] [--no-browser] [--no-service-file] [--ca FILE] [--json]',
  options: {
    ...apiOptions,
    provider: { type: 'string' },
    device: { type: 'boolean' },
    // What is done anyway; scripts name it.
    'service-file': { type: 'boolean' },
    'no-service-file': { type: 'boolean' },
    'no-browser': { type: 'boolean' },
  },
  details: [
    '  --provider P    the identity provider, where there are several',
    '  --device        shows a code to enter on another machine, instead of opening a browser here',
    '  --no-browser    prints the address and opens nothing',
    '  --no-service-file  writes no entries; else each account that is open to you gets one in ~/.pg_service.conf (or PGSERVICEFILE), with',
    '                  sslmode=verify-full and sslrootcert, and the token as its password in ~/.pgpass (or PGPASSFILE); other entries stay',
    apiOptionDetails,
    '',
    'The tokens are kept in $XDG_CONFIG_HOME/sluice (or ~/.config/sluice), readable by you alone: `token` is the password of your clients and',
    'opens connections alone; `api-token` is for the other commands.',
  ].join('\n'),
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const url = gatewayUrl(args, io) ?? storedLogin(io)?.login.url;
    if (url === undefined) throw new UsageError('--url is missing');
    const given = args.text('ca') ?? io.env['SLUICE_CA'] ?? storedLogin(io)?.login.ca ?? null;
    const ca = given === null ? null : resolve(given);
    const client = new ApiClient(url, null, ca);
    const provider = await chooseProvider(client, args.text('provider'));
    const issued = args.flag('device')
      ? await byDevice(client, provider, io)
      : await byBrowser(client, provider, io, !args.flag('no-browser'));
    if (issued === null) {
      io.err('nobody logged in in time\n');
      return 4;
    }
    const entries = !args.flag('no-service-file');
    const login = { url, user: issued.user, expiresAt: issued.expiresAt, ca, entries };
    storeLogin(io, login, { api: issued.token, client: issued.client.token });
    const text = !args.flag('json');
    // Before the entries: whatever comes of them, the log-in stands.
    if (text) io.out(`logged in as ${visible(issued.user)} until ${new Date(issued.expiresAt).toISOString()}\n`);
    const written = entries ? await writeFiles(new ApiClient(url, issued.token, ca), io, issued.client.token, ca) : null;
    if (!text) io.out(`${JSON.stringify({ user: issued.user, expiresAt: issued.expiresAt, url, files: written?.paths ?? [] })}\n`);
    else if (written !== null) {
      for (const path of written.paths) io.out(`wrote ${path}\n`);
      for (const line of written.lines) io.out(`connect with: ${visible(line)}\n`);
      if (written.paths.length === 0)
        io.out('no account is open to you yet, so no entry was written for your clients: ask with `sluice request`, then log in again\n');
    }
    return 0;
  },
};

export const logout: Command = {
  name: 'logout',
  summary: 'Takes the tokens of this log-in back and forgets them.',
  usage: '[--json]',
  options: apiOptions,
  details: apiDetails,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    if (storedLogin(io) === null && io.env['SLUICE_TOKEN'] === undefined) {
      io.out(args.flag('json') ? '{"done":false}\n' : 'nobody is logged in\n');
      return 0;
    }
    try {
      await apiOf(args, io).post('/api/v1/logout', {});
    } catch (error) {
      // A token that is no longer good needs no taking back; one that is for connections alone is good all the same.
      if (!(error instanceof ApiFailure) || error.status !== 401 || error.code === 'token_audience') throw error;
    }
    forgetLogin(io);
    io.out(args.flag('json') ? '{"done":true}\n' : 'logged out\n');
    return 0;
  },
};

export const reachableList: Command = {
  name: 'ls',
  summary: 'Lists what you may reach, with the exact line to type.',
  usage: '[--json]',
  options: apiOptions,
  details: apiDetails,
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const client = apiOf(args, io);
    const reachable = await client.get<Reachable>('/api/v1/resources');
    const { resources } = reachable;
    const ca = args.text('ca') ?? io.env['SLUICE_CA'] ?? storedLogin(io)?.login.ca ?? null;
    const rows = resources.flatMap(({ name, kind, accounts }) =>
      accounts.map(({ account, reachable, line, ...more }) => ({
        resource: name,
        kind,
        account,
        default: more.default,
        reachable,
        line: reachable ? lineOf(line, io, ca) : `sluice request ${name} --role ${account} --for 2h --reason "..."`,
      })),
    );
    showList(args, io, {
      items: rows,
      none: 'no resource is open to you',
      header: ['RESOURCE', 'KIND', 'ACCOUNT', 'ACCESS', 'TYPE'],
      row: (row) => [row.resource, row.kind, row.account, row.reachable ? 'yes' : 'ask', row.line],
    });
    sayIfNew(reachable, client.url, io);
    return 0;
  },
};

/** Says so when accounts were opened since the log-in wrote the clients' files. */
function sayIfNew({ resources }: Reachable, url: string, io: Io): void {
  const stored = storedLogin(io)?.login;
  // Whoever brings a token along, or wanted none, has no entries.
  if (stored?.entries !== true || stored.url !== url || (io.env['SLUICE_TOKEN'] ?? '') !== '') return;
  const open = resources.flatMap(({ accounts }) => accounts.filter(({ reachable }) => reachable));
  const fresh = open.filter(({ files }) => files.some((file) => !hasEntry(file, io))).map(({ short }) => short);
  if (fresh.length > 0)
    io.err(`not yet in your clients\u2019 files: ${visible(fresh.join(', '))}; log in again to write it: sluice login\n`);
}

async function chooseProvider(client: ApiClient, wanted: string | undefined): Promise<string> {
  const { providers } = await client.get<{ readonly providers: readonly { readonly name: string }[] }>('/api/v1/login/providers');
  const names = providers.map(({ name }) => name);
  const [first] = names;
  if (first === undefined) {
    throw new GatewayError({
      code: 'provider_unknown',
      source: 'gateway',
      phase: 'login',
      publicMessage: 'this gateway has no identity provider to log in with',
      hint: 'whoever runs it can issue a token: set SLUICE_URL and SLUICE_TOKEN',
    });
  }
  if (wanted !== undefined && !names.includes(wanted)) throw new UsageError(`--provider is one of ${names.join(', ')}`);
  if (wanted === undefined && names.length > 1) throw new UsageError(`name one with --provider: ${names.join(', ')}`);
  return wanted ?? first;
}

/** Waits on the loopback interface for the code that the browser brings (RFC 8252, 7.3), and redeems it with the verifier. Null: too late. */
async function byBrowser(client: ApiClient, provider: string, io: Io, open: boolean): Promise<Issued | null> {
  const verifier = randomBytes(32).toString('base64url');
  const state = randomBytes(24).toString('base64url');
  const path = `/${randomBytes(12).toString('base64url')}`;
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    const arrived = new Promise<string>((resolve) => {
      server.on('request', (request, response) => {
        const url = new URL(request.url ?? '/', 'http://127.0.0.1');
        const code = url.searchParams.get('code');
        response.setHeader('content-type', 'text/html; charset=utf-8').setHeader('connection', 'close');
        // Another page may call this port, but knows neither the path nor the state.
        if (url.pathname !== path || url.searchParams.get('state') !== state || code === null) {
          response.writeHead(404).end('<!doctype html><title>Sluice</title><p>There is nothing here.');
          return;
        }
        response.end('<!doctype html><title>Sluice</title><h1>Logged in</h1><p>You can close this window and go back to the terminal.');
        resolve(code);
      });
    });
    const query = new URLSearchParams({
      provider,
      redirect: `http://127.0.0.1:${port}${path}`,
      challenge: createHash('sha256').update(verifier).digest('base64url'),
      state,
    });
    const address = `${client.url}/api/v1/login/begin?${query}`;
    const interrupted = interruption(io);
    io.err(`Log in at:\n\n  ${address}\n\nwaiting for the browser ...\n`);
    if (open) openBrowser(address, io);
    const code = await inTime(arrived, BROWSER_MS, interrupted);
    return code === null ? null : await client.post<Issued>('/api/v1/login/code', { code, verifier });
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

/** Shows a code, and asks until it was entered (RFC 8628). Null: too late. */
async function byDevice(client: ApiClient, provider: string, io: Io): Promise<Issued | null> {
  const begun = await client.post<DeviceBegun>('/api/v1/login/device', { provider });
  // The provider's own texts, on a terminal.
  io.err(`Open ${visible(begun.verificationUri)} on any machine and enter the code\n\n  ${visible(begun.userCode)}\n\n`);
  if (begun.verificationUriComplete !== null) io.err(`or open ${visible(begun.verificationUriComplete)}\n\n`);
  const interrupted = interruption(io);
  io.err('waiting ...\n');
  const end = Date.now() + begun.expiresInSeconds * 1000;
  let seconds = begun.intervalSeconds;
  while (Date.now() < end) {
    await inTime(new Promise<never>(() => {}), seconds * 1000, interrupted);
    const poll = await client.post<Issued | { readonly state: 'pending'; readonly intervalSeconds: number }>('/api/v1/login/device/poll', {
      id: begun.id,
    });
    if ('token' in poll) return poll;
    seconds = poll.intervalSeconds;
  }
  return null;
}

/** Rejects when the command is told to end. */
function interruption(io: Io): Promise<never> {
  const interrupted = io.stopped().then((): never => {
    throw new GatewayError({ code: 'interrupted', source: 'client', phase: 'login', publicMessage: 'interrupted: nobody was logged in' });
  });
  // Nobody may be waiting when it comes.
  interrupted.catch(() => {});
  return interrupted;
}

/** What the promise gives, or null after so long. */
async function inTime<T>(promise: Promise<T>, ms: number, interrupted: Promise<never>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms);
  });
  try {
    return await Promise.race([promise, late, interrupted]);
  } finally {
    clearTimeout(timer);
  }
}

/** Where there is a desktop; where not, the address was printed. */
function openBrowser(address: string, io: Io): void {
  if ((io.env['DISPLAY'] ?? '') === '' && (io.env['WAYLAND_DISPLAY'] ?? '') === '') return;
  const child = spawn('xdg-open', [address], { stdio: 'ignore', detached: true });
  child.on('error', () => {});
  child.unref();
}

/** An entry for each account that is open, and the lines that use them. */
async function writeFiles(
  client: ApiClient,
  io: Io,
  token: string,
  ca: string | null,
): Promise<{ readonly paths: readonly string[]; readonly lines: readonly string[] }> {
  const { resources } = await client.get<Reachable>('/api/v1/resources');
  const open = resources.flatMap(({ accounts }) => accounts.filter(({ reachable }) => reachable));
  const files = open.flatMap((account) => account.files);
  const wanted = { resource: 'resource', account: null, user: 'user', host: 'localhost', port: 1 };
  const known = [...protocols.values()].flatMap((protocol) => protocol.clientHelp(wanted).files);
  try {
    return { paths: writeClientFiles(files, known, io, { token, ca }), lines: open.map(({ short }) => short) };
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw new GatewayError({
      code: 'client_file_failed',
      source: 'client',
      phase: 'login',
      cause: error,
      publicMessage: `you are logged in, but the entries of your clients cannot be written: ${error instanceof Error ? error.message : String(error)}`,
      hint: 'mend that and log in again, or do without: sluice login --no-service-file',
    });
  }
}

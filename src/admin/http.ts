import type { HttpRequest, HttpResponse } from 'uWebSockets.js';

import type { ClientAddress } from './client-address.ts';

/** One request, read whole: nothing of the server's own objects outlives the call that handed them over. */
export interface ApiRequest {
  /** Upper case. */
  readonly method: string;
  /** As it came, percent-encoding and all. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** By lower-case name; '' when absent. */
  header(name: string): string;
  /** '' when absent. */
  cookie(name: string): string;
  /** Address of the client, in its shortest form. */
  readonly source: string;
  readonly body: Buffer;
}

export interface ApiReply {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;
  readonly headers: readonly (readonly [string, string])[];
}

const maxBodyBytes = 64 * 1024;
/** The assertion of somebody who is in many groups, signed and in base64. */
const largeBodies: ReadonlyMap<string, number> = new Map([['/api/v1/login/saml', 256 * 1024]]);

export function json(status: number, value: unknown, headers: ApiReply['headers'] = []): ApiReply {
  return { status, type: 'application/json', body: `${JSON.stringify(value)}\n`, headers };
}

export function html(status: number, body: string, headers: ApiReply['headers'] = []): ApiReply {
  return { status, type: 'text/html; charset=utf-8', body, headers };
}

/** 303: whatever the method was, what comes next is a GET. */
export function redirect(location: string, headers: ApiReply['headers'] = []): ApiReply {
  return { status: 303, type: 'text/plain; charset=utf-8', body: '', headers: [['Location', location], ...headers] };
}

/** What every answer carries. No script and no style but our own files; nobody may frame a page that decides. */
const securityHeaders: ApiReply['headers'] = [
  [
    'Content-Security-Policy',
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  ],
  ['Strict-Transport-Security', 'max-age=31536000'],
  ['X-Content-Type-Options', 'nosniff'],
  ['X-Frame-Options', 'DENY'],
  // Not `no-referrer`: browsers would then send `Origin: null` with our own forms.
  ['Referrer-Policy', 'same-origin'],
  ['Cross-Origin-Opener-Policy', 'same-origin'],
  ['Cache-Control', 'no-store'],
];

const reasons: Readonly<Record<number, string>> = {
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  204: 'No Content',
  303: 'See Other',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  426: 'Upgrade Required',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/**
 * Reads the request, hands it on, writes the answer. The server's response object may be used only until its connection is
 * gone, and only inside `cork` after the first turn: both are seen to here and nowhere else. `handle` must not reject.
 */
export function exchange(
  res: HttpResponse,
  req: HttpRequest,
  clientAddress: ClientAddress,
  handle: (request: ApiRequest) => Promise<ApiReply>,
): void {
  let gone = false;
  res.onAborted(() => {
    gone = true;
  });
  const head = req.getMethod() === 'head';
  const whole = copyRequest(res, req, clientAddress);
  const answer = (reply: ApiReply, close = false): void => {
    if (gone) return;
    gone = true;
    res.cork(() => writeReply(res, reply, head, close));
  };
  const most = largeBodies.get(whole.path) ?? maxBodyBytes;
  const tooLarge = (): void =>
    answer(json(413, { error: { code: 'too_large', message: `a body may have ${most} bytes at the most` } }), true);
  if (!framedOnce(whole)) {
    // An answer would not keep the server from reading on.
    res.close();
    return;
  }
  if (Number(whole.header('content-length')) > most) {
    tooLarge();
    return;
  }
  const chunks: Buffer[] = [];
  let length = 0;
  res.onData((chunk, last) => {
    if (gone) return;
    length += chunk.byteLength;
    if (length > most) {
      tooLarge();
      return;
    }
    // The chunk is the server's own memory, and detached once this returns.
    if (chunk.byteLength > 0) chunks.push(Buffer.from(new Uint8Array(chunk)));
    if (last) void handle({ ...whole, body: Buffer.concat(chunks) }).then((reply) => answer(reply));
  });
}

/**
 * Whether the request says once and plainly where its body ends (RFC 9112, 6.3): of two lengths the server takes the first and a
 * proxy in front may take the other, and what is body to one is a request to the other.
 */
function framedOnce(request: ApiRequest): boolean {
  const coding = request.header('transfer-encoding');
  return /^\d*$/.test(request.header('content-length')) && (coding === '' || coding.toLowerCase() === 'chunked');
}

/** What there is to know before the body. */
export function copyRequest(res: HttpResponse, req: HttpRequest, clientAddress: ClientAddress): ApiRequest {
  const headers = new Map<string, string>();
  req.forEach((name, value) => {
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : name === 'cookie' ? `${before}; ${value}` : `${before}, ${value}`);
  });
  const cookies = parseCookies(headers.get('cookie') ?? '');
  return {
    method: req.getMethod().toUpperCase(),
    path: req.getUrl(),
    query: new URLSearchParams(req.getQuery()),
    header: (name) => headers.get(name) ?? '',
    cookie: (name) => cookies.get(name) ?? '',
    source: clientAddress(Buffer.from(res.getRemoteAddressAsText()).toString('latin1'), headers.get('x-forwarded-for') ?? ''),
    body: Buffer.alloc(0),
  };
}

/** Writes an answer; to be called inside `cork`. */
export function writeReply(res: HttpResponse, reply: ApiReply, head = false, close = false): void {
  res.writeStatus(`${reply.status} ${reasons[reply.status] ?? ''}`.trimEnd());
  const own = new Set(reply.headers.map(([name]) => name.toLowerCase()));
  for (const [name, value] of securityHeaders) if (!own.has(name.toLowerCase())) res.writeHeader(name, value);
  for (const [name, value] of reply.headers) res.writeHeader(name, headerValue(value));
  res.writeHeader('Content-Type', reply.type);
  if (head) res.endWithoutBody(Buffer.byteLength(reply.body), close);
  else res.end(reply.body, close);
}

/** A line break in a header would begin another one. */
function headerValue(value: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be in a header
  return value.replace(/[\u0000-\u001f\u007f]/g, '');
}

function parseCookies(header: string): Map<string, string> {
  const cookies = new Map<string, string>();
  for (const part of header.split(';')) {
    const at = part.indexOf('=');
    if (at <= 0) continue;
    const name = part.slice(0, at).trim();
    // The first of a name is the one of the most specific path; a second one may have been planted.
    if (!cookies.has(name)) cookies.set(name, part.slice(at + 1).trim());
  }
  return cookies;
}

import { readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';

/** Answers of a provider are small: metadata, keys, tokens. */
const MAX_RESPONSE_BYTES = 1024 * 1024;
const TIMEOUT_MS = 5000;

export interface ProviderRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export type ProviderFetch = (url: string, init?: ProviderRequest) => Promise<Response>;

/**
 * A fetch for identity providers: TLS with the operator's own CA where one is given (the global fetch cannot), http only on
 * loopback, no redirects, bounded in time and size. Rejects with Error.
 */
export function providerFetch(ca: string | null): ProviderFetch {
  return (text, init = {}) => {
    const url = new URL(text);
    const secure = url.protocol === 'https:';
    if (!secure && !(url.protocol === 'http:' && isLoopback(url.hostname))) {
      return Promise.reject(new Error(`${url.origin} is neither https nor on loopback`));
    }
    const body = bodyOf(init.body);
    const options: RequestOptions & { ca?: Buffer } = {
      method: init.method ?? 'GET',
      headers: { ...init.headers, ...(body === null ? {} : { 'content-length': body.length }) },
      signal: AbortSignal.timeout(TIMEOUT_MS),
      // Read at each connection, so that a renewed file counts at once.
      ...(secure && ca !== null ? { ca: readFileSync(ca) } : {}),
    };
    return new Promise((resolve, reject) => {
      const answer = (response: IncomingMessage): void => void collect(response).then(resolve, reject);
      const request = secure ? httpsRequest(url, options, answer) : httpRequest(url, options, answer);
      request.on('error', reject);
      request.end(body ?? undefined);
    });
  };
}

/** Whether the host of a URL is this machine by its very name. */
function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

function bodyOf(body: unknown): Buffer | null {
  if (body === undefined || body === null) return null;
  if (typeof body === 'string' || body instanceof URLSearchParams) return Buffer.from(body.toString());
  if (body instanceof Uint8Array) return Buffer.from(body);
  throw new TypeError('a body of another kind than text');
}

async function collect(response: IncomingMessage): Promise<Response> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_RESPONSE_BYTES) {
      response.destroy();
      throw new Error('the answer is too large');
    }
    chunks.push(chunk);
  }
  const headers = new Headers();
  for (const [name, value] of Object.entries(response.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value);
  }
  const status = response.statusCode ?? 500;
  const empty = status === 204 || status === 304;
  return new Response(empty ? null : Buffer.concat(chunks), { status, headers });
}

import { GatewayError } from '../errors.ts';
import type { Authentication } from './authentication.ts';
import { noteRequest, questions } from './authorization.ts';
import { errorReply, refuse } from './errors.ts';
import { type ApiReply, type ApiRequest, redirect } from './http.ts';
import { type Call, matchPath, type OpenCall, type Route } from './route.ts';
import { breach, type Schema } from './schema.ts';
import type { ApiServices } from './services.ts';

export interface DispatchOptions {
  readonly services: ApiServices;
  readonly authentication: Authentication;
  /** Of the pages of this gateway, e.g. `https://gw.example.com:8443`. */
  readonly origin: string;
  readonly routes: readonly Route[];
  /** Routes that answer people: they are led to the log-in, and errors are pages. */
  readonly pages: readonly Route[];
  readonly errorPage: (status: number, error: GatewayError | null, id: string) => ApiReply;
}

/** Finds the route of a request and sees it through: input, who asks, whether they may, the answer. Never rejects. */
export class Dispatch {
  readonly #options: DispatchOptions;

  constructor(options: DispatchOptions) {
    this.#options = options;
  }

  async handle(request: ApiRequest): Promise<ApiReply> {
    const { services, routes, pages, errorPage } = this.#options;
    let page = false;
    try {
      const found = find([...routes, ...pages], request);
      page = found.page = pages.includes(found.route);
      return await this.#answer(found, request);
    } catch (error) {
      const reply = errorReply(error, services.log);
      if (!page) return reply;
      const { error: body } = JSON.parse(String(reply.body)) as { error: { id?: string } };
      return errorPage(reply.status, error instanceof GatewayError && reply.status !== 500 ? error : null, body.id ?? '');
    }
  }

  async #answer(found: Found, request: ApiRequest): Promise<ApiReply> {
    const { services, authentication, origin } = this.#options;
    const { route, params } = found;
    const open: OpenCall = { request, services, params, query: queryOf(route, request), body: bodyOf(route, request) };
    if (route.access === 'open') return route.handle(open);
    const caller = await authentication.caller(request);
    if (caller === null) {
      if (found.page && request.method !== 'POST') return redirect(`/login?back=${encodeURIComponent(request.path)}`);
      throw refuse('unauthenticated', 'log in first');
    }
    if (route.method !== 'GET') {
      const given =
        route.form === undefined ? request.header('x-csrf-token') : (new URLSearchParams(request.body.toString()).get('csrf') ?? '');
      authentication.checkIntent(request, caller, origin, given);
      authentication.countChange(caller.principal);
    }
    const call: Call = { ...open, ...caller, ...questions(services, caller.principal, request.source) };
    if (route.own !== true && route.access !== 'logged-in' && route.access !== 'grant.request') call.must(route.access);
    if (route.method !== 'GET') noteRequest(services, route, call);
    return route.handle(call);
  }
}

interface Found {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
  page: boolean;
}

function find(routes: readonly Route[], request: ApiRequest): Found {
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  let other = false;
  for (const route of routes) {
    const params = matchPath(route.path, request.path);
    if (params === null) continue;
    if (route.method === method) return { route, params, page: false };
    other = true;
  }
  throw other
    ? new GatewayError({ code: 'method_not_allowed', source: 'client', phase: 'decide', publicMessage: `${method} is not possible here` })
    : refuse('not_found', 'there is nothing here');
}

/** The query's values that the route knows; others are refused, so that a misspelt filter does not show everything. */
function queryOf(route: Route, request: ApiRequest): Record<string, string> {
  const known = route.query ?? {};
  const values: Record<string, string> = {};
  for (const [name, value] of request.query) {
    const schema = Object.hasOwn(known, name) ? known[name] : undefined;
    // What a provider adds to its answer is its own business.
    if (schema === undefined && route.query?.['*'] !== undefined) continue;
    if (schema === undefined) throw refuse('request_invalid', `the parameter ${name.slice(0, 40)} is not known here`);
    const problem = breach(schema, schema.type === 'integer' && /^-?\d{1,15}$/.test(value) ? Number(value) : value, name);
    if (problem !== null) throw refuse('request_invalid', problem);
    values[name] = value;
  }
  return values;
}

function bodyOf(route: Route, request: ApiRequest): unknown {
  if (route.form !== undefined) {
    if (mediaType(request) !== route.form) throw refuse('request_invalid', `send ${route.form}`);
    return undefined;
  }
  if (route.body === undefined) return undefined;
  if (mediaType(request) !== 'application/json') throw refuse('request_invalid', 'send application/json');
  let body: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(request.body);
    // An escape may name half of a surrogate pair, which neither the store nor the record takes.
    body = JSON.parse(text, (_name, value: unknown) => (typeof value === 'string' ? value.toWellFormed() : value));
  } catch {
    throw refuse('request_invalid', 'the body is not JSON');
  }
  return checked(route.body, body);
}

function checked(schema: Schema, body: unknown): unknown {
  const problem = breach(schema, body);
  if (problem !== null) throw refuse('request_invalid', problem);
  return body;
}

function mediaType(request: ApiRequest): string {
  return (request.header('content-type').split(';')[0] ?? '').trim().toLowerCase();
}

import type { AdminAction, GrantFacts } from '../policy/admin-vocabulary.ts';
import type { Principal } from '../policy/model.ts';
import type { ApiReply, ApiRequest } from './http.ts';
import type { Schema } from './schema.ts';
import type { ApiServices } from './services.ts';

/** What is asked of policy by its name alone. */
type PlainAction = Exclude<AdminAction, 'grant.request'>;

/** A request to a route, with what was found in its path, query and body: checked against the route's schemas already. */
export interface OpenCall {
  readonly request: ApiRequest;
  readonly services: ApiServices;
  /** From the path, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  /** Of the route's body schema; undefined when it has none. */
  readonly body: unknown;
}

/** The same from somebody who has proved who they are. */
export interface Call extends OpenCall {
  /** With the groups of their grants, as of now. */
  readonly principal: Principal;
  /** As their credential says, without grants: what may go into another credential, which would outlive them. */
  readonly bare: Principal;
  /** Of the browser's session; '' when a token was presented. */
  readonly csrf: string;
  /** Whether policy allows them this; `resource` is '' where it is about none. */
  may(action: PlainAction, resource?: string): boolean;
  /** As `may`; throws Forbidden, and leaves a line in the record. */
  must(action: PlainAction, resource?: string): void;
  /** As `must`, for a service key that carries these groups. */
  mustManageKey(groups: readonly string[]): void;
  /** As `must`, for a request of a grant; it may be one that people have to decide on. */
  mustRequest(resource: string, facts: GrantFacts): void;
}

interface RouteBase {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** `/api/v1/things/{id}`. */
  readonly path: string;
  /** Name of the operation in the document. */
  readonly id: string;
  readonly summary: string;
  readonly query?: Readonly<Record<string, Schema>>;
  readonly body?: Schema;
  /** A body that is no JSON, by its media type: the handler reads it. */
  readonly form?: string;
  readonly replies: Readonly<Record<number, { readonly description: string; readonly schema?: Schema; readonly type?: string }>>;
}

/** Anybody may call it. */
export interface OpenRoute extends RouteBase {
  readonly access: 'open';
  handle(call: OpenCall): Promise<ApiReply> | ApiReply;
}

export interface ClosedRoute extends RouteBase {
  /** `logged-in`: whoever is known. Else an action: who policy allows it. */
  readonly access: 'logged-in' | AdminAction;
  /** Whoever is known may call it, for what is theirs; for the rest the handler asks for the action itself. */
  readonly own?: true;
  handle(call: Call): Promise<ApiReply> | ApiReply;
}

export type Route = OpenRoute | ClosedRoute;

/** The action that a route asks policy for, if any. */
export function actionOf(route: Route): AdminAction | null {
  if (route.access === 'open' || route.access === 'logged-in') return null;
  return route.access;
}

/** The values of a path against a template, or null when it is another one. A part that cannot be decoded matches nothing. */
export function matchPath(template: string, path: string): Record<string, string> | null {
  const wanted = template.split('/');
  const given = path.split('/');
  if (wanted.length !== given.length) return null;
  const params: Record<string, string> = {};
  for (const [i, part] of wanted.entries()) {
    const value = given[i] ?? '';
    if (part.startsWith('{') && part.endsWith('}')) {
      const decoded = decode(value);
      if (decoded === null || decoded === '') return null;
      params[part.slice(1, -1)] = decoded;
    } else if (part !== value) return null;
  }
  return params;
}

function decode(text: string): string | null {
  try {
    const decoded = decodeURIComponent(text);
    // No name has one, and the store takes no text with one.
    return decoded.includes('\0') ? null : decoded;
  } catch {
    return null;
  }
}

/** How the API writes down what access and identity know. The schemas are of the objects as they are. */
import { boolean, integer, list, object, oneOf, type Schema, string, strings, time, timeOrNull } from './schema.ts';

const approvers = list(object({ group: string, needed: integer }));

const vote = object({
  approver: string,
  issuer: string,
  groups: strings,
  decision: oneOf('approve', 'deny'),
  reason: string,
  at: time,
});

export const approvalStates = ['pending', 'approved', 'denied', 'expired', 'cancelled', 'lost', 'used'] as const;
export const grantStates = ['pending', 'active', 'denied', 'expired', 'revoked', 'cancelled'] as const;

const person = object({ name: string, issuer: string, subject: string });

export const approvalSchema: Schema = object({
  id: string,
  state: oneOf(...approvalStates),
  mode: oneOf('wait', 'retry'),
  gateway: string,
  sid: string,
  requester: person,
  source: string,
  reason: string,
  resource: string,
  account: string,
  action: string,
  objects: strings,
  policies: strings,
  approvers,
  statement: string,
  params: strings,
  estimate: object({ rows: { type: 'number' }, unavailable: string }, ['rows', 'unavailable']),
  rowBudget: { type: ['integer', 'null'] },
  votes: list(vote),
  createdAt: time,
  expiresAt: timeOrNull,
  decidedAt: timeOrNull,
});

export const grantSchema: Schema = object({
  id: string,
  state: oneOf(...grantStates),
  user: person,
  resource: string,
  role: string,
  seconds: integer,
  reason: string,
  ticket: string,
  breakGlass: boolean,
  approvers,
  votes: list(vote),
  createdAt: time,
  startsAt: timeOrNull,
  expiresAt: {
    ...timeOrNull,
    description: 'milliseconds since the epoch; of a pending one when the request lapses, of others when it ends',
  },
  lastUsedAt: timeOrNull,
  ended: { ...object({ by: string, issuer: string, reason: string, at: time }), type: ['object', 'null'] },
});

export const liveSessionSchema: Schema = object({
  gateway: string,
  sid: string,
  protocol: string,
  user: string,
  issuer: string,
  subject: string,
  kind: oneOf('user', 'service'),
  groups: strings,
  resource: string,
  account: string,
  source: string,
  startedAt: time,
  busy: boolean,
  operations: integer,
  denied: integer,
  masked: { type: 'object', additionalProperties: integer },
  grants: strings,
});

export const tokenSchema: Schema = object({
  id: string,
  name: string,
  kind: oneOf('user', 'service'),
  issuer: string,
  subject: string,
  provider: string,
  /** `connect` or `api`; null: everything. */
  audience: { type: ['string', 'null'] },
  issuedAt: time,
  expiresAt: time,
  lastUsedAt: timeOrNull,
});

export const keySchema: Schema = object({
  id: string,
  service: string,
  groups: strings,
  createdBy: string,
  createdAt: time,
  expiresAt: time,
  lastUsedAt: timeOrNull,
  replacedBy: { type: ['string', 'null'] },
  state: oneOf('open', 'replaced', 'expired', 'revoked'),
});

export const issuedSchema: Schema = object({ token: string, id: string, expiresAt: time, user: string });

const tokenOnce = object({ token: string, id: string, expiresAt: time });

/** After a log-in. */
export const loggedInSchema: Schema = object({
  token: { ...string, description: 'for the API alone' },
  id: string,
  expiresAt: time,
  user: string,
  client: { ...tokenOnce, description: 'for clients that connect to resources, alone; ends with the other' },
});

export const principalSchema: Schema = object({
  kind: oneOf('user', 'service'),
  name: string,
  issuer: string,
  subject: string,
  groups: strings,
  credential: object({ kind: string, id: string, expiresAt: time }),
  csrf: { type: 'string', description: "of a browser's session: what X-CSRF-Token has to be; else empty" },
});

export const eventSchema: Schema = object({
  type: string,
  at: time,
  gateway: string,
  sid: string,
  user: string,
  resource: string,
  line: integer,
  detail: { type: 'object' },
});

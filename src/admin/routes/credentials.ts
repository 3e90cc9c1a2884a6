import { issuersOf, issuersOfRevoked } from '../../access/known-users.ts';
import type { IdentityConfig } from '../../config/model.ts';
import { GatewayError } from '../../errors.ts';
import type { TokenPart } from '../../identity/model.ts';
import type { Principal } from '../../policy/model.ts';
import { recorded } from '../authorization.ts';
import { refuse } from '../errors.ts';
import { json } from '../http.ts';
import type { Call, Route } from '../route.ts';
import { boolean, list, object, oneOf, string, strings, text, time } from '../schema.ts';
import { issuedSchema, keySchema, tokenSchema } from '../shapes.ts';
import { reasonSchema } from './approvals.ts';

const done = { 200: { description: 'done', schema: object({ done: boolean }) } };
const userBody = object(
  {
    name: text(128, undefined, 1),
    issuer: text(512, 'under whom alone; without it: under all gateways, and the one identity provider that has a user of the name', 1),
    reason: reasonSchema,
  },
  ['issuer', 'reason'],
);
const userDone = {
  200: { description: 'done, to whom, under which issuers', schema: object({ done: boolean, name: string, issuers: strings }) },
};
/** A credential for less than a minute is a mistake. */
const seconds = { type: 'integer', minimum: 60, maximum: 366 * 86_400 } as const;

/** Tokens, users and keys: what can be taken back, and by whom. */
export const credentialRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/api/v1/tokens',
    id: 'listTokens',
    summary: 'Tokens and log-ins that are open: your own, and with token.revoke all',
    access: 'token.revoke',
    own: true,
    query: { user: text(128), limit: { type: 'integer', minimum: 1, maximum: 500, default: 100 } },
    replies: { 200: { description: 'the tokens; never their content', schema: object({ tokens: list(tokenSchema) }) } },
    async handle(call) {
      const all = call.may('token.revoke');
      const user = all ? call.query['user'] : call.principal.name;
      const found = await call.services.tokens.list({ limit: Number(call.query['limit'] ?? 100), ...(user === undefined ? {} : { user }) });
      return json(200, { tokens: found.filter((token) => all || isHolder(call.principal, token)) });
    },
  },
  {
    method: 'POST',
    path: '/api/v1/tokens',
    id: 'issueToken',
    summary: 'A token for yourself, for clients that know passwords only',
    access: 'token.issue',
    body: object(
      {
        ttlSeconds: seconds,
        audience: { ...oneOf('connect', 'api'), description: 'what it is good for; default: connections to resources', default: 'connect' },
      },
      ['ttlSeconds', 'audience'],
    ),
    replies: { 201: { description: 'the token: it is shown this once', schema: issuedSchema } },
    async handle(call) {
      const { ttlSeconds, audience = 'connect' } = call.body as { readonly ttlSeconds?: number; readonly audience?: TokenPart };
      // A token must not outlive what it was made with, or who was to lose access at an hour could keep it by asking again.
      const left = Math.floor((call.principal.credential.expiresAt - call.services.now()) / 1000);
      if (left < 1) throw refuse('unauthenticated', 'the log-in has expired');
      const most = Math.min(left, call.services.config.identity.tokenSeconds);
      const issued = await call.services.logins.issueFor(call.bare, { ttlSeconds: Math.min(ttlSeconds ?? most, most), audience });
      await recorded(call.services);
      return json(201, { ...issued, user: call.principal.name });
    },
  },
  {
    method: 'POST',
    path: '/api/v1/tokens/{id}/revoke',
    id: 'revokeToken',
    summary: 'Takes a token back and ends the sessions that stand on it; your own at any time',
    access: 'token.revoke',
    own: true,
    body: object({ reason: reasonSchema }, ['reason']),
    replies: {
      200: {
        description: 'done; `known` is false where no such token is on record: it is refused should anybody present it',
        schema: object({ done: boolean, known: boolean }),
      },
    },
    async handle(call) {
      const id = call.params['id'] ?? '';
      const token = await call.services.tokens.get(id);
      if (token === null || !isHolder(call.principal, token)) call.must('token.revoke');
      // One that this store does not know may still exist: tokens of the command line and of providers are in no store.
      if (token === null && !isTokenId(id, call.services.config.identity)) throw noToken(id);
      await call.services.access.revocations.revokeCredential(id, call.principal, reasonOf(call));
      await recorded(call.services);
      return json(200, { done: true, known: token !== null });
    },
  },
  {
    method: 'GET',
    path: '/api/v1/revocations',
    id: 'listRevocations',
    summary: 'What has been taken back: users and credentials',
    access: 'user.revoke',
    replies: {
      200: {
        description: 'the revocations',
        schema: object({
          revocations: list(object({ kind: oneOf('user', 'credential'), id: string, by: string, reason: string, at: time })),
        }),
      },
    },
    handle: async (call) => json(200, { revocations: await call.services.access.revocations.list() }),
  },
  {
    method: 'POST',
    path: '/api/v1/users/revoke',
    id: 'revokeUser',
    summary: 'Ends everything that stands on a user, and lets them in no more',
    access: 'user.revoke',
    body: userBody,
    replies: userDone,
    async handle(call) {
      const { access, store, config } = call.services;
      const { name, issuer: given } = call.body as { readonly name: string; readonly issuer?: string };
      const issuers = given === undefined ? await issuersOf(store, access.live, name, config.gateway.name) : [given];
      for (const issuer of issuers) await access.revocations.revokeUser(name, issuer, call.principal, reasonOf(call));
      await recorded(call.services);
      return json(200, { done: true, name, issuers });
    },
  },
  {
    method: 'POST',
    path: '/api/v1/users/restore',
    id: 'restoreUser',
    summary: 'Lets a user in again who had been revoked',
    access: 'user.revoke',
    body: userBody,
    replies: userDone,
    async handle(call) {
      const { access, store, config } = call.services;
      const { name, issuer: given } = call.body as { readonly name: string; readonly issuer?: string };
      const issuers = given === undefined ? await issuersOfRevoked(store, name, config.gateway.name) : [given];
      for (const issuer of issuers) await access.revocations.restoreUser(name, issuer, call.principal, reasonOf(call));
      await recorded(call.services);
      return json(200, { done: true, name, issuers });
    },
  },
  {
    method: 'GET',
    path: '/api/v1/keys',
    id: 'listKeys',
    summary: 'Keys of service accounts, with their last use',
    access: 'key.manage',
    replies: { 200: { description: 'the keys; never their content', schema: object({ keys: list(keySchema) }) } },
    handle: async (call) => json(200, { keys: await call.services.serviceKeys.list() }),
  },
  {
    method: 'POST',
    path: '/api/v1/keys',
    id: 'createKey',
    summary: 'A key for a service account',
    access: 'key.manage',
    body: object({ service: text(128, undefined, 1), groups: { ...strings, maxItems: 50 }, ttlSeconds: seconds }),
    replies: { 201: { description: 'the key: it is shown this once', schema: object({ key: keySchema, secret: string }) } },
    async handle(call) {
      const wanted = call.body as { readonly service: string; readonly groups: readonly string[]; readonly ttlSeconds: number };
      call.mustManageKey(wanted.groups);
      const made = await call.services.serviceKeys.create({ ...wanted, by: call.principal });
      await recorded(call.services);
      return json(201, made);
    },
  },
  {
    method: 'POST',
    path: '/api/v1/keys/{id}/rotate',
    id: 'rotateKey',
    summary: 'A new key in place of one, which goes on for a while',
    access: 'key.manage',
    body: object({ overlapSeconds: { type: 'integer', minimum: 0, maximum: 30 * 86_400 } }, ['overlapSeconds']),
    replies: { 201: { description: 'the new key: it is shown this once', schema: object({ key: keySchema, secret: string }) } },
    async handle(call) {
      const { overlapSeconds = 3600 } = call.body as { readonly overlapSeconds?: number };
      const id = call.params['id'] ?? '';
      // Whoever rotates a key holds the new one, and with it what the key may do.
      const old = (await call.services.serviceKeys.list()).find((key) => key.id === id);
      call.mustManageKey(old?.groups ?? []);
      const made = await call.services.serviceKeys.rotate(id, overlapSeconds, call.principal);
      await recorded(call.services);
      return json(201, made);
    },
  },
  {
    method: 'POST',
    path: '/api/v1/keys/{id}/revoke',
    id: 'revokeKey',
    summary: 'Ends a key and the sessions that stand on it',
    access: 'key.manage',
    body: object({ reason: reasonSchema }, ['reason']),
    replies: done,
    async handle(call) {
      await call.services.serviceKeys.revoke(call.params['id'] ?? '', call.principal, reasonOf(call));
      await recorded(call.services);
      return json(200, { done: true });
    },
  },
];

function reasonOf(call: Call): string {
  return call.services.mask((call.body as { readonly reason?: string }).reason ?? '');
}

/** A provider names its tokens as it likes, but no two alike: what is shorter is somebody's mistake. */
const SHORTEST_FOREIGN_ID = 16;

/** Whether a token that is on no record may have the id: one of `token issue`, or one of a provider whose tokens are taken. */
function isTokenId(id: string, { oidc }: IdentityConfig): boolean {
  if (/^(login-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) return true;
  // The id of a service key.
  if (/^[0-9a-f]{16}$/.test(id)) return false;
  return oidc.some(({ tokens }) => tokens !== null) && (id.length >= SHORTEST_FOREIGN_ID || /@\d+$/.test(id));
}

function noToken(id: string): GatewayError {
  return new GatewayError({
    code: 'token_unknown',
    source: 'client',
    phase: 'decide',
    publicMessage: `there is no token ${id}, and no token has such an id`,
    hint: 'sluice tokens ls lists the ids; keys of services end with: sluice keys revoke',
  });
}

function isHolder(principal: Principal, token: { readonly issuer: string; readonly subject: string }): boolean {
  return token.issuer === principal.issuer && token.subject === principal.subject;
}

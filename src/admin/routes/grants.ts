import type { Grant, GrantState, Grants } from '../../access/model.ts';
import { formatDuration } from '../../config/values.ts';
import type { Principal } from '../../policy/model.ts';
import { recorded } from '../authorization.ts';
import { mustBePerson, refuse, refuseOwn } from '../errors.ts';
import { json } from '../http.ts';
import type { Call, Route } from '../route.ts';
import { boolean, list, object, oneOf, text } from '../schema.ts';
import { grantSchema, grantStates } from '../shapes.ts';
import { madeKeyOf, reasonSchema } from './approvals.ts';

type Wanted = Pick<Grant, 'resource' | 'role' | 'seconds' | 'reason' | 'ticket' | 'breakGlass'>;

export const grantRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/api/v1/grants',
    id: 'listGrants',
    summary: 'Grants, newest first: your own, those you may decide, and with grant.list all',
    access: 'grant.list',
    own: true,
    query: { state: oneOf(...grantStates), user: text(128), limit: { type: 'integer', minimum: 1, maximum: 500, default: 100 } },
    replies: { 200: { description: 'the grants', schema: object({ grants: list(grantSchema) }) } },
    async handle(call) {
      const { state, user, limit } = call.query;
      const grants = await listGrants(call, {
        limit: Number(limit ?? 100),
        ...(state === undefined ? {} : { state: state as GrantState }),
        ...(user === undefined ? {} : { user }),
      });
      return json(200, { grants });
    },
  },
  {
    method: 'POST',
    path: '/api/v1/grants',
    id: 'requestGrant',
    summary: 'Asks for an account of a resource for the duration of a task',
    access: 'grant.request',
    own: true,
    body: object(
      {
        resource: text(64, undefined, 1),
        role: text(64, 'an account of the resource', 1),
        seconds: { type: 'integer', minimum: 1 },
        reason: text(1000, undefined, 1),
        ticket: text(128),
        breakGlass: { ...boolean, description: 'taken at once; two others have to confirm it afterwards' },
      },
      ['ticket', 'breakGlass'],
    ),
    replies: { 201: { description: 'the request', schema: grantSchema } },
    async handle(call) {
      const wanted = call.body as Omit<Wanted, 'ticket' | 'breakGlass'> & Partial<Wanted>;
      const { access, config, mask } = call.services;
      const resource = config.resources.find(({ name }) => name === wanted.resource);
      if (resource === undefined) throw refuse('request_invalid', 'there is no resource of that name');
      if (!resource.accounts.has(wanted.role))
        throw refuse('request_invalid', `the roles of ${resource.name} are ${[...resource.accounts.keys()].join(', ')}`);
      const most = config.access.grants.maxSeconds;
      if (wanted.seconds > most) throw refuse('request_invalid', `a grant lasts ${formatDuration(most)} at the most`);
      call.mustRequest(resource.name, { role: wanted.role, seconds: wanted.seconds, breakGlass: wanted.breakGlass ?? false });
      const grant = await access.grants.request(call.principal, {
        resource: resource.name,
        role: wanted.role,
        seconds: wanted.seconds,
        reason: mask(wanted.reason),
        ticket: mask(wanted.ticket ?? ''),
        breakGlass: wanted.breakGlass ?? false,
      });
      await recorded(call.services);
      return json(201, grant);
    },
  },
  {
    method: 'GET',
    path: '/api/v1/grants/{id}',
    id: 'getGrant',
    summary: 'One grant',
    access: 'grant.list',
    own: true,
    replies: { 200: { description: 'the grant', schema: grantSchema } },
    handle: async (call) => json(200, await findGrant(call)),
  },
  {
    method: 'POST',
    path: '/api/v1/grants/{id}/decision',
    id: 'decideGrant',
    summary: 'Approves or denies a request, or confirms what was taken by break-glass',
    access: 'grant.decide',
    own: true,
    body: object({ decision: oneOf('approve', 'deny'), reason: reasonSchema }, ['reason']),
    replies: { 200: { description: 'the grant as it is now', schema: grantSchema } },
    async handle(call) {
      const { decision, reason } = call.body as { readonly decision: 'approve' | 'deny'; readonly reason?: string };
      return json(200, await decideGrant(call, decision, reason ?? ''));
    },
  },
  {
    method: 'POST',
    path: '/api/v1/grants/{id}/revoke',
    id: 'revokeGrant',
    summary: 'Ends a grant and the sessions that stand on it; your own at any time',
    access: 'grant.revoke',
    own: true,
    body: object({ reason: reasonSchema }, ['reason']),
    replies: { 200: { description: 'the grant as it is now', schema: grantSchema } },
    async handle(call) {
      const { reason } = call.body as { readonly reason?: string };
      return json(200, await revokeGrant(call, reason ?? ''));
    },
  },
];

/** Those that the caller may see: their own, those they are asked about, and with grant.list all. */
export async function listGrants(call: Call, filter: Parameters<Grants['list']>[0]): Promise<readonly Grant[]> {
  const found = await call.services.access.grants.list(filter);
  return found.filter((grant) => concerns(call.principal, grant) || call.may('grant.list', grant.resource));
}

/** The grant that the path names. Who may not see it is told that there is none. */
export async function findGrant(call: Call): Promise<Grant> {
  const grant = await call.services.access.grants.get(call.params['id'] ?? '');
  if (grant === null || !(concerns(call.principal, grant) || call.may('grant.list', grant.resource)))
    throw refuse('not_found', 'there is no such grant');
  return grant;
}

export async function decideGrant(call: Call, decision: 'approve' | 'deny', reason: string): Promise<Grant> {
  const grant = await findGrant(call);
  mustBePerson(call.principal);
  if (await madeKeyOf(call, grant.user)) refuseOwn('grant');
  call.must('grant.decide', grant.resource);
  const { access, mask } = call.services;
  const decided = await access.grants.decide(grant.id, call.principal, decision, mask(reason));
  await recorded(call.services);
  return decided;
}

export async function revokeGrant(call: Call, reason: string): Promise<Grant> {
  const grant = await findGrant(call);
  if (!isHolder(call.principal, grant)) call.must('grant.revoke', grant.resource);
  const { access, mask } = call.services;
  const revoked = await access.grants.revoke(grant.id, call.principal, mask(reason));
  await recorded(call.services);
  return revoked;
}

function concerns(principal: Principal, grant: Grant): boolean {
  return isHolder(principal, grant) || grant.approvers.some(({ group }) => principal.groups.includes(group));
}

export function isHolder(principal: Principal, { user }: Grant): boolean {
  return user.issuer === principal.issuer && user.subject === principal.subject;
}

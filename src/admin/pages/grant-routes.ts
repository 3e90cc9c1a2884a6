import type { Grant } from '../../access/model.ts';
import { awaitsVotes } from '../../access/votes.ts';
import { GatewayError } from '../../errors.ts';
import { refuse } from '../errors.ts';
import { type ApiReply, redirect } from '../http.ts';
import type { Call, Route } from '../route.ts';
import { decideGrant, findGrant, isHolder, listGrants, revokeGrant } from '../routes/grants.ts';
import { grantPage, grantsPage } from './grants.ts';
import { form, ownPage, pageOf, reasonOf } from './page-route.ts';

/** Most grants of each kind that the list shows. */
const most = 500;
const ended = 200;

/** Pages for grants: the list for the access review, and one to decide on and to end. The rights are those of the API's routes. */
export const grantPageRoutes: readonly Route[] = [
  {
    ...pageOf('/grants', 'grantsPage'),
    access: 'grant.list',
    own: true,
    handle: async (call) => ownPage(call, 'Grants', grantsPage(await review(call))),
  },
  {
    ...pageOf('/grants/{id}', 'grantPage'),
    access: 'grant.list',
    own: true,
    handle: (call) => detail(call),
  },
  {
    ...pageOf('/grants/{id}', 'decideOnGrantPage'),
    method: 'POST',
    form,
    access: 'grant.decide',
    own: true,
    handle: (call) =>
      change(call, (given) => {
        const decision = given.get('decision');
        if (decision !== 'approve' && decision !== 'deny') throw refuse('request_invalid', 'say approve or deny');
        return decideGrant(call, decision, reasonOf(given));
      }),
  },
  {
    ...pageOf('/grants/{id}/revoke', 'revokeGrantPage'),
    method: 'POST',
    form,
    access: 'grant.revoke',
    own: true,
    handle: (call) => change(call, (given) => revokeGrant(call, reasonOf(given))),
  },
];

/** Asked for by kind: what is in force, or still to be decided, must not be missing because newer ones have ended. */
async function review(call: Call): Promise<readonly Grant[]> {
  const lists = [
    await listGrants(call, { state: 'pending', limit: most }),
    await listGrants(call, { state: 'active', limit: most }),
    await listGrants(call, { breakGlass: true, limit: most }),
    await listGrants(call, { limit: ended }),
  ];
  const grants = new Map(lists.flat().map((grant) => [grant.id, grant]));
  return [...grants.values()].sort((a, b) => b.createdAt - a.createdAt);
}

/** Does it, and shows the grant as it is then; or what it was refused for. */
async function change(call: Call, work: (given: URLSearchParams) => Promise<Grant>): Promise<ApiReply> {
  try {
    await work(new URLSearchParams(call.request.body.toString()));
  } catch (error) {
    if (!(error instanceof GatewayError) || error.source !== 'client' || error.code === 'not_found') throw error;
    return detail(call, error);
  }
  return redirect(`/grants/${encodeURIComponent(call.params['id'] ?? '')}`);
}

async function detail(call: Call, error?: GatewayError): Promise<ApiReply> {
  const grant = await findGrant(call);
  const { principal } = call;
  const open = grant.state === 'active' || grant.state === 'pending';
  const main = grantPage({
    grant,
    csrf: call.csrf,
    mayDecide: awaitsVotes(grant, grant.votes) ? mayDecide(call, grant) : null,
    mayRevoke: open && (isHolder(principal, grant) || call.may('grant.revoke', grant.resource)),
    ...(error === undefined ? {} : { problem: error.publicMessage }),
  });
  return { ...ownPage(call, 'Grant', main), status: error === undefined ? 200 : error.code === 'forbidden' ? 403 : 409 };
}

function mayDecide({ principal, may }: Call, grant: Grant): true | string {
  if (isHolder(principal, grant) || principal.name === grant.user.name) return 'You asked for it yourself, so others decide.';
  if (grant.votes.some(({ approver }) => approver === principal.name)) return 'You have voted; others have to as well.';
  if (!grant.approvers.some(({ group }) => principal.groups.includes(group))) return 'You are in none of the groups that are asked.';
  if (principal.kind !== 'user') return 'Only people decide.';
  return may('grant.decide', grant.resource) || 'No policy lets you decide.';
}

import { GatewayError } from '../../errors.ts';
import type { Authentication } from '../authentication.ts';
import { refuse } from '../errors.ts';
import { type ApiReply, redirect } from '../http.ts';
import type { Call, Route } from '../route.ts';
import { decideApproval, findApproval, isRequester, listApprovals, rowBudgetOf } from '../routes/approvals.ts';
import { localPath, logout } from '../routes/login.ts';
import { text } from '../schema.ts';
import { detailPage, listPage } from './approvals.ts';
import { icon, script, stylesheet } from './assets.ts';
import { grantPageRoutes } from './grant-routes.ts';
import { html } from './html.ts';
import { page } from './layout.ts';
import { form, ownPage, pageOf, reasonOf } from './page-route.ts';

/** What people see in a browser. Everything here also works without scripts. */
export function pageRoutes(authentication: Authentication): readonly Route[] {
  return [
    { ...pageOf('/', 'home'), access: 'open', handle: () => redirect('/approvals') },
    asset('/assets/sluice.css', 'text/css; charset=utf-8', stylesheet),
    asset('/assets/sluice.svg', 'image/svg+xml', icon),
    asset('/assets/sluice.js', 'text/javascript; charset=utf-8', script),
    {
      ...pageOf('/login', 'loginPage'),
      access: 'open',
      query: { back: text(1000) },
      handle(call) {
        const back = localPath(call.query['back'] ?? '/approvals');
        const providers = call.services.logins.providers();
        return page(200, {
          title: 'Log in',
          main:
            providers.length === 0
              ? html`<h1>Log in</h1><p role="alert">This gateway has no identity provider to log in with.</p>`
              : html`<h1>Log in</h1><ul class="plain">${providers.map(
                  ({ name }) =>
                    html`<li><a href="/api/v1/login/begin?${new URLSearchParams({ provider: name, back }).toString()}">Log in with ${name}</a></li>`,
                )}</ul>`,
        });
      },
    },
    {
      ...pageOf('/logout', 'logoutPage'),
      method: 'POST',
      form,
      access: 'logged-in',
      async handle(call) {
        const { headers } = await logout(authentication, call);
        return redirect('/login', headers);
      },
    },
    {
      ...pageOf('/approvals', 'approvalsPage'),
      access: 'approval.list',
      own: true,
      async handle(call) {
        // Asked for by themselves: what waits must not be missing because newer ones have been decided, or taken back by whoever asked.
        const waiting = await listApprovals(call, { state: 'pending', limit: 500 });
        const latest = await listApprovals(call, { limit: 200 });
        return ownPage(call, 'Approvals', listPage([...waiting, ...latest.filter(({ state }) => state !== 'pending')]));
      },
    },
    {
      ...pageOf('/approvals/{id}', 'approvalPage'),
      access: 'approval.list',
      own: true,
      handle: (call) => detail(call),
    },
    {
      ...pageOf('/approvals/{id}', 'decideOnPage'),
      method: 'POST',
      form,
      access: 'approval.decide',
      own: true,
      async handle(call) {
        const given = new URLSearchParams(call.request.body.toString());
        const decision = given.get('decision');
        try {
          if (decision !== 'approve' && decision !== 'deny') throw refuse('request_invalid', 'say approve or deny');
          await decideApproval(call, decision, reasonOf(given), rowBudgetOf(given.get('rowBudget') ?? ''));
        } catch (error) {
          if (!(error instanceof GatewayError) || error.source !== 'client' || error.code === 'not_found') throw error;
          return detail(call, error);
        }
        return redirect(`/approvals/${encodeURIComponent(call.params['id'] ?? '')}`);
      },
    },
    ...grantPageRoutes,
  ];
}

async function detail(call: Call, error?: GatewayError): Promise<ApiReply> {
  const approval = await findApproval(call);
  const { principal } = call;
  const voted = approval.votes.some((vote) => vote.approver === principal.name && vote.issuer === principal.issuer);
  const mayDecide = isRequester(principal, approval)
    ? 'You asked for it yourself, so others decide.'
    : voted
      ? 'You have voted; others have to as well.'
      : !approval.approvers.some(({ group }) => principal.groups.includes(group))
        ? 'You are in none of the groups that are asked.'
        : call.may('approval.decide', approval.resource) || 'No policy lets you decide.';
  const main = detailPage({
    approval,
    csrf: call.csrf,
    mayDecide,
    ...(error === undefined ? {} : { problem: error.publicMessage }),
  });
  return { ...ownPage(call, 'Approval', main), status: error === undefined ? 200 : error.code === 'forbidden' ? 403 : 409 };
}

function asset(path: string, type: string, body: string): Route {
  return {
    ...pageOf(path, path),
    access: 'open',
    handle: () => ({ status: 200, type, body, headers: [['Cache-Control', 'public, max-age=300']] }),
  };
}

import type { Approval, ApprovalState, Approvals } from '../../access/model.ts';
import { SERVICE_KEY_ISSUER } from '../../identity/service-keys.ts';
import type { Principal } from '../../policy/model.ts';
import { recorded } from '../authorization.ts';
import { mustBePerson, refuse, refuseOwn } from '../errors.ts';
import { json } from '../http.ts';
import type { Call, Route } from '../route.ts';
import { list, object, oneOf, text } from '../schema.ts';
import { approvalSchema, approvalStates } from '../shapes.ts';

interface DecisionBody {
  readonly decision: 'approve' | 'deny';
  readonly reason?: string;
  readonly rowBudget?: number | null;
}

export const reasonSchema = text(1000);
const maxRows = 2 ** 40;

export const approvalRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/api/v1/approvals',
    id: 'listApprovals',
    summary: 'Requests for approval, newest first: your own, those you may decide, and with approval.list all',
    access: 'approval.list',
    own: true,
    query: {
      state: oneOf(...approvalStates),
      limit: { type: 'integer', minimum: 1, maximum: 500, default: 100 },
      before: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    },
    replies: { 200: { description: 'the requests', schema: object({ approvals: list(approvalSchema) }) } },
    async handle(call) {
      const { state, limit, before } = call.query;
      const approvals = await listApprovals(call, {
        limit: Number(limit ?? 100),
        ...(state === undefined ? {} : { state: state as ApprovalState }),
        ...(before === undefined ? {} : { before: Number(before) }),
      });
      return json(200, { approvals });
    },
  },
  {
    method: 'GET',
    path: '/api/v1/approvals/{id}',
    id: 'getApproval',
    summary: 'One request for approval',
    access: 'approval.list',
    own: true,
    replies: { 200: { description: 'the request', schema: approvalSchema } },
    handle: async (call) => json(200, await findApproval(call)),
  },
  {
    method: 'POST',
    path: '/api/v1/approvals/{id}/decision',
    id: 'decideApproval',
    summary: 'Approves or denies, as a member of a group that is asked; never by the requester',
    access: 'approval.decide',
    own: true,
    body: object(
      {
        decision: oneOf('approve', 'deny'),
        reason: reasonSchema,
        rowBudget: { type: ['integer', 'null'], minimum: 0, maximum: maxRows, description: 'most rows it may touch before it is aborted' },
      },
      ['reason', 'rowBudget'],
    ),
    replies: { 200: { description: 'the request as it is now', schema: approvalSchema } },
    async handle(call) {
      const { decision, reason, rowBudget } = call.body as DecisionBody;
      return json(200, await decideApproval(call, decision, reason ?? '', rowBudget ?? null));
    },
  },
];

/** Those that the caller may see: their own, those they are asked about, and with approval.list all. */
export async function listApprovals(call: Call, filter: Parameters<Approvals['list']>[0]): Promise<readonly Approval[]> {
  const found = await call.services.access.approvals.list(filter);
  const may = new Map<string, boolean>();
  return found.filter((approval) => {
    if (concerns(call.principal, approval)) return true;
    let seen = may.get(approval.resource);
    if (seen === undefined) {
      seen = call.may('approval.list', approval.resource);
      may.set(approval.resource, seen);
    }
    return seen;
  });
}

/** The request that the path names. Who may not see it is told that there is none. */
export async function findApproval(call: Call): Promise<Approval> {
  const approval = await call.services.access.approvals.get(call.params['id'] ?? '');
  if (approval === null || !(concerns(call.principal, approval) || call.may('approval.list', approval.resource)))
    throw refuse('not_found', 'there is no such request for approval');
  return approval;
}

export async function decideApproval(
  call: Call,
  decision: 'approve' | 'deny',
  reason: string,
  rowBudget: number | null,
): Promise<Approval> {
  const approval = await findApproval(call);
  mustBePerson(call.principal);
  if (await madeKeyOf(call, approval.requester)) refuseOwn('approval');
  call.must('approval.decide', approval.resource);
  const { access, mask } = call.services;
  const decided =
    rowBudget === null
      ? await access.approvals.decide(approval.id, call.principal, decision, mask(reason))
      : await access.approvals.decide(approval.id, call.principal, decision, mask(reason), rowBudget);
  await recorded(call.services);
  return decided;
}

/** Whether the caller made a key of the service that asks: whoever made it may hold it, and be the one who asked. */
export async function madeKeyOf(call: Call, requester: { readonly name: string; readonly issuer: string }): Promise<boolean> {
  if (requester.issuer !== SERVICE_KEY_ISSUER) return false;
  const keys = await call.services.serviceKeys.list();
  return keys.some(({ service, createdBy }) => service === requester.name && createdBy === call.principal.name);
}

/** The rows that a budget in a form stands for; null: none was given. */
export function rowBudgetOf(text: string): number | null {
  if (text.trim() === '') return null;
  const rows = /^\d{1,13}$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (!(rows <= maxRows)) throw refuse('request_invalid', 'the row budget is not a number of rows');
  return rows;
}

/** Whoever asked, and whoever is asked. */
function concerns(principal: Principal, approval: Approval): boolean {
  return isRequester(principal, approval) || approval.approvers.some(({ group }) => principal.groups.includes(group));
}

export function isRequester(principal: Principal, { requester }: Pick<Approval, 'requester'>): boolean {
  return requester.issuer === principal.issuer && requester.subject === principal.subject;
}

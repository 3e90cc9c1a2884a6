import { randomBytes } from 'node:crypto';
import type { Insertable, Kysely, Selectable } from 'kysely';
import type { Store } from '../store/model.ts';
import type { ApprovalTable, ControlSchema, VoteTable } from '../store/schema.ts';
import type { Approval, ApprovalQuestion, ApprovalState } from './model.ts';
import { storable } from './texts.ts';
import { votesOf, voteView } from './votes.ts';

/** Approvals between the store's form and the gateway's. */

export type ApprovalRow = Selectable<ApprovalTable>;

/** An id that can be typed and stands in a command line without quotes. */
export function newRequestId(): string {
  return randomBytes(8).toString('hex');
}

export function approvalRow(
  question: ApprovalQuestion,
  rest: {
    readonly id: string;
    readonly gateway: string;
    readonly process: string;
    readonly digest: Uint8Array;
    readonly createdAt: number;
    readonly expiresAt: number | null;
  },
): Insertable<ApprovalTable> {
  const { principal, target } = question;
  return {
    id: rest.id,
    state: 'pending',
    mode: question.mode,
    gateway: rest.gateway,
    process: rest.process,
    sid: question.sid,
    requester: JSON.stringify({ name: principal.name, issuer: principal.issuer, subject: principal.subject }),
    source: question.source,
    reason: storable(question.reason),
    resource: target.resource,
    account: target.account,
    action: question.action,
    objects: JSON.stringify(question.objects),
    policies: JSON.stringify(question.policies),
    approvers: JSON.stringify(question.approvers),
    statement: storable(question.statement),
    params: JSON.stringify(question.params.map((param) => storable(param))),
    estimate: JSON.stringify(question.estimate),
    digest: rest.digest,
    row_budget: null,
    created_at: rest.createdAt,
    expires_at: rest.expiresAt,
    decided_at: null,
  };
}

export function approvalView(row: ApprovalRow, votes: readonly Selectable<VoteTable>[]): Approval {
  return {
    id: row.id,
    state: row.state as ApprovalState,
    mode: row.mode as Approval['mode'],
    gateway: row.gateway,
    sid: row.sid,
    requester: row.requester,
    source: row.source,
    reason: row.reason,
    resource: row.resource,
    account: row.account,
    action: row.action,
    objects: row.objects,
    policies: row.policies,
    approvers: row.approvers,
    statement: row.statement,
    params: row.params,
    estimate: row.estimate as Approval['estimate'],
    rowBudget: row.row_budget,
    votes: votes.map(voteView),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    decidedAt: row.decided_at,
  };
}

export async function withVotes(db: Kysely<ControlSchema>, rows: readonly ApprovalRow[]): Promise<Approval[]> {
  const votes = await votesOf(
    db,
    'approval_votes',
    rows.map(({ id }) => id),
  );
  return rows.map((row) => approvalView(row, votes.get(row.id) ?? []));
}

/**
 * What an approval is bound to: who, on what, exactly which text and binds, and which objects they meant (another search_path
 * would mean others), and who has to approve it (other policies may ask for more). While the operation waits also the session.
 */
export function questionDigest(store: Pick<Store, 'digest'>, question: ApprovalQuestion): Buffer {
  const { principal, target, mode, sid, exact, action, objects, approvers } = question;
  const words = [
    principal.issuer,
    principal.subject,
    target.resource,
    target.account,
    action,
    JSON.stringify([...objects].sort()),
    JSON.stringify(approvers.map(({ group, needed }) => [group, needed]).sort()),
  ];
  return store.digest([...words.map((word) => Buffer.from(word, 'utf8')), ...exact], mode === 'wait' ? `approval ${sid}` : 'approval');
}

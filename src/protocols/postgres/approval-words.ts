import type { Approval, ApprovalOutcome, PendingApproval } from '../../access/model.ts';
import type { GatewayError } from '../../errors.ts';
import type { Decision } from '../../policy/model.ts';
import { jsonString } from '../../recording/json.ts';
import { errorResponse, noticeResponse } from './messages.ts';

/** What the client and the record are told about approvals. */

type NeedsApproval = Decision & { kind: 'approve' };

/** An operation that will not run, and what its client gets. */
export interface Refused {
  /** How it ended: `denied`, `expired`, `cancelled`, `lost`, `retry`, `unavailable`, `insufficient` or `not-asked`. */
  readonly state: string;
  /** Id of the request; '' when there is none. */
  readonly approval: string;
  readonly message: string;
  readonly hint: string;
  readonly response: Buffer;
}

export function refused(state: string, approval: string, code: string, message: string, hint: string): Refused {
  return { state, approval, message, hint, response: errorResponse({ severity: 'ERROR', code, message, hint }) };
}

/** The client is told that it waits, for whom, and how to stop waiting. */
export function waitingNotice(decision: NeedsApproval, pending: PendingApproval): Buffer {
  const { id, expiresAt, createdAt } = pending.approval;
  const within = expiresAt === null ? '' : `, within ${duration(expiresAt - createdAt)}`;
  return noticeResponse({
    severity: 'NOTICE',
    code: '00000',
    message: `waiting for approval by ${groups(decision)}${within}: request ${id}`,
    detail: decision.message,
    hint: `${decideAt(pending)}. Cancel the statement (Ctrl-C) to withdraw the request.${askForReason(pending)}`,
  });
}

/** To be sent again once approved: for transactions, whose locks nobody should hold meanwhile, and for drivers that cannot wait. */
export function retryRefusal(decision: NeedsApproval, pending: PendingApproval, inTransaction: boolean): Refused {
  const { id } = pending.approval;
  const first = inTransaction ? 'roll back, and once it is approved send it again' : 'once it is approved, send it again';
  const message = `denied until approved by ${groups(decision)}: request ${id}`;
  return refused(
    'retry',
    id,
    '42501',
    message,
    `${first}, exactly as it was: it then runs once. ${decideAt(pending)}.${askForReason(pending)}`,
  );
}

export function refusalOf(outcome: Exclude<ApprovalOutcome, { state: 'approved' }>): Refused {
  const { approval, state } = outcome;
  const again = 'sending the statement again asks again';
  switch (state) {
    case 'denied': {
      const vote = approval.votes.find((one) => one.decision === 'deny');
      const by = vote === undefined ? '' : ` by ${vote.approver}${vote.reason === '' ? '' : `: ${vote.reason}`}`;
      return refused(state, approval.id, '42501', `approval request ${approval.id} was denied${by}`, again);
    }
    case 'expired':
      return refused(state, approval.id, '42501', `nobody approved request ${approval.id} in time`, again);
    case 'cancelled':
      return refused(state, approval.id, '57014', 'canceling statement due to user request', '');
    case 'lost':
      return refused(
        state,
        approval.id,
        '42501',
        `approval request ${approval.id} was lost: the gateway cannot tell whether it was decided, so nothing ran`,
        again,
      );
  }
}

/** It could not even be asked for. */
export function unavailableRefusal(decision: NeedsApproval, error: GatewayError): Refused {
  const message = `denied: it needs approval by ${groups(decision)}, which cannot be asked for: ${error.publicMessage}`;
  return refused('unavailable', '', '42501', message, error.hint ?? 'try again later');
}

/** Members that tie an intent to its approval. */
export function approvedMembers(approval: Approval, approvedBy: readonly string[], policies: readonly string[]): string {
  const list = (texts: readonly string[]): string => `[${texts.map(jsonString).join(',')}]`;
  const approvers = approval.votes.filter((vote) => vote.decision === 'approve').map((vote) => vote.approver);
  return `,"policies":${list(policies)},"approval":${jsonString(approval.id)},"approvers":${list(approvers)},"approvedBy":${list(approvedBy)}`;
}

/** Members of what may pass because it runs nothing: what it names needs approval whenever it runs. */
export function neededMembers(decision: NeedsApproval): string {
  return `,"policies":[${decision.policies.map(jsonString).join(',')}],"approval":"needed"`;
}

const groups = (decision: NeedsApproval): string =>
  decision.approvers.map(({ group, needed }) => (needed > 1 ? `${needed} of "${group}"` : `"${group}"`)).join(' and ');

const decideAt = ({ approval, url }: PendingApproval): string =>
  url === '' ? `An approver decides with: sluice approvals approve ${approval.id}` : `It is decided at ${url}`;

/** Approvers like to know why. */
const askForReason = ({ approval }: PendingApproval): string =>
  approval.reason === ''
    ? " To say why, SET sluice.reason = '...' before it, or connect with options='-c sluice.reason=...' (a blank in it is written as \\ and a blank)."
    : '';

function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} minutes` : `${Math.round(minutes / 60)} hours`;
}

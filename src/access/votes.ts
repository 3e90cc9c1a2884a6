import type { Insertable, Kysely, Selectable } from 'kysely';
import { GatewayError } from '../errors.ts';
import { SERVICE_KEY_ISSUER } from '../identity/service-keys.ts';
import type { ApproverGroup, Principal } from '../policy/model.ts';
import type { ControlSchema, VoteTable } from '../store/schema.ts';
import type { ApprovalVote } from './model.ts';
import { storable } from './texts.ts';

/** Who may vote and what the votes come to: the same for approvals of operations and for grants. */

type Subject = { readonly name: string; readonly issuer: string; readonly subject: string };
type Kind = 'approval' | 'grant';
type VoteTableName = 'approval_votes' | 'grant_votes';

/** Longest reason that is kept. */
const MAX_REASON = 1_000;
/** States in which what was taken by break-glass may still be confirmed. */
const CONFIRMABLE: readonly string[] = ['active', 'expired', 'revoked'];

/** A person may come by another issuer, or as a token of the command line, under the same name. */
export function samePerson(a: Subject, b: Subject): boolean {
  return a.name === b.name || (a.issuer === b.issuer && a.subject === b.subject);
}

/**
 * A vote of a principal who may give one. Throws GatewayError `person_required`, `<kind>_own`, `<kind>_not_yours`, `<kind>_voted`. Asked
 * here as well as by whoever takes the decision from outside: no way to it may come past this.
 */
export async function castVote(
  db: Kysely<ControlSchema>,
  kind: Kind,
  request: { readonly id: string; readonly requester: Subject; readonly approvers: readonly ApproverGroup[] },
  votes: readonly Selectable<VoteTable>[],
  vote: {
    readonly by: Principal;
    readonly groups: readonly string[];
    readonly decision: 'approve' | 'deny';
    readonly reason: string;
    readonly at: number;
  },
): Promise<Selectable<VoteTable>> {
  const { by } = vote;
  // A service's key can be made and held by whoever asked, who would then decide for himself.
  if (by.kind !== 'user') throw refusal('person_required', 'only people decide on requests', 'log in as yourself');
  if (samePerson(by, request.requester) || (await madeKeyOf(db, by, request.requester)))
    throw refusal(`${kind}_own`, 'nobody decides on a request of their own, nor of a service whose key they made');
  const groups = request.approvers.map(({ group }) => group).filter((group) => vote.groups.includes(group));
  if (groups.length === 0)
    throw refusal(
      `${kind}_not_yours`,
      'you are in none of the groups that decide on this request',
      `it is decided by ${request.approvers.map(({ group }) => group).join(', ')}`,
    );
  if (votes.some((other) => samePerson(by, { name: other.approver, issuer: other.issuer, subject: other.subject })))
    throw refusal(`${kind}_voted`, 'you have decided on this request already');
  return {
    request: request.id,
    approver: by.name,
    issuer: by.issuer,
    subject: by.subject,
    groups,
    decision: vote.decision,
    reason: storable(vote.reason, MAX_REASON),
    at: vote.at,
  };
}

/** Whether somebody made a key of the service that asks: who made it may hold it, and be the one who asked. */
async function madeKeyOf(db: Kysely<ControlSchema>, by: Principal, requester: Subject): Promise<boolean> {
  if (requester.issuer !== SERVICE_KEY_ISSUER) return false;
  const made = await db
    .selectFrom('service_keys')
    .select('id')
    .where('service', '=', requester.name)
    .where('created_by', '=', by.name)
    .limit(1)
    .executeTakeFirst();
  return made !== undefined;
}

/** Whether every group has as many approvals as it needs. One person counts for each group they are in. */
export function approved(approvers: readonly ApproverGroup[], votes: readonly Pick<ApprovalVote, 'decision' | 'groups'>[]): boolean {
  return approvers.every(
    ({ group, needed }) => votes.filter((vote) => vote.decision === 'approve' && vote.groups.includes(group)).length >= needed,
  );
}

/**
 * Whether a grant waits for somebody to decide on it: a request, or what was taken by break-glass and has been neither confirmed nor
 * denied, also when it is over.
 */
export function awaitsVotes(
  grant: { readonly state: string; readonly breakGlass: boolean; readonly approvers: readonly ApproverGroup[] },
  votes: readonly Pick<ApprovalVote, 'decision' | 'groups'>[],
): boolean {
  if (!grant.breakGlass) return grant.state === 'pending';
  return CONFIRMABLE.includes(grant.state) && !approved(grant.approvers, votes) && !votes.some(({ decision }) => decision === 'deny');
}

/** Votes by request, oldest first. */
export async function votesOf(
  db: Kysely<ControlSchema>,
  table: VoteTableName,
  requests: readonly string[],
): Promise<ReadonlyMap<string, readonly Selectable<VoteTable>[]>> {
  const votes = new Map<string, Selectable<VoteTable>[]>();
  if (requests.length === 0) return votes;
  const rows = await db
    .selectFrom(table)
    .selectAll()
    .where('request', 'in', [...requests])
    .orderBy('at')
    .orderBy('issuer')
    .execute();
  for (const row of rows) votes.set(row.request, [...(votes.get(row.request) ?? []), row]);
  return votes;
}

export function voteRow(vote: Selectable<VoteTable>): Insertable<VoteTable> {
  return { ...vote, groups: JSON.stringify(vote.groups) };
}

export function voteView(vote: Selectable<VoteTable>): ApprovalVote {
  const { approver, issuer, groups, decision, reason, at } = vote;
  return { approver, issuer, groups, decision, reason, at };
}

/** An error that says what the one who asked may not do. */
export function refusal(code: string, publicMessage: string, hint?: string): GatewayError {
  return new GatewayError({ code, source: 'client', phase: 'decide', publicMessage, ...(hint === undefined ? {} : { hint }) });
}

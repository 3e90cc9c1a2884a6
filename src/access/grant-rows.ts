import type { Kysely, Selectable } from 'kysely';
import type { ControlSchema, GrantTable, VoteTable } from '../store/schema.ts';
import type { Grant, GrantState } from './model.ts';
import { votesOf, voteView } from './votes.ts';

/** Grants between the store's form and the gateway's. */

export type GrantRow = Selectable<GrantTable>;

export function grantView(row: GrantRow, votes: readonly Selectable<VoteTable>[]): Grant {
  return {
    id: row.id,
    state: row.state as GrantState,
    user: { name: row.user_name, issuer: row.user_issuer, subject: row.user_subject },
    resource: row.resource,
    role: row.role,
    seconds: row.seconds,
    reason: row.reason,
    ticket: row.ticket,
    breakGlass: row.break_glass,
    approvers: row.approvers,
    votes: votes.map(voteView),
    createdAt: row.created_at,
    startsAt: row.starts_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
    ended: row.ended ?? null,
  };
}

export async function grantsWithVotes(db: Kysely<ControlSchema>, rows: readonly GrantRow[]): Promise<Grant[]> {
  const votes = await votesOf(
    db,
    'grant_votes',
    rows.map(({ id }) => id),
  );
  return rows.map((row) => grantView(row, votes.get(row.id) ?? []));
}

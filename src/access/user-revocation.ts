import { type Kysely, sql, type Transaction } from 'kysely';
import { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';
import type { ControlSchema } from '../store/schema.ts';

/** What a user's revocation means for what is there already, and for what comes at the same moment. */

/** The clocks of gateways are a second apart at most (docs/store.md), */
const GATEWAY_AHEAD_MS = 1_000;
/** and that of an identity provider a minute, as its tokens are taken. */
const PROVIDER_AHEAD_MS = 60_000;

/** An issuer holds no space. */
export function userId(name: string, issuer: string): string {
  return `${issuer} ${name}`;
}

/**
 * Whether a credential may be from before its user was last revoked. When it was issued is what another clock says, which may be
 * ahead of the one that timed the revocation: what is within that distance counts as from before.
 */
export function mayPredate({ credential }: Principal, revokedAt: number): boolean {
  const ahead = credential.kind === 'oidc-token' ? PROVIDER_AHEAD_MS : GATEWAY_AHEAD_MS;
  return !((credential.issuedAt ?? 0) - ahead > revokedAt);
}

/** Whether a user was revoked since `at`, or may have been: what was asked for until then is not theirs any more, restored or not. */
export async function wasRevokedSince(db: Kysely<ControlSchema>, name: string, issuer: string, at: number): Promise<boolean> {
  const id = userId(name, issuer);
  const before = await db.selectFrom('revoked_before').select('at').where('id', '=', id).executeTakeFirst();
  return before !== undefined && at - GATEWAY_AHEAD_MS <= before.at;
}

/**
 * Until the transaction ends, nobody revokes the user, and nobody else holds this: what is inserted under it is either there when a
 * revocation looks for what to end, or sees the revocation.
 */
export async function lockUser(db: Transaction<ControlSchema>, id: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`sluice user ${id}`}, 0))`.execute(db);
}

/** Throws GatewayError `revoked`, by what the store says now. Under lockUser. */
export async function refuseRevoked(db: Kysely<ControlSchema>, principal: Principal): Promise<void> {
  const id = userId(principal.name, principal.issuer);
  const row = await db.selectFrom('revocations').select('id').where('kind', '=', 'user').where('id', '=', id).executeTakeFirst();
  const before = await db.selectFrom('revoked_before').select('at').where('id', '=', id).executeTakeFirst();
  if (row !== undefined || (before !== undefined && mayPredate(principal, before.at))) throw revoked();
}

export function revoked(): GatewayError {
  return new GatewayError({
    code: 'revoked',
    source: 'client',
    phase: 'login',
    publicMessage: 'access was revoked',
    hint: 'log in again, or ask whoever runs the gateway',
  });
}

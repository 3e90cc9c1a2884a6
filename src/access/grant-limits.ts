import { type Kysely, sql } from 'kysely';
import type { Principal } from '../policy/model.ts';
import type { ControlSchema } from '../store/schema.ts';
import { grantsWithVotes } from './grant-rows.ts';
import { awaitsVotes, refusal } from './votes.ts';

/** How much one person may ask for before others have looked at it. */

/** Requests of one person that may wait at once: approvers cannot be flooded. */
export const MAX_PENDING_GRANTS = 20;
/** What one person took by break-glass and nobody has confirmed yet: of one resource, */
export const MAX_UNCONFIRMED_OF_RESOURCE = 1;
/** and in all. */
export const MAX_UNCONFIRMED = 3;

/**
 * Throws GatewayError `grant_too_many`, `grant_unconfirmed`. In the transaction that then inserts: until it ends the person's next
 * request waits, so of many at once no more pass than of many in a row.
 */
export async function refuseTooMany(
  db: Kysely<ControlSchema>,
  by: Pick<Principal, 'name' | 'issuer' | 'subject'>,
  wanted: { readonly resource: string; readonly breakGlass: boolean },
): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`sluice grants ${by.name}`}, 0))`.execute(db);
  // As samePerson: by tokens of n command lines nobody is n persons.
  const own = db
    .selectFrom('grants')
    .where(({ eb, or, and }) =>
      or([eb('user_name', '=', by.name), and([eb('user_issuer', '=', by.issuer), eb('user_subject', '=', by.subject)])]),
    );
  if (!wanted.breakGlass) {
    const { count } = await own
      .select((select) => select.fn.countAll<number>().as('count'))
      .where('state', '=', 'pending')
      .executeTakeFirstOrThrow();
    if (Number(count) >= MAX_PENDING_GRANTS)
      throw refusal(
        'grant_too_many',
        `${count} of your requests are undecided`,
        'wait until some of them are decided, or take some back: sluice grants ls --state pending, sluice grants revoke ID',
      );
    return;
  }
  const taken = await own.selectAll().where('break_glass', '=', true).execute();
  const open = (await grantsWithVotes(db, taken)).filter((grant) => awaitsVotes(grant, grant.votes));
  const same = open.filter(({ resource }) => resource === wanted.resource);
  if (same.length < MAX_UNCONFIRMED_OF_RESOURCE && open.length < MAX_UNCONFIRMED) return;
  const waiting = same.length >= MAX_UNCONFIRMED_OF_RESOURCE ? same : open;
  const groups = [...new Set(waiting.flatMap(({ approvers }) => approvers.map(({ group }) => group)))];
  throw refusal(
    'grant_unconfirmed',
    `what you took by break-glass before is not confirmed yet: ${waiting.map(({ id, resource }) => `${id} (${resource})`).join(', ')}`,
    `have it confirmed by ${groups.join(', ')}, or ask without break-glass`,
  );
}

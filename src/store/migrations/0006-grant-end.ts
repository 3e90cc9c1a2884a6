import { type Kysely, sql } from 'kysely';

/** Who ended a grant before its time, and why. Of those that ended before this only the record knows. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table grants add column ended jsonb`.execute(db);
}

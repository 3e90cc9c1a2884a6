import { type Kysely, sql } from 'kysely';

/** What each token is for. Those that were given out before this are for everything. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table issued_tokens add column audience text`.execute(db);
}

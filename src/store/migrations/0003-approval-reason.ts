import { type Kysely, sql } from 'kysely';

/** Why somebody asks. Nobody said so of the requests that are there already. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table approvals add column reason text not null default ''`.execute(db);
}

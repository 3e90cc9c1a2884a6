import { type Kysely, sql } from 'kysely';

/** When each user was last revoked. It stays when the user is restored: what was given out before does not come back. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create table revoked_before (id text primary key, at bigint not null)`.execute(db);
  await sql`insert into revoked_before (id, at) select id, at from revocations where kind = 'user'`.execute(db);
}

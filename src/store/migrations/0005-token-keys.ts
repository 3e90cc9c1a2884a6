import { type Kysely, sql } from 'kysely';

/** The public keys by which the gateways of one store take each other's tokens. One key an issuer. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create table token_keys (
    issuer text primary key, public_key bytea not null, mac bytea not null, process text not null, published_at bigint not null,
    seen_at bigint not null)`.execute(db);
}

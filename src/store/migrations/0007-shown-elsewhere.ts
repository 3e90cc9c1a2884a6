import { type Kysely, sql } from 'kysely';

const STATEMENTS = [
  // What gateways answer to one that asks for their open sessions; gone once it is read.
  `create table session_answers (
    request text not null, process text not null, sessions text not null, at bigint not null, primary key (request, process))`,
  // The latest alerts of every gateway. The record has them all.
  'create table alerts (id bigint generated always as identity primary key, gateway text not null, at bigint not null, event text not null)',
  'create index alerts_at on alerts (at)',
];

/** What each gateway shows of the others. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

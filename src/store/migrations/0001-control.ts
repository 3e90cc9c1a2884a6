import { type Kysely, sql } from 'kysely';

/** The first schema. Never changed once released: what comes later is another migration. */
const STATEMENTS = [
  // A value sealed with the key of the store: a gateway with another key finds out before it seals anything.
  'create table seal_check (id int primary key check (id = 1), sealed bytea not null)',
  `create table users (
    issuer text not null, subject text not null, name text not null, kind text not null, groups jsonb not null,
    first_seen bigint not null, last_seen bigint not null,
    primary key (issuer, subject), unique (name))`,
  `create table revocations (
    kind text not null, id text not null, revoked_by text not null, reason text not null, at bigint not null,
    primary key (kind, id))`,
  `create table service_keys (
    id text primary key, service text not null, groups jsonb not null, digest bytea not null, created_by text not null,
    created_at bigint not null, expires_at bigint not null, last_used_at bigint, replaced_by text)`,
  `create table login_attempts (
    id text primary key, kind text not null, sealed bytea not null, created_at bigint not null, expires_at bigint not null)`,
  `create table web_sessions (
    digest bytea primary key, principal jsonb not null, csrf text not null, created_at bigint not null, last_used_at bigint not null,
    expires_at bigint not null)`,
  `create table issued_tokens (
    id text primary key, issuer text not null, subject text not null, name text not null, kind text not null, provider text not null,
    refresh bytea, issued_at bigint not null, expires_at bigint not null, last_used_at bigint)`,
  'create index issued_tokens_owner on issued_tokens (issuer, subject)',
  'create index issued_tokens_name on issued_tokens (name)',
  'create index issued_tokens_watched on issued_tokens (id) where refresh is not null',
  `create table approvals (
    id text primary key, state text not null, mode text not null, gateway text not null, process text not null, sid text not null,
    requester jsonb not null, source text not null, resource text not null, account text not null, action text not null,
    objects jsonb not null, policies jsonb not null, approvers jsonb not null, statement text not null, params jsonb not null,
    estimate jsonb not null, digest bytea not null, row_budget bigint, created_at bigint not null, expires_at bigint,
    decided_at bigint)`,
  'create index approvals_created on approvals (created_at)',
  "create index approvals_open on approvals (process) where state in ('pending', 'approved')",
  "create index approvals_digest on approvals (digest) where state in ('pending', 'approved')",
  `create table approval_votes (
    request text not null references approvals (id) on delete cascade,
    approver text not null, issuer text not null, subject text not null, groups jsonb not null, decision text not null,
    reason text not null, at bigint not null,
    primary key (request, issuer, subject))`,
  `create table grants (
    id text primary key, state text not null, user_name text not null, user_issuer text not null, user_subject text not null,
    resource text not null, role text not null, seconds int not null, reason text not null, ticket text not null,
    break_glass boolean not null, approvers jsonb not null, created_at bigint not null, starts_at bigint, expires_at bigint,
    last_used_at bigint)`,
  'create index grants_created on grants (created_at)',
  "create index grants_open on grants (state) where state in ('pending', 'active')",
  `create table grant_votes (
    request text not null references grants (id) on delete cascade,
    approver text not null, issuer text not null, subject text not null, groups jsonb not null, decision text not null,
    reason text not null, at bigint not null,
    primary key (request, issuer, subject))`,
  `create table gateways (
    process text primary key, gateway text not null, started_at bigint not null, seen_at bigint not null)`,
];

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

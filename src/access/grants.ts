import type { Config } from '../config/model.ts';
import { formatDuration } from '../config/values.ts';
import { adminQuestion } from '../policy/admin-vocabulary.ts';
import type { ApproverGroup, PolicyEngine, Principal } from '../policy/model.ts';
import type { Store } from '../store/model.ts';
import { ActiveGrants } from './active-grants.ts';
import { newRequestId } from './approval-rows.ts';
import type { AccessLog, Audit } from './audit.ts';
import { refuseTooMany } from './grant-limits.ts';
import { type GrantRow, grantsWithVotes, grantView } from './grant-rows.ts';
import type { Grant, Grants, LiveSession, LiveSessions } from './model.ts';
import type { Schedule } from './schedule.ts';
import { storable } from './texts.ts';
import { lockUser, refuseRevoked, userId } from './user-revocation.ts';
import { approved, awaitsVotes, castVote, refusal, samePerson, voteRow, votesOf } from './votes.ts';

export interface GrantOptions {
  readonly store: Store;
  readonly audit: Audit;
  readonly live: Pick<LiveSessions, 'list'>;
  readonly config: Pick<Config, 'resources' | 'access'>;
  readonly policy: () => PolicyEngine;
  readonly now: () => number;
  readonly schedule: Schedule;
  readonly log: AccessLog;
}

type Wanted = Parameters<Grants['request']>[1];

/** Break-glass is confirmed by so many others afterwards, */
const CONFIRMERS = 2;
/** of this group where the policies name none. */
const CONFIRMING_GROUP = 'dba';
const MAX_TEXT = 1_000;
/** The last use is written at most so often, ms. */
const USED_EVERY_MS = 10_000;

/** Grants in the store, and those in force in memory. */
export class StoreGrants implements Grants {
  readonly #options: GrantOptions;
  readonly #active: ActiveGrants;
  readonly #used = new Map<string, number>();
  readonly #work = new Set<Promise<unknown>>();
  /** What the store says is taken over one after another: an older answer must not come after a newer one. */
  #last: Promise<void> = Promise.resolve();

  constructor(options: GrantOptions) {
    this.#options = options;
    const { live, now, schedule } = options;
    this.#active = new ActiveGrants({ live, now, schedule, onExpired: (id) => this.#spawn(this.#expire(id)) });
  }

  async request(by: Principal, wanted: Wanted): Promise<Grant> {
    const { store, audit, now, config } = this.#options;
    audit.check();
    this.#validate(wanted);
    const { state, approvers, policies } = this.#decision(by, wanted);
    const at = now();
    const active = state === 'active';
    const row = await store.transaction(async (db) => {
      await lockUser(db, userId(by.name, by.issuer));
      await refuseRevoked(db, by);
      await refuseTooMany(db, by, wanted);
      return db
        .insertInto('grants')
        .values({
          id: newRequestId(),
          state,
          user_name: by.name,
          user_issuer: by.issuer,
          user_subject: by.subject,
          resource: wanted.resource,
          role: wanted.role,
          seconds: wanted.seconds,
          reason: storable(wanted.reason),
          ticket: storable(wanted.ticket),
          break_glass: wanted.breakGlass,
          approvers: JSON.stringify(approvers),
          created_at: at,
          starts_at: active ? at : null,
          // A request lapses once it is older than any grant may be.
          expires_at: at + (active ? wanted.seconds : config.access.grants.maxSeconds) * 1000,
          last_used_at: null,
        })
        .returningAll()
        .executeTakeFirstOrThrow();
    });
    const grant = grantView(row, []);
    const { resource, role, seconds, reason, ticket, breakGlass, user } = grant;
    const members = { user, resource, role, seconds, reason, ticket, breakGlass, approvers, policies, state };
    this.#note(grant, wanted.breakGlass ? 'break-glass' : 'request', members, { reason, ticket });
    await audit.recorded();
    // In force only once that is recorded.
    await this.#take(row);
    await this.#tell(grant.id);
    return grant;
  }

  async decide(id: string, by: Principal, decision: 'approve' | 'deny', reason: string): Promise<Grant> {
    const { store, audit, now } = this.#options;
    audit.check();
    const groups = [...by.groups, ...this.groupsOf(by).map(({ group }) => group)];
    const { row, votes, vote } = await store.transaction(async (db) => {
      const row = await db.selectFrom('grants').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
      if (row === undefined) throw refusal('grant_unknown', 'there is no such grant');
      const at = now();
      const before = (await votesOf(db, 'grant_votes', [id])).get(id) ?? [];
      if (!awaitsVotes({ state: row.state, breakGlass: row.break_glass, approvers: row.approvers }, before))
        throw refusal('grant_decided', `the grant is ${row.state} already`);
      if (row.state === 'pending' && row.expires_at !== null && row.expires_at <= at)
        throw refusal('grant_decided', 'the time to decide has run out');
      const requester = { name: row.user_name, issuer: row.user_issuer, subject: row.user_subject };
      const vote = await castVote(db, 'grant', { id, requester, approvers: row.approvers }, before, { by, groups, decision, reason, at });
      await db.insertInto('grant_votes').values(voteRow(vote)).execute();
      const votes = [...before, vote];
      const state = stateAfter(row, decision, approved(row.approvers, votes));
      if (state === row.state) return { row, votes, vote };
      const times = state === 'active' ? { starts_at: at, expires_at: at + row.seconds * 1000 } : {};
      const changed = await db
        .updateTable('grants')
        .set({ state, ...times })
        .where('id', '=', id)
        .where('state', '=', row.state)
        .returningAll()
        .executeTakeFirstOrThrow();
      return { row: changed, votes, vote };
    });
    const grant = grantView(row, votes);
    const voter = { name: vote.approver, issuer: vote.issuer, subject: vote.subject };
    const members = { by: voter, groups: vote.groups, decision, reason: vote.reason, state: grant.state };
    this.#note(grant, grant.breakGlass ? 'confirm' : 'vote', members, { by: vote.approver, decision });
    await audit.recorded();
    await this.#take(row);
    await this.#tell(id);
    return grant;
  }

  async revoke(id: string, by: Principal, reason: string): Promise<Grant> {
    const { store, audit, now } = this.#options;
    audit.check();
    const grant = await this.get(id);
    if (grant === null) throw refusal('grant_unknown', 'there is no such grant');
    const to = grant.state === 'pending' ? 'cancelled' : 'revoked';
    const why = storable(reason, MAX_TEXT);
    const ended = { by: by.name, issuer: by.issuer, reason: why, at: now() };
    const row = await store.db
      .updateTable('grants')
      .set({ state: to, ended: JSON.stringify(ended) })
      .where('id', '=', id)
      .where('state', '=', to === 'cancelled' ? 'pending' : 'active')
      .returningAll()
      .executeTakeFirst();
    if (row === undefined) throw refusal('grant_decided', `the grant is ${grant.state} already`);
    const who = { name: by.name, issuer: by.issuer, subject: by.subject };
    // Before what follows, which may wait for a disk or a network.
    await this.#take(row);
    this.#note(grant, to, { by: who, reason: why, own: samePerson(by, grant.user) }, { by: by.name, reason: why });
    await audit.recorded();
    await this.#tell(id);
    return { ...grant, state: to, ended };
  }

  /** Ends for good all that a user has or asks for. */
  async revokeUser(name: string, issuer: string, by: { readonly name: string; readonly issuer?: string }, reason: string): Promise<void> {
    const { store, audit, now } = this.#options;
    const why = storable(reason, MAX_TEXT);
    const ended = { by: by.name, issuer: by.issuer ?? '', reason: why, at: now() };
    const rows = await store.db
      .updateTable('grants')
      .set({ state: 'revoked', ended: JSON.stringify(ended) })
      .where('user_name', '=', name)
      .where('user_issuer', '=', issuer)
      .where('state', 'in', ['pending', 'active'])
      .returningAll()
      .execute();
    for (const row of rows) await this.#take(row);
    for (const row of rows) this.#note(grantView(row, []), 'revoked', { by, reason: why, own: false }, { by: by.name, reason: why });
    await audit.recorded();
    for (const { id } of rows) await this.#tell(id);
  }

  async list(filter: Parameters<Grants['list']>[0]): Promise<readonly Grant[]> {
    const { db } = this.#options.store;
    let query = db.selectFrom('grants').selectAll().orderBy('created_at', 'desc').orderBy('id').limit(filter.limit);
    if (filter.state !== undefined) query = query.where('state', '=', filter.state);
    if (filter.user !== undefined) query = query.where('user_name', '=', filter.user);
    if (filter.breakGlass !== undefined) query = query.where('break_glass', '=', filter.breakGlass);
    return grantsWithVotes(db, await query.execute());
  }

  async get(id: string): Promise<Grant | null> {
    const { db } = this.#options.store;
    const row = await db.selectFrom('grants').selectAll().where('id', '=', id).executeTakeFirst();
    return row === undefined ? null : ((await grantsWithVotes(db, [row]))[0] ?? null);
  }

  groupsOf(principal: Principal): readonly { readonly group: string; readonly grant: string; readonly expiresAt: number }[] {
    return this.#active.groupsOf(principal);
  }

  used(grant: string): void {
    const at = this.#options.now();
    if (at - (this.#used.get(grant) ?? Number.NEGATIVE_INFINITY) < USED_EVERY_MS) return;
    this.#used.set(grant, at);
    const { db } = this.#options.store;
    this.#spawn(db.updateTable('grants').set({ last_used_at: at }).where('id', '=', grant).execute());
  }

  /** Another gateway, or this one, has changed a grant; with '' any may have changed. */
  changed(id: string): void {
    this.#spawn(id === '' ? this.load() : this.#inOrder(() => this.#reload(id)));
  }

  /** Takes over what is in force. */
  load(): Promise<void> {
    const { db } = this.#options.store;
    return this.#inOrder(async () =>
      this.#active.replace(await db.selectFrom('grants').selectAll().where('state', '=', 'active').execute()),
    );
  }

  /** Ends a session whose grants are not in force any more: they may have ended while it began. */
  recheck(session: LiveSession): void {
    this.#active.recheck(session);
  }

  /** What time has ended; by whichever gateway looks first. */
  async sweep(): Promise<void> {
    const { store, now } = this.#options;
    const rows = await store.db
      .updateTable('grants')
      .set({ state: 'expired' })
      .where('state', 'in', ['pending', 'active'])
      .where('expires_at', '<=', now())
      .returningAll()
      .execute();
    for (const row of rows) {
      await this.#take(row);
      this.#used.delete(row.id);
      this.#note(grantView(row, []), 'expired', {}, {});
      await this.#tell(row.id);
    }
  }

  async close(): Promise<void> {
    this.#active.close();
    while (this.#work.size > 0) await Promise.allSettled(this.#work);
  }

  #validate(wanted: Wanted): void {
    const { maxSeconds } = this.#options.config.access.grants;
    const resource = this.#options.config.resources.find(({ name }) => name === wanted.resource);
    if (resource === undefined) throw refusal('grant_resource', `there is no resource ${wanted.resource}`);
    if (!resource.accounts.has(wanted.role))
      throw refusal('grant_role', `${wanted.resource} has no account ${wanted.role}`, `it has ${[...resource.accounts.keys()].join(', ')}`);
    if (!(Number.isSafeInteger(wanted.seconds) && wanted.seconds > 0 && wanted.seconds <= maxSeconds))
      throw refusal('grant_seconds', `a grant lasts from one second to ${formatDuration(maxSeconds)}`);
    if (wanted.reason.trim() === '') throw refusal('grant_reason', 'a grant needs a reason');
    if (wanted.reason.length > MAX_TEXT || wanted.ticket.length > MAX_TEXT || /\0/.test(wanted.reason + wanted.ticket))
      throw refusal('grant_reason', `reason and ticket are texts of at most ${MAX_TEXT} characters`);
  }

  /** What the policies say of the request. Throws GatewayError `grant_denied`. */
  #decision(
    by: Principal,
    wanted: Wanted,
  ): { state: 'active' | 'pending'; approvers: readonly ApproverGroup[]; policies: readonly string[] } {
    const { breakGlass, role, seconds, resource } = wanted;
    if (breakGlass && !this.#options.config.access.grants.breakGlassGroups.some((group) => by.groups.includes(group)))
      throw refusal('grant_denied', 'you are in none of the groups that may take access at once', 'ask for it without break-glass');
    const ask = (facts: { role: string; seconds: number; breakGlass: boolean }): ReturnType<PolicyEngine['decide']> => {
      const { target, operation } = adminQuestion('grant.request', resource, facts);
      return this.#options.policy().decide(by, target, operation);
    };
    const decision = ask({ role, seconds, breakGlass });
    const { policies } = decision;
    if (decision.kind === 'deny') throw refusal('grant_denied', decision.message, decision.hint);
    if (!breakGlass) {
      if (decision.kind === 'allow') return { state: 'active', approvers: [], policies };
      return { state: 'pending', approvers: decision.approvers, policies };
    }
    // Those who would have decided confirm it afterwards.
    const usual = decision.kind === 'approve' ? decision : ask({ role, seconds, breakGlass: false });
    const groups = usual.kind === 'approve' ? usual.approvers : [{ group: CONFIRMING_GROUP, needed: CONFIRMERS }];
    return { state: 'active', approvers: groups.map(({ group, needed }) => ({ group, needed: Math.max(needed, CONFIRMERS) })), policies };
  }

  /**
   * Takes over what this gateway has just written. An end counts at once, and for good: no older answer brings it back. What begins waits
   * for the looks at the store that began before it, which would take it for ended.
   */
  #take(row: GrantRow): Promise<void> {
    const take = (): Promise<void> => {
      this.#active.set(row.id, row);
      return Promise.resolve();
    };
    return row.state === 'active' ? this.#inOrder(take) : take();
  }

  #inOrder(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  async #reload(id: string): Promise<void> {
    const row = await this.#options.store.db.selectFrom('grants').selectAll().where('id', '=', id).executeTakeFirst();
    this.#active.set(id, row ?? null);
  }

  /** The first gateway whose clock says so says it for all. */
  async #expire(id: string): Promise<void> {
    const { store, now } = this.#options;
    const row = await store.db
      .updateTable('grants')
      .set({ state: 'expired' })
      .where('id', '=', id)
      .where('state', '=', 'active')
      .where('expires_at', '<=', now())
      .returningAll()
      .executeTakeFirst();
    this.#used.delete(id);
    if (row === undefined) return;
    this.#note(grantView(row, []), 'expired', {}, {});
    await this.#tell(id);
  }

  async #tell(id: string): Promise<void> {
    try {
      await this.#options.store.notify('grants', id);
    } catch (error) {
      this.#options.log.warn('gateways could not be told of a grant', { grant: id, error: String(error) });
    }
  }

  #note(grant: Grant, event: string, line: Readonly<Record<string, unknown>>, detail: Readonly<Record<string, string>>): void {
    const { id, user, resource, role } = grant;
    this.#options.audit.note({ type: 'grant', event, sid: '', user: user.name, resource }, { grant: id, ...line }, { id, role, ...detail });
  }

  /** Work that nobody waits for: what fails is done again by the next sweep or look. */
  #spawn(work: Promise<unknown>): void {
    this.#work.add(work);
    const done = (): void => void this.#work.delete(work);
    work.then(done, (error: unknown) => {
      done();
      this.#options.log.warn('a grant could not be looked after', { error: String(error) });
    });
  }
}

/** Any denial denies; a denial of what was taken by break-glass takes it back. */
function stateAfter(row: { readonly state: string; readonly break_glass: boolean }, decision: 'approve' | 'deny', enough: boolean): string {
  if (row.break_glass) return decision === 'deny' && row.state === 'active' ? 'revoked' : row.state;
  if (decision === 'deny') return 'denied';
  return enough ? 'active' : row.state;
}

import { type Selectable, sql } from 'kysely';
import { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';
import type { Store } from '../store/model.ts';
import type { VoteTable } from '../store/schema.ts';
import { type ApprovalRow, approvalRow, approvalView, newRequestId, questionDigest, withVotes } from './approval-rows.ts';
import { Waiting } from './approval-waiting.ts';
import type { AccessLog, Audit } from './audit.ts';
import type { Approval, ApprovalOutcome, ApprovalQuestion, ApprovalState, Approvals, PendingApproval } from './model.ts';
import type { Schedule } from './schedule.ts';
import { wasRevokedSince } from './user-revocation.ts';
import { approved, castVote, refusal, voteRow, votesOf } from './votes.ts';

export interface ApprovalOptions {
  readonly store: Store;
  readonly audit: Audit;
  readonly gateway: string;
  readonly process: string;
  /** Where people decide, without a slash at the end; '' when there is no API. */
  readonly url: () => string;
  readonly timeoutSeconds: number | null;
  readonly retrySeconds: number;
  /** Groups beside those of the token, by grants. */
  readonly groupsOf: (principal: Principal) => readonly string[];
  readonly now: () => number;
  readonly schedule: Schedule;
  readonly log: AccessLog;
}

/** Requests of one person that may wait at once: approvers cannot be flooded. */
const MAX_PENDING = 50;
/** A list shows the beginning of longer texts, characters. */
const LISTED = 2_000;

/** States in which a request may still be changed. */
const OPEN = ['pending', 'approved'] as const;

/** Approvals in the store. Each change of state is an update that names the state it leaves, so of two only one comes about. */
export class StoreApprovals implements Approvals {
  readonly #options: ApprovalOptions;
  readonly #waiting: Waiting;

  constructor(options: ApprovalOptions) {
    this.#options = options;
    this.#waiting = new Waiting(options, {
      move: (id, from, to) => this.#move(id, from, to),
      get: (id) => this.get(id),
      decided: (ids) => this.#decided(ids),
    });
  }

  /** Settles what may have been decided: one request, or with '' all that wait. */
  changed(id: string): void {
    this.#waiting.check(id);
  }

  async ask(question: ApprovalQuestion): Promise<PendingApproval> {
    const { store, audit, gateway, process, timeoutSeconds, now } = this.#options;
    audit.check();
    const digest = questionDigest(store, question);
    const open = question.mode === 'retry' ? await this.#find(digest, 'pending') : null;
    if (open !== null) return this.#pending(open);
    await this.#refuseFlood(question.principal);
    const createdAt = now();
    const id = newRequestId();
    const expiresAt = timeoutSeconds === null ? null : createdAt + timeoutSeconds * 1000;
    const row = approvalRow(question, { id, gateway, process, digest, createdAt, expiresAt });
    const stored = await store.db.insertInto('approvals').values(row).returningAll().executeTakeFirstOrThrow();
    const approval = approvalView(stored, []);
    const pending = this.#pending(approval);
    this.#note(approval, 'ask', {
      mode: approval.mode,
      requester: approval.requester,
      source: approval.source,
      ...(approval.reason === '' ? {} : { reason: approval.reason }),
      resource: approval.resource,
      account: approval.account,
      action: approval.action,
      objects: approval.objects,
      policies: approval.policies,
      approvers: approval.approvers,
      text: approval.statement,
      params: approval.params,
      estimate: approval.estimate,
      ...(expiresAt === null ? {} : { expires: expiresAt }),
    });
    try {
      await audit.recorded();
      await store.notify('approvals', id);
    } catch (error) {
      // Nobody would wait for it.
      pending.end('lost');
      throw error;
    }
    return pending;
  }

  async claim(question: ApprovalQuestion): Promise<ApprovalOutcome | null> {
    const { store, now } = this.#options;
    const found = await this.#find(questionDigest(store, { ...question, mode: 'retry' }), 'approved');
    if (found === null || (found.expiresAt !== null && found.expiresAt <= now())) return null;
    const { name, issuer } = found.requester;
    if (await wasRevokedSince(store.db, name, issuer, found.createdAt)) {
      await this.#move(found.id, ['approved'], 'cancelled');
      return null;
    }
    const used = await this.#move(found.id, ['approved'], 'used');
    return used === null ? null : { state: 'approved', approval: used, approvedBy: used.approvers.map(({ group }) => group) };
  }

  async decide(id: string, by: Principal, decision: 'approve' | 'deny', reason: string, rowBudget?: number): Promise<Approval> {
    const { store, audit, now, retrySeconds, groupsOf } = this.#options;
    audit.check();
    if (rowBudget !== undefined && !(Number.isSafeInteger(rowBudget) && rowBudget >= 0))
      throw refusal('approval_row_budget', 'a row budget is a number of rows');
    const groups = [...by.groups, ...groupsOf(by)];
    const { approval, vote } = await store.transaction(async (db) => {
      const row = await db.selectFrom('approvals').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
      if (row === undefined) throw refusal('approval_unknown', 'there is no such request');
      const at = now();
      if (row.state !== 'pending') throw refusal('approval_decided', `the request is ${row.state} already`);
      if (row.expires_at !== null && row.expires_at <= at) throw refusal('approval_decided', 'the time to decide has run out');
      const before = (await votesOf(db, 'approval_votes', [id])).get(id) ?? [];
      const vote = await castVote(db, 'approval', row, before, { by, groups, decision, reason, at });
      await db.insertInto('approval_votes').values(voteRow(vote)).execute();
      const votes = [...before, vote];
      const state = decision === 'deny' ? 'denied' : approved(row.approvers, votes) ? 'approved' : 'pending';
      const changed = await db
        .updateTable('approvals')
        .set({
          state,
          // Of several approvers the most careful one counts.
          row_budget: rowBudget === undefined ? row.row_budget : Math.min(row.row_budget ?? rowBudget, rowBudget),
          ...(state === 'pending' ? {} : { decided_at: at }),
          ...(state === 'approved' && row.mode === 'retry' ? { expires_at: at + retrySeconds * 1000 } : {}),
        })
        .where('id', '=', id)
        .where('state', '=', 'pending')
        .returningAll()
        .executeTakeFirstOrThrow();
      return { approval: approvalView(changed, votes), vote };
    });
    this.#note(approval, 'vote', {
      by: person(vote),
      groups: vote.groups,
      decision,
      reason: vote.reason,
      ...(rowBudget === undefined ? {} : { rows: rowBudget }),
      state: approval.state,
    });
    // Whoever waits for the decision goes on only once it is in the record.
    await audit.recorded();
    this.#waiting.check(id);
    await this.#tell(id);
    return approval;
  }

  async get(id: string): Promise<Approval | null> {
    const { db } = this.#options.store;
    const row = await db.selectFrom('approvals').selectAll().where('id', '=', id).executeTakeFirst();
    return row === undefined ? null : ((await withVotes(db, [row]))[0] ?? null);
  }

  async list(filter: { readonly state?: ApprovalState; readonly limit: number; readonly before?: number }): Promise<readonly Approval[]> {
    const { db } = this.#options.store;
    let query = db
      .selectFrom('approvals')
      .selectAll()
      .select([
        sql<string>`case when length(statement) > ${LISTED} then left(statement, ${LISTED}) || '…' else statement end`.as('statement'),
        sql<string[]>`case when length(params::text) > ${LISTED} then '["…"]'::jsonb else params end`.as('params'),
      ])
      .orderBy('created_at', 'desc')
      .orderBy('id')
      .limit(filter.limit);
    if (filter.state !== undefined) query = query.where('state', '=', filter.state);
    if (filter.before !== undefined) query = query.where('created_at', '<', filter.before);
    return withVotes(db, await query.execute());
  }

  /** What time and vanished processes have decided; by whichever gateway looks first. `gone`: processes count as gone that were not seen since then. */
  async sweep(gone: number): Promise<void> {
    const { store, now } = this.#options;
    const at = now();
    const expired = await store.db
      .updateTable('approvals')
      .set({ state: 'expired', decided_at: at })
      .where('expires_at', '<=', at)
      .where((where) =>
        where.or([where('state', '=', 'pending'), where.and([where('state', '=', 'approved'), where('mode', '=', 'retry')])]),
      )
      .returningAll()
      .execute();
    await this.#swept(expired);
    const lost = await store.db
      .updateTable('approvals')
      .set({ state: 'lost', decided_at: at })
      .where('mode', '=', 'wait')
      .where('state', 'in', [...OPEN])
      .where('process', 'not in', (db) => db.selectFrom('gateways').select('process').where('seen_at', '>', gone))
      .returningAll()
      .execute();
    await this.#swept(lost);
    await this.#waiting.tidy();
  }

  /** Requests of an earlier run under the same name of process, for which nobody waits any more. */
  async begin(): Promise<void> {
    const { store, process, now } = this.#options;
    const lost = await store.db
      .updateTable('approvals')
      .set({ state: 'lost', decided_at: now() })
      .where('process', '=', process)
      .where('mode', '=', 'wait')
      .where('state', 'in', [...OPEN])
      .returningAll()
      .execute();
    await this.#swept(lost);
  }

  /** The store has been away for too long: what waits for it has lost. */
  giveUp(): void {
    this.#waiting.giveUp();
  }

  async close(): Promise<void> {
    await this.#waiting.close();
  }

  #pending(approval: Approval): PendingApproval {
    const { outcome, end } = this.#waiting.add(approval);
    const url = this.#options.url();
    return { approval, url: url === '' ? '' : `${url}/approvals/${approval.id}`, outcome, end };
  }

  /** Throws GatewayError `approval_too_many`. */
  async #refuseFlood(by: Principal): Promise<void> {
    const { count } = await this.#options.store.db
      .selectFrom('approvals')
      .select((select) => select.fn.countAll<number>().as('count'))
      .where('state', '=', 'pending')
      // As samePerson: by tokens of n command lines nobody is n persons.
      .where(({ eb, or, and }) =>
        or([
          eb(sql`requester ->> 'name'`, '=', by.name),
          and([eb(sql`requester ->> 'issuer'`, '=', by.issuer), eb(sql`requester ->> 'subject'`, '=', by.subject)]),
        ]),
      )
      .executeTakeFirstOrThrow();
    if (count >= MAX_PENDING)
      throw refusal('approval_too_many', `${count} of your requests are undecided`, 'wait until some of them are decided or have run out');
  }

  async #find(digest: Uint8Array, state: 'pending' | 'approved'): Promise<Approval | null> {
    const { db } = this.#options.store;
    const row = await db
      .selectFrom('approvals')
      .selectAll()
      .where('digest', '=', digest)
      .where('mode', '=', 'retry')
      .where('state', '=', state)
      .orderBy('created_at')
      .limit(1)
      .executeTakeFirst();
    return row === undefined ? null : ((await withVotes(db, [row]))[0] ?? null);
  }

  async #decided(ids: readonly string[]): Promise<readonly string[]> {
    const { db } = this.#options.store;
    const rows = await db
      .selectFrom('approvals')
      .select('id')
      .where('id', 'in', [...ids])
      .where('state', '!=', 'pending')
      .execute();
    return rows.map(({ id }) => id);
  }

  /** Changes the state if it is still one of `from`; null when it is not. The change is in the record when this resolves. */
  async #move(id: string, from: readonly ApprovalState[], to: ApprovalState): Promise<Approval | null> {
    const { store, audit, now } = this.#options;
    audit.check();
    const changed = await store.db
      .updateTable('approvals')
      .set({ state: to, ...(to === 'used' ? {} : { decided_at: now() }) })
      .where('id', '=', id)
      .where('state', 'in', [...from])
      .returningAll()
      .executeTakeFirst();
    if (changed === undefined) return null;
    const [approval] = await withVotes(store.db, [changed]);
    if (approval === undefined) return null;
    this.#note(approval, to, this.#members(approval));
    await audit.recorded();
    await this.#tell(id);
    return approval;
  }

  async #swept(rows: readonly ApprovalRow[]): Promise<void> {
    for (const approval of await withVotes(this.#options.store.db, rows)) {
      this.#note(approval, approval.state, this.#members(approval));
      this.#waiting.check(approval.id);
      await this.#tell(approval.id);
    }
  }

  /** What a line about a change of state says beside it: an approved request carries who approved it. */
  #members(approval: Approval): Readonly<Record<string, unknown>> {
    if (approval.state !== 'used') return {};
    const rows = approval.rowBudget === null ? {} : { rows: approval.rowBudget };
    return { by: approval.votes.map(({ approver, issuer }) => ({ name: approver, issuer })), ...rows };
  }

  /** Others learn of it by looking, at the latest: a notification that fails changes nothing. */
  async #tell(id: string): Promise<void> {
    try {
      await this.#options.store.notify('approvals', id);
    } catch (error) {
      this.#options.log.warn('gateways could not be told of an approval', { approval: id, error: codeOf(error) });
    }
  }

  #note(approval: Approval, event: string, line: Readonly<Record<string, unknown>>): void {
    const { id, sid, requester, resource, action, state, mode, reason } = approval;
    const by = line['by'] as { readonly name?: unknown } | undefined;
    this.#options.audit.note(
      { type: 'approval', event, sid, user: requester.name, resource },
      { request: id, ...line },
      { id, state, action, ...(event === 'ask' ? { mode, reason } : {}), ...(typeof by?.name === 'string' ? { by: by.name } : {}) },
    );
  }
}

function person(vote: Selectable<VoteTable>): { name: string; issuer: string; subject: string } {
  return { name: vote.approver, issuer: vote.issuer, subject: vote.subject };
}

function codeOf(error: unknown): string {
  return error instanceof GatewayError ? error.code : String(error);
}

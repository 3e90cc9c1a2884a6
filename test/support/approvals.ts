import { createHash } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import type { Approval, ApprovalOutcome, ApprovalQuestion, Approvals, PendingApproval } from '../../src/access/model.ts';
import type { Principal } from '../../src/policy/model.ts';

interface Entry {
  approval: Approval;
  readonly key: string;
  readonly question: ApprovalQuestion;
  readonly settle: (outcome: ApprovalOutcome) => void;
}

/** Approvals without a store, for tests of what waits for them. One vote decides. */
export class MemoryApprovals implements Approvals {
  readonly #entries = new Map<string, Entry>();
  readonly #asked = new EventEmitter();
  #next = 1;

  /** The question of the next request, asked already or yet to come. */
  async nextQuestion(known: number): Promise<{ id: string; question: ApprovalQuestion }> {
    while (this.#entries.size <= known) await once(this.#asked, 'asked');
    const [id, entry] = [...this.#entries][known] ?? [];
    if (id === undefined || entry === undefined) throw new Error('no such question');
    return { id, question: entry.question };
  }

  get size(): number {
    return this.#entries.size;
  }

  async ask(question: ApprovalQuestion): Promise<PendingApproval> {
    const id = `apr-${this.#next++}`;
    const approval = viewOf(id, question);
    let settle: (outcome: ApprovalOutcome) => void = () => {};
    const outcome = new Promise<ApprovalOutcome>((resolve) => {
      settle = resolve;
    });
    this.#entries.set(id, { approval, key: keyOf(question), question, settle });
    this.#asked.emit('asked');
    const end = (state: 'cancelled' | 'lost'): void => {
      if (question.mode === 'wait') this.#end(id, state);
    };
    return { approval, url: `https://gateway.example/approvals/${id}`, outcome, end };
  }

  async claim(question: ApprovalQuestion): Promise<ApprovalOutcome | null> {
    for (const entry of this.#entries.values()) {
      if (entry.approval.mode !== 'retry' || entry.approval.state !== 'approved' || entry.key !== keyOf(question)) continue;
      entry.approval = { ...entry.approval, state: 'used' };
      return { state: 'approved', approval: entry.approval, approvedBy: entry.approval.approvers.map(({ group }) => group) };
    }
    return null;
  }

  async decide(id: string, by: Principal, decision: 'approve' | 'deny', reason: string, rowBudget?: number): Promise<Approval> {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.approval.state !== 'pending') throw new Error(`${id} is ${entry?.approval.state ?? 'unknown'}`);
    const vote = { approver: by.name, issuer: by.issuer, groups: by.groups, decision, reason, at: Date.now() };
    const state = decision === 'approve' ? 'approved' : 'denied';
    entry.approval = { ...entry.approval, state, votes: [vote], rowBudget: rowBudget ?? null };
    const { approval } = entry;
    if (approval.mode === 'retry') return approval;
    if (state === 'denied') entry.settle({ state, approval });
    else entry.settle({ state: 'approved', approval, approvedBy: approval.approvers.map(({ group }) => group) });
    return approval;
  }

  /** As a time-out does. */
  expire(id: string): void {
    this.#end(id, 'expired');
  }

  async get(id: string): Promise<Approval | null> {
    return this.#entries.get(id)?.approval ?? null;
  }

  async list(): Promise<readonly Approval[]> {
    return [...this.#entries.values()].map(({ approval }) => approval);
  }

  #end(id: string, state: 'cancelled' | 'lost' | 'expired'): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.approval.state !== 'pending') return;
    entry.approval = { ...entry.approval, state };
    entry.settle({ state, approval: entry.approval });
  }
}

function keyOf({ principal, target, exact }: ApprovalQuestion): string {
  const hash = createHash('sha256').update(JSON.stringify([principal.issuer, principal.subject, target.resource, target.account]));
  for (const part of exact) hash.update(`${part.length}:`).update(part);
  return hash.digest('hex');
}

function viewOf(id: string, question: ApprovalQuestion): Approval {
  const { principal, target, sid, source, action, objects, policies, approvers, statement, params, estimate, mode, reason } = question;
  const { name, issuer, subject } = principal;
  const requester = { name, issuer, subject };
  const { resource, account } = target;
  const asked = {
    sid,
    source,
    action,
    objects,
    policies,
    approvers,
    statement,
    params,
    estimate,
    mode,
    reason,
    requester,
    resource,
    account,
  };
  const createdAt = Date.now();
  const open = { state: 'pending', rowBudget: null, votes: [], decidedAt: null } as const;
  return { id, gateway: 'gw-1', createdAt, expiresAt: createdAt + 900_000, ...asked, ...open };
}

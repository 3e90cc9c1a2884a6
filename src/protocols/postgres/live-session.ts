import type { LiveSession } from '../../access/model.ts';
import type { GatewayError } from '../../errors.ts';
import type { Principal, Target } from '../../policy/model.ts';
import type { ApprovalGate } from './approval-gate.ts';
import type { SessionState } from './session-state.ts';

/** A session as the live list shows it: a view of its state, so that running costs nothing for it. */
export class PgLiveSession implements LiveSession {
  readonly protocol: string;
  readonly startedAt: number;
  readonly grants: readonly string[];
  readonly #state: SessionState;
  readonly #approvals: ApprovalGate;
  readonly #end: (error: GatewayError) => void;

  /** @param startedAt ms since the epoch. @param grants ids of those that it stands on. */
  constructor(
    state: SessionState,
    approvals: ApprovalGate,
    startedAt: number,
    grants: readonly string[],
    end: (error: GatewayError) => void,
  ) {
    this.#state = state;
    this.#approvals = approvals;
    this.#end = end;
    this.protocol = state.resource.kind;
    this.startedAt = startedAt;
    this.grants = grants;
  }

  get sid(): string {
    return this.#state.sid;
  }

  get principal(): Principal {
    return this.#state.principal;
  }

  get target(): Target {
    return this.#state.target;
  }

  get source(): string {
    return this.#state.source;
  }

  get lastActive(): number {
    return this.#state.lastActive;
  }

  get busy(): boolean {
    return this.#state.replies.length > 0 || this.#approvals.waiting;
  }

  get operations(): number {
    return this.#state.ops;
  }

  get denied(): number {
    return this.#state.denied;
  }

  get masked(): Readonly<Record<string, number>> {
    const { masked, services } = this.#state;
    const counts: Record<string, number> = {};
    for (const [i, n] of masked.entries()) if (n > 0) counts[services.masker.ruleNames[i] ?? 'column'] = n;
    return counts;
  }

  end(error: GatewayError): void {
    this.#end(error);
  }
}

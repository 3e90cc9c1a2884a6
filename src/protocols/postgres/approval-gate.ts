import type { ApprovalOutcome, ApprovalQuestion, PendingApproval } from '../../access/model.ts';
import { GatewayError } from '../../errors.ts';
import type { Decision, Refusal } from '../../policy/model.ts';
import { jsonString } from '../../recording/json.ts';
import type { StatementInfo } from './analysis.ts';
import { approvedMembers, type Refused, refusalOf, refused, retryRefusal, unavailableRefusal, waitingNotice } from './approval-words.ts';
import { ClientRecord } from './client-record.ts';
import { decideStatements } from './decide-statements.ts';
import { Front, message, parameterStatus } from './messages.ts';
import { operationOf } from './policy-operation.ts';
import { expected } from './replies.ts';
import { RowBudget } from './row-budget.ts';
import type { SessionState } from './session-state.ts';

type NeedsApproval = Decision & { kind: 'approve' };
type Estimate = ApprovalQuestion['estimate'];

/** An operation that the policies hand to an approver. Texts are masked; `exact` is not, and never leaves the process. */
export interface HeldOperation {
  readonly action: string;
  /** What runs: decided again with the approval. */
  readonly statements: readonly StatementInfo[];
  readonly statement: string;
  readonly params: readonly string[];
  /** What the approval is bound to. */
  readonly exact: readonly Uint8Array[];
  /** The members of its line in the record, as far as they do not depend on the outcome. */
  readonly members: string;
  /** The one statement to be planned for the estimate; null when there is no one text. */
  readonly plan: Uint8Array | null;
}

/** What becomes of a held operation. */
export type Ruling =
  | { readonly kind: 'allow'; readonly members: string; readonly budget: RowBudget | null; readonly approvedBy: readonly string[] }
  | { readonly kind: 'deny'; readonly members: string; readonly decision: Refusal; readonly substitute: Buffer };

interface Held {
  readonly operation: HeldOperation;
  readonly decision: NeedsApproval;
  pending: PendingApproval | null;
  /** Set when nobody waits for the outcome any more. */
  over: 'cancelled' | 'lost' | null;
  outcome: (ApprovalOutcome & { readonly state: 'approved' }) | Refused | null;
}

/** While nothing else is said to a client that waits, this often something is: else a peer that is gone might go unnoticed. */
const BEAT_MS = 5_000;

/**
 * Holds one operation of a session until its approval is decided. The client's stream stops there: what came before goes on,
 * what comes behind stays where it is. So there is never more than one.
 */
export class ApprovalGate {
  readonly #state: SessionState;
  readonly #record: ClientRecord;
  readonly #estimate: (operation: HeldOperation) => Promise<Estimate>;
  readonly #goOn: () => void;
  #held: Held | null = null;

  /** @param goOn offers the client's stream again: the outcome is there. @param estimate asks the target how many rows it expects; never rejects. */
  constructor(state: SessionState, estimate: (operation: HeldOperation) => Promise<Estimate>, goOn: () => void) {
    this.#state = state;
    this.#record = new ClientRecord(state);
    this.#estimate = estimate;
    this.#goOn = goOn;
  }

  /** An operation waits for its approval. */
  get waiting(): boolean {
    return this.#held !== null;
  }

  /**
   * The ruling on this operation, once. Null while there is none: then the message must be offered again later, as it is.
   * @param describe called only where needed: it costs copies.
   */
  rule(decision: NeedsApproval, describe: () => HeldOperation): Ruling | null {
    const held = this.#held;
    if (held === null) return this.#begin(decision, describe);
    if (held.outcome === null) return null;
    this.#held = null;
    const { outcome } = held;
    if (!('approvedBy' in outcome)) return this.#deny(decision, outcome);
    // Nothing can come between the question and the answer; and if it could, the approval would not be for that.
    if (!sameBytes(held.operation.exact, describe().exact)) return this.#begin(decision, describe);
    return this.#allow(held, outcome);
  }

  /** For what is approved for so many rows and would be over before anybody knows how many they are, if anybody ever does. */
  rowsUnknown(decision: NeedsApproval): Ruling {
    const hint = 'send its statements one by one and without WITH, EXPLAIN or a cursor, or ask for an approval without a limit';
    const message = 'the approval limits its rows, which cannot be counted in time';
    return this.#deny(decision, refused('row-budget', '', '42501', message, hint));
  }

  /** The client withdraws what waits; false when nothing does. */
  cancel(): boolean {
    const held = this.#held;
    if (held === null || held.outcome !== null) return false;
    held.over = 'cancelled';
    held.pending?.end('cancelled');
    this.#settle(held, refused('cancelled', held.pending?.approval.id ?? '', '57014', 'canceling statement due to user request', ''));
    return true;
  }

  /** What waited is not asked for any more: other policies have come into force. */
  withdraw(): void {
    const held = this.#held;
    this.#held = null;
    if (held === null) return;
    held.over = 'cancelled';
    held.pending?.end('cancelled');
  }

  /** The session is over: nothing of what waits will run. Its denial goes to the record. */
  lose(): void {
    const held = this.#held;
    this.#held = null;
    if (held === null) return;
    held.over = 'lost';
    held.pending?.end('lost');
    if (this.#state.services.recorder.failure !== null) return;
    const lost = refused('lost', held.pending?.approval.id ?? '', '57014', 'the session ended while it waited for approval', '');
    const ruling = this.#deny(held.decision, lost);
    if (ruling.kind === 'deny') this.#record.denied(ruling.decision, `${held.operation.members}${ruling.members}`);
  }

  #begin(decision: NeedsApproval, describe: () => HeldOperation): Ruling | null {
    const state = this.#state;
    if (state.clientEnded) return this.#deny(decision, refused('lost', '', '57014', 'the client has gone', ''));
    // A client that sends statements into a copy gets the server's error, as it would without us.
    if (state.copyIn !== null) return this.#deny(decision, refused('not-asked', '', '42501', decision.message, decision.hint));
    // The approval holds for the search_path, which the server reports at the end of the group.
    if (state.groupSettings) {
      const message = 'it needs approval, and settings were changed before it in the same pipeline';
      return this.#deny(decision, refused('not-asked', '', '42501', message, 'send Sync after changing settings'));
    }
    // Only when everything before is answered is it certain what transaction this would run in.
    if (state.replies.length > 0) return null;
    if (state.transaction === 0x45) {
      const message = 'it needs approval, and the transaction it is in is aborted';
      return this.#deny(decision, refused('not-asked', '', '25P02', message, 'ROLLBACK, then send it again'));
    }
    const held: Held = { operation: describe(), decision, pending: null, over: null, outcome: null };
    this.#held = held;
    this.#ask(held).catch((error: unknown) => this.#settle(held, unavailableRefusal(decision, asGatewayError(error))));
    return null;
  }

  async #ask(held: Held): Promise<void> {
    const state = this.#state;
    const { approvals } = state.services.access;
    const inTransaction = state.transaction !== 0x49 || state.groupWork || state.groupBound;
    const { approvals: config } = state.services.config.access;
    const retry = state.approvalMode === 'retry' || (inTransaction && config.inTransaction === 'retry');
    const mode = retry ? 'retry' : 'wait';
    const claimed = await approvals.claim(this.#question(held, mode, { unavailable: 'it was asked for before' }));
    if (held.over !== null) return;
    if (claimed !== null) return this.#settle(held, claimed.state === 'approved' ? claimed : refusalOf(claimed));
    if (mode === 'wait') this.#releaseLocks(inTransaction);
    const estimate = await this.#estimate(held.operation);
    if (held.over !== null) return;
    const pending = await approvals.ask(this.#question(held, mode, estimate));
    held.pending = pending;
    if (held.over !== null) return pending.end(held.over);
    if (mode === 'retry') return this.#settle(held, retryRefusal(held.decision, pending, inTransaction));
    state.client.writeOwned(waitingNotice(held.decision, pending));
    const beat = setInterval(() => this.#beat(), BEAT_MS);
    beat.unref();
    const outcome = await pending.outcome;
    clearInterval(beat);
    if (held.over === null) this.#settle(held, outcome.state === 'approved' ? outcome : refusalOf(outcome));
  }

  /**
   * Parse locks the tables that it names, up to the end of the group. So the group is ended by a Sync of ours where nothing in it is lost by
   * that: prepared statements stay, and no portal has been made.
   */
  #releaseLocks(inTransaction: boolean): void {
    const { groupParsed, replies, upstream } = this.#state;
    if (inTransaction || !groupParsed || upstream.closed) return;
    this.#state.groupParsed = false;
    replies.push(expected({ kind: 'sync', ours: true }));
    upstream.writeOwned(message(Front.Sync));
  }

  #settle(held: Held, outcome: NonNullable<Held['outcome']>): void {
    if (this.#held !== held || held.outcome !== null) return;
    held.outcome = outcome;
    this.#goOn();
  }

  #question(held: Held, mode: ApprovalQuestion['mode'], estimate: Estimate): ApprovalQuestion {
    const state = this.#state;
    const { masker } = state.services;
    const { operation, decision } = held;
    const objects = operation.statements.flatMap((statement) => operationOf(statement).objects);
    return {
      sid: state.sid,
      principal: state.principal,
      target: state.target,
      source: state.source,
      reason: state.reason,
      action: operation.action,
      objects: [...new Set(objects.map((object) => masker.string(`${object.action} ${object.path}`)))].slice(0, 64),
      policies: decision.policies,
      approvers: decision.approvers,
      statement: operation.statement,
      params: operation.params,
      exact: operation.exact,
      estimate,
      mode,
    };
  }

  /** Approved: the policies decide again, with the approval, and by what is in force now. */
  #allow(held: Held, outcome: ApprovalOutcome & { readonly state: 'approved' }): Ruling {
    const state = this.#state;
    const { approval, approvedBy } = outcome;
    const decision = decideStatements(state.services.policy(), state.principal, state.target, held.operation.statements, approvedBy);
    if (decision.kind !== 'allow') {
      const message = `the approval does not suffice: ${decision.message}`;
      return this.#deny(held.decision, refused('insufficient', approval.id, '42501', message, decision.hint));
    }
    return {
      kind: 'allow',
      members: approvedMembers(approval, approvedBy, decision.policies),
      budget: approval.rowBudget === null ? null : new RowBudget(approval.rowBudget),
      approvedBy,
    };
  }

  #deny(decision: NeedsApproval, refusal: Refused): Ruling & { kind: 'deny' } {
    const policies = decision.policies.length === 0 ? '' : `,"policies":[${decision.policies.map(jsonString).join(',')}]`;
    const approval = refusal.approval === '' ? '' : `,"approval":${jsonString(refusal.approval)}`;
    return {
      kind: 'deny',
      members: `${policies}${approval},"outcome":${jsonString(refusal.state)}`,
      decision: { ...decision, message: refusal.message, hint: refusal.hint },
      substitute: refusal.response,
    };
  }

  /** Says something without meaning: writing is how the death of a peer that is not read is found out. */
  #beat(): void {
    const { client, parameters } = this.#state;
    const version = parameters.get('server_version');
    if (version !== undefined && !client.closed) client.writeOwned(parameterStatus('server_version', version));
  }
}

function asGatewayError(error: unknown): GatewayError {
  return error instanceof GatewayError
    ? error
    : new GatewayError({
        code: 'internal',
        source: 'gateway',
        phase: 'decide',
        cause: error,
        publicMessage: 'the gateway failed to ask for the approval',
      });
}

function sameBytes(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((part, i) => Buffer.compare(part, b[i] ?? new Uint8Array(0)) === 0);
}

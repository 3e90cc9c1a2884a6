import { GatewayError } from '../../errors.ts';
import type { Outbox } from '../../io/outbox.ts';
import type { Decision } from '../../policy/model.ts';
import type { ApprovalGate, Ruling } from './approval-gate.ts';
import { neededMembers } from './approval-words.ts';
import { type Classified, deny } from './classifier.ts';
import type { ClientDecisions } from './client-decisions.ts';
import type { ClientRecord } from './client-record.ts';
import type { ClientTurn } from './client-turn.ts';
import { copiedQuery, untypedCopy } from './copied-query.ts';
import { budgetOfFetched } from './countable.ts';
import { denialResponse, deniedQuery, newNonce, refusalIn } from './denial.ts';
import { heldQuery } from './held-operation.ts';
import { budgetForm, inSteps } from './held-sync.ts';
import type { PgOperation } from './operation.ts';
import type { SessionState } from './session-state.ts';
import { queryPortal, type Statement, type Undo, weightOf } from './statements.ts';

/** The simple query protocol: Query, which holds a text of one statement or several, and FunctionCall, which is denied. */
export class SimpleQuery {
  readonly #state: SessionState;
  readonly #approvals: ApprovalGate;
  readonly #turn: ClientTurn;
  readonly #record: ClientRecord;
  readonly #decisions: ClientDecisions;

  constructor(state: SessionState, approvals: ApprovalGate, turn: ClientTurn) {
    this.#state = state;
    this.#approvals = approvals;
    this.#turn = turn;
    this.#record = turn.record;
    this.#decisions = turn.decisions;
  }

  query(bytes: Buffer, at: number, end: number, out: Outbox): boolean {
    if (bytes.indexOf(0, at + 5) !== end - 1)
      throw new GatewayError({ code: 'frame_invalid', source: 'client', phase: 'frame', publicMessage: 'invalid string in message' });
    const classified = this.#turn.classify(bytes, at + 5, end - 1);
    const copied = copiedQuery(classified, bytes.subarray(at + 5, end - 1));
    const decision = untypedCopy(this.#state.services.policy(), classified, copied) ?? this.#decisions.onText(classified);
    const shown = this.#record.text(this.#decisions.isSensitive(classified), bytes, at + 5, end - 1);
    let members = `"kind":"query",${classified.members},"text":${shown}`;
    let ruling: Ruling | null = null;
    // PREPARE runs nothing: what it prepares is asked for whenever it is executed.
    const asks = decision.kind === 'approve' && classified.action !== 'prepare';
    const executed = asks ? this.#decisions.executed(classified) : null;
    const form = asks ? budgetForm(classified, this.#state.transaction === 0x54, executed) : 'whole';
    if (asks) {
      ruling = this.#turn.rule(decision, () =>
        heldQuery(this.#state, this.#record, classified, bytes.subarray(at + 5, end - 1), shown, members, executed),
      );
      if (ruling === null) return false;
      members += ruling.members;
      if (ruling.kind === 'allow' && ruling.budget !== null && form === 'never') ruling = this.#approvals.rowsUnknown(decision);
    } else {
      this.#approvals.withdraw();
      if (decision.kind === 'approve') members += neededMembers(decision);
    }
    const refusal = refusalIn(decision, ruling, !asks);
    if (refusal !== null) {
      const nonce = newNonce();
      out.insert(deniedQuery(nonce));
      this.#turn.expect({ kind: 'query', op: this.#record.denied(refusal.decision, members), nonce, substitute: refusal.substitute });
      return true;
    }
    this.#turn.note(classified);
    const named = this.#sqlNames(classified, decision, bytes.subarray(at + 5, end - 1));
    const op = this.#record.intent(members);
    this.#state.noteQuery(classified);
    const granted = ruling?.kind === 'allow' ? ruling.budget : null;
    op.budget = granted ?? budgetOfFetched(classified, this.#state.portals);
    if (copied !== null || (granted !== null && form === 'steps')) {
      this.#inSteps(op, classified, bytes.subarray(at + 5, end), copied, out);
      return true;
    }
    this.#turn.expect({ kind: 'query', op, statement: named.statement, undo: named.undo, portal: queryPortal(classified) });
    out.pass(at, end);
    return true;
  }

  /** Sends a query in steps, so that it is committed only when its rows are known. @param copied what is to be described before. */
  #inSteps(op: PgOperation, classified: Classified, text: Buffer, copied: Buffer | null, out: Outbox): void {
    const portal = queryPortal(classified);
    op.syncHeld = true;
    this.#state.barrier = true;
    if (copied !== null) this.#turn.describeCopied(op, copied, out);
    for (const kind of ['parse', 'bind', 'describe-portal'] as const)
      this.#turn.expect({ kind, op, portal: kind === 'bind' ? null : portal, ours: true });
    this.#turn.expect({ kind: 'execute', op, portal });
    out.insert(inSteps(text));
  }

  /** PREPARE, DEALLOCATE and DISCARD by SQL share the name table with Parse and Close, as in the server. */
  #sqlNames(classified: Classified, decision: Decision, text: Buffer): { statement: Statement | null; undo: Undo | null } {
    const { statements, group } = this.#state;
    const only = classified.statements[0];
    if (only === undefined || !classified.barrier) return { statement: null, undo: null };
    if (only.kind === 'prepare') {
      const exact = decision.kind === 'approve' ? { text: Buffer.from(text), types: [] } : null;
      const weight = weightOf(classified, exact);
      const statement = { name: only.name, classified, weight, line: 0, exact, parameterTypes: [], pending: group, closed: false };
      return { statement, undo: this.#turn.set(statements.set(statement)) };
    }
    if (only.kind === 'deallocate' && only.name !== '') {
      const weight = weightOf(classified, null);
      const tombstone = { name: only.name, classified, weight, line: 0, exact: null, parameterTypes: [], pending: group, closed: true };
      return { statement: tombstone, undo: statements.set(tombstone) };
    }
    // DEALLOCATE ALL and DISCARD ALL: stale names only lead to the server's own error.
    return { statement: null, undo: null };
  }

  functionCall(out: Outbox): boolean {
    const decision = deny(
      this.#state.services.policy(),
      'sluice.unsupported',
      'unsupported',
      'FunctionCall is not supported: it names a function by OID only',
      'call the function with SELECT',
    ) as Decision & { kind: 'deny' };
    const nonce = newNonce();
    out.insert(deniedQuery(nonce));
    this.#turn.expect({
      kind: 'query',
      op: this.#record.denied(decision, '"kind":"function-call"'),
      nonce,
      substitute: denialResponse(decision),
    });
    return true;
  }
}

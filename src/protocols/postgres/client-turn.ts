import { GatewayError } from '../../errors.ts';
import type { Outbox } from '../../io/outbox.ts';
import type { Decision } from '../../policy/model.ts';
import type { ApprovalGate, HeldOperation, Ruling } from './approval-gate.ts';
import type { Classified } from './classifier.ts';
import { ClientDecisions } from './client-decisions.ts';
import { ClientRecord } from './client-record.ts';
import { describeQuery } from './copied-query.ts';
import type { PgOperation } from './operation.ts';
import { type ExpectedReply, expected } from './replies.ts';
import type { SessionState } from './session-state.ts';
import type { Undo } from './statements.ts';

type Reply = Partial<ExpectedReply> & Pick<ExpectedReply, 'kind'>;

/**
 * What both ways to run statements, the simple and the extended query protocol, do with a message: what is expected of the server, what the
 * session is to know of it, and that it may have to wait.
 */
export class ClientTurn {
  readonly #state: SessionState;
  readonly #approvals: ApprovalGate;
  readonly record: ClientRecord;
  readonly decisions: ClientDecisions;
  /** The message offered last was not taken: it waits for an approval, or for what has to be known before one is asked for. */
  held = false;

  constructor(state: SessionState, approvals: ApprovalGate) {
    this.#state = state;
    this.#approvals = approvals;
    this.record = new ClientRecord(state);
    this.decisions = new ClientDecisions(state);
  }

  expect(reply: Reply): void {
    this.#state.replies.push(expected(reply));
  }

  classify(bytes: Buffer, from: number, to: number): Classified {
    return this.#state.classifier.classify(bytes, from, to, this.#state.snapshot());
  }

  /** Keeps track of what FETCH and EXECUTE may return, and of when names change by SQL. */
  note(classified: Classified): void {
    this.decisions.noteReads(classified);
    if (classified.barrier) this.#state.barrier = true;
  }

  /** Has the types of what a COPY copies described, for the operation to know them. */
  describeCopied(op: PgOperation, copied: Buffer, out: Outbox): void {
    for (const kind of ['parse', 'describe-statement', 'close'] as const) this.expect({ kind, op, ours: true });
    out.insert(describeQuery(copied));
  }

  /** Asks for the approval of a message, or gets what came of it; null: the message is held. */
  rule(decision: Decision & { kind: 'approve' }, describe: () => HeldOperation): Ruling | null {
    const ruling = this.#approvals.rule(decision, describe);
    this.held = ruling === null;
    return ruling;
  }

  /** What takes back a change of a name. Throws when there was no room for it. */
  set(undo: Undo | null): Undo {
    if (undo === null)
      throw new GatewayError({
        code: 'frame_too_large',
        source: 'client',
        phase: 'classify',
        publicMessage: 'too many prepared statements or portals in one session',
      });
    return undo;
  }
}

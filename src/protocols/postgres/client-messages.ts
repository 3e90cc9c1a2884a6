import { GatewayError } from '../../errors.ts';
import type { Outbox } from '../../io/outbox.ts';
import type { ApprovalGate } from './approval-gate.ts';
import { ClientTurn } from './client-turn.ts';
import { CopyInRecorder } from './copy-in.ts';
import { ExtendedQuery } from './extended-query.ts';
import { Front } from './messages.ts';
import type { SessionState } from './session-state.ts';
import { SimpleQuery } from './simple-query.ts';

/** The frontend messages, one by one: what each does to the names, the record and the queue of replies. */
export class ClientMessages {
  readonly #state: SessionState;
  readonly #turn: ClientTurn;
  readonly #simple: SimpleQuery;
  readonly #extended: ExtendedQuery;
  #copyIn: CopyInRecorder | null = null;

  constructor(state: SessionState, approvals: ApprovalGate) {
    this.#state = state;
    this.#turn = new ClientTurn(state, approvals);
    this.#simple = new SimpleQuery(state, approvals, this.#turn);
    this.#extended = new ExtendedQuery(state, approvals, this.#turn);
  }

  /** The message offered last was not taken: it waits for an approval, or for what has to be known before one is asked for. */
  get held(): boolean {
    return this.#turn.held;
  }

  fail(error: unknown): void {
    this.#state.fail(
      error instanceof GatewayError
        ? error
        : new GatewayError({
            code: 'internal',
            source: 'gateway',
            phase: 'classify',
            cause: error,
            publicMessage: 'the gateway failed on this message, so it was not forwarded',
          }),
    );
  }

  /** Takes one whole message into `out`. True when a line was added to the record. */
  take(type: number, bytes: Buffer, at: number, total: number, out: Outbox): boolean {
    const state = this.#state;
    const end = at + total;
    this.#turn.held = false;
    if (state.skipping) {
      if (type !== Front.Sync && type !== Front.Terminate) return false;
      state.skipping = false;
    }
    switch (type) {
      case Front.Query:
        return this.#simple.query(bytes, at, end, out);
      case Front.Parse:
        return this.#extended.parse(bytes, at, end, out);
      case Front.Bind:
        return this.#extended.bind(bytes, at, end, out);
      case Front.Execute:
        return this.#extended.execute(bytes, at, end, out);
      case Front.Describe:
        this.#extended.describe(bytes, at, end);
        break;
      case Front.Close:
        this.#extended.close(bytes, at, end);
        break;
      case Front.Sync:
        if (state.copyIn === null) {
          this.#turn.expect({ kind: 'sync' });
          state.group++;
          state.endGroup();
        }
        break;
      case Front.CopyData:
        if (state.copyIn !== null) {
          if (this.#copyIn?.op !== state.copyIn) this.#copyIn = new CopyInRecorder(state, state.copyIn);
          this.#copyIn.add(bytes, at, end);
          out.pass(at, end);
          return state.recordOutput;
        }
        return false;
      case Front.CopyDone:
      case Front.CopyFail:
        if (state.copyIn !== null) this.#copyIn?.flush();
        this.#copyIn = null;
        // Outside of a copy the server ignores it: the left-over of a copy that failed.
        if (state.copyIn === null) return false;
        state.copyIn = null;
        break;
      case Front.Terminate:
        state.terminated = true;
        break;
      case Front.Flush:
        break;
      case Front.FunctionCall:
        return this.#simple.functionCall(out);
      default:
        throw new GatewayError({
          code: 'frame_invalid',
          source: 'client',
          phase: 'frame',
          publicMessage: `invalid frontend message type ${type}`,
        });
    }
    out.pass(at, end);
    return false;
  }
}

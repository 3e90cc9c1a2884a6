import { StreamMasker } from '../../../native/binding/index.js';
import { GatewayError } from '../../errors.ts';
import type { PgOperation } from './operation.ts';
import type { ReplyPlan } from './reply-plan.ts';
import type { SessionState } from './session-state.ts';

/** One row too large to hold, masked as it passes: the memory it takes does not depend on its size. */
export class RowStream {
  readonly op: PgOperation | null;
  /** Bytes of the message's body not final yet. */
  remaining: number;
  readonly bytes: number;
  readonly #state: SessionState;
  readonly #masker: StreamMasker;

  /** @param kind as StreamMasker takes it. @param first the row begins its COPY. @param length bytes of the body. */
  constructor(state: SessionState, plan: ReplyPlan, kind: number, first: boolean, length: number, op: PgOperation | null) {
    this.#state = state;
    this.#masker = new StreamMasker(state.services.masker.rules, plan.id, kind, first);
    this.remaining = length;
    this.bytes = length;
    this.op = op;
  }

  /** Masks in place; returns how many bytes from `off` may be sent. The others must come again. */
  feed(bytes: Buffer, off: number, length: number): number {
    let final: number;
    try {
      final = this.#masker.feed(bytes, off, length, length === this.remaining, this.#state.counts);
    } catch (cause) {
      throw new GatewayError({
        code: 'mask_failed',
        source: 'gateway',
        phase: 'mask',
        cause,
        publicMessage: 'a large row could not be masked, so it was withheld',
      });
    }
    this.remaining -= final;
    this.#state.takeCounts(this.op);
    return final;
  }
}

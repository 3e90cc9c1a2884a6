import { COPY_FORMAT, copyPlan } from './copy-plan.ts';
import type { PgOperation } from './operation.ts';
import type { ReplyPlan } from './reply-plan.ts';
import type { SessionState } from './session-state.ts';

/** Rows that span more than this many bytes of CopyData are recorded by their length. */
const MAX_ROW = 1024 * 1024;
const FLUSH_BYTES = 64 * 1024;

/** Records what a client copies in, masked: a copy of it goes through the masks of the table's columns. */
export class CopyInRecorder {
  readonly op: PgOperation;
  readonly #state: SessionState;
  readonly #plan: ReplyPlan;
  readonly #format: number;
  #held: Buffer[] = [];
  #bytes = 0;
  #first = true;
  /** Set when a row did not fit: what follows cannot be told apart into rows any more. */
  #skipped = 0;

  constructor(state: SessionState, op: PgOperation) {
    this.#state = state;
    this.op = op;
    const { plan, format } = copyPlan(state, op.copyOf);
    this.#plan = plan;
    this.#format = COPY_FORMAT[format];
  }

  /** Takes one CopyData message. */
  add(bytes: Buffer, at: number, end: number): void {
    if (!this.#state.recordOutput) return;
    if (this.#skipped > 0) {
      this.#skipped += end - at;
      return;
    }
    this.#held.push(Buffer.from(bytes.subarray(at, end)));
    this.#bytes += end - at;
    if (this.#bytes > FLUSH_BYTES) this.#write(false);
  }

  flush(): void {
    if (this.#bytes > 0) this.#write(true);
    if (this.#skipped > 0) {
      this.#state.services.recorder.append(
        'output',
        this.#state.sid,
        `"intent":${this.op.seq},"stream":"copy-in","bytes":${this.#skipped}`,
      );
    }
  }

  #write(last: boolean): void {
    const { masker, recorder } = this.#state.services;
    const all = Buffer.concat(this.#held);
    const length = masker.copy(this.#plan.id, this.#format, this.#first, all, 0, all.length, this.#state.counts);
    if (length === -2 && !last && all.length <= MAX_ROW) {
      this.#held = [all];
      return;
    }
    this.#held = [];
    this.#bytes = 0;
    if (length < 0) {
      // Not understood: the server will say so too. The record keeps the length, never the bytes.
      this.#skipped += all.length;
      this.#state.counts.fill(0);
      return;
    }
    this.#first = false;
    this.#state.takeCounts(this.op);
    recorder.appendOutput(this.#state.sid, `"intent":${this.op.seq},"stream":"copy-in"`, all, 0, length);
  }
}

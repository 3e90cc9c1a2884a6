import type { Refusal } from '../../policy/model.ts';
import { jsonBytes } from '../../recording/json.ts';
import { type BindMessage, recordedParams } from './bind-record.ts';
import { maskLiterals } from './literals.ts';
import { PgOperation } from './operation.ts';
import type { SessionState } from './session-state.ts';
import type { Statement } from './statements.ts';

/** What the client's messages leave in the record: intents and denials, and everything of the client's in them masked. */
export class ClientRecord {
  readonly #state: SessionState;

  constructor(state: SessionState) {
    this.#state = state;
  }

  /** The text as the record may hold it, as a JSON string. With `cover`, without its literals. */
  text(cover: boolean, bytes: Buffer, from: number, to: number): string {
    const { masker } = this.#state.services;
    const copy = Buffer.from(bytes.subarray(from, to));
    if (cover) maskLiterals(copy);
    masker.text(copy, 0, copy.length, this.#state.counts);
    this.#state.counts.fill(0);
    return jsonBytes(copy);
  }

  /** Adds the intent line of an operation about to be forwarded. */
  intent(members: string): PgOperation {
    const state = this.#state;
    state.ops++;
    return new PgOperation(state.services.recorder.append('intent', state.sid, members), state.services.now(), false);
  }

  /** Adds the line of an operation that is not forwarded. */
  denied(decision: Refusal, members: string): PgOperation {
    const state = this.#state;
    state.ops++;
    state.denied++;
    const seq = state.services.recorder.append(
      'deny',
      state.sid,
      `${members},"reason":"${decision.kind === 'approve' ? 'approval' : decision.reason}","message":${this.name(decision.message)}`,
    );
    state.services.access.events.emit({
      type: 'denied',
      sid: state.sid,
      user: state.principal.name,
      resource: state.target.resource,
      line: seq,
      detail: { policies: decision.policies, reason: decision.kind === 'approve' ? 'approval' : decision.reason },
    });
    return new PgOperation(seq, state.services.now(), true);
  }

  /** The member with the bind values; empty when there are none. */
  params(bind: BindMessage, bytes: Buffer, statement: Statement): string {
    if (bind.values.length === 0) return '';
    const { masker } = this.#state.services;
    const params = recordedParams(
      bind,
      bytes,
      statement.parameterTypes,
      masker,
      this.#state.counts,
      this.#state.limits.bindBytes,
      statement.classified.sensitive,
    );
    this.#state.counts.fill(0);
    return `,"params":${params}`;
  }

  /** Names, and what is said of them, are the client's own text: they may hold anything. */
  name(name: string): string {
    const bytes = Buffer.from(name, 'utf8');
    this.#state.services.masker.text(bytes, 0, bytes.length, this.#state.counts);
    this.#state.counts.fill(0);
    return jsonBytes(bytes);
  }
}

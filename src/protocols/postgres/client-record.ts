import type { Refusal } from '../../policy/model.ts';
import { type BindMessage, recordedParams } from './bind-record.ts';
import { maskEscapes, maskLiterals } from './literals.ts';
import { MaskedText } from './masked-text.ts';
import { PgOperation } from './operation.ts';
import type { SessionState } from './session-state.ts';
import type { Statement } from './statements.ts';

/** What the client's messages leave in the record: intents and denials, and everything of the client's in them masked. */
export class ClientRecord {
  readonly #state: SessionState;
  readonly #masked: MaskedText;

  constructor(state: SessionState) {
    this.#state = state;
    this.#masked = new MaskedText(state.services.masker, state.counts);
  }

  /** The text as the record may hold it, as a JSON string. With `cover`, without its literals; else without those that escapes spell. */
  text(cover: boolean, bytes: Buffer, from: number, to: number): string {
    return this.#masked.json(bytes, from, to, cover ? maskLiterals : maskEscapes);
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

  /** The member with the bind values; empty when there are none. With `cover`, none of them is shown. */
  params(cover: boolean, bind: BindMessage, bytes: Buffer, { parameterTypes }: Statement): string {
    if (bind.values.length === 0) return '';
    const params = recordedParams(bind, bytes, parameterTypes, this.#masked, this.#state.limits.bindBytes, cover);
    return `,"params":${params}`;
  }

  /** Names, and what is said of them, are the client's own text: they may hold anything. */
  name(name: string): string {
    const bytes = Buffer.from(name, 'utf8');
    return this.#masked.json(bytes, 0, bytes.length);
  }
}

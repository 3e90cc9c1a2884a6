import { POOL_BYTES } from './classifier.ts';
import { cstringEnd, Front } from './messages.ts';
import type { SessionState } from './session-state.ts';

/** Says which messages of the client have to wait, and sets going what they wait for. */
export class ClientGate {
  readonly #state: SessionState;
  readonly #fail: (error: unknown) => void;
  #preparing = false;

  /** @param fail ends the session. */
  constructor(state: SessionState, fail: (error: unknown) => void) {
    this.#state = state;
    this.#fail = fail;
  }

  /** Whether the message refers to something that the server has not settled yet: then it waits for the replies before it. */
  mustWait(type: number, bytes: Buffer, at: number, total: number): boolean {
    const state = this.#state;
    const { replies } = state;
    if (replies.length === 0) state.barrier = false;
    if (state.catalog.stale && (type === Front.Query || type === Front.Parse || type === Front.Bind)) {
      if (replies.length === 0) this.#refreshCatalog();
      return true;
    }
    if (total > POOL_BYTES && this.#preparesText(type, bytes, at, at + total)) return true;
    if (replies.length === 0) return false;
    // Data before the server asked for it could not be told from what it will ignore.
    if ((type === Front.CopyData || type === Front.CopyDone || type === Front.CopyFail) && state.copyIn === null) return true;
    if (state.barrier) return type !== Front.CopyData && type !== Front.CopyDone && type !== Front.CopyFail;
    switch (type) {
      case Front.Query:
        return state.classifier.classify(bytes, at + 5, at + total - 1, this.#state.snapshot()).barrier;
      // A Parse only gives a name a meaning, and so does a Bind to that of its portal: what the name meant before is no matter.
      case Front.Bind: {
        const portalEnd = cstringEnd(bytes, at + 5, at + total);
        return portalEnd !== -1 && state.statements.unsettled(cstring(bytes, portalEnd + 1, at + total), state.group);
      }
      case Front.Execute:
        return state.portals.unsettled(cstring(bytes, at + 5, at + total), state.group);
      case Front.Describe:
      case Front.Close: {
        const name = cstring(bytes, at + 6, at + total);
        return bytes[at + 5] === 0x53 ? state.statements.unsettled(name, state.group) : state.portals.unsettled(name, state.group);
      }
      default:
        return false;
    }
  }

  /** Reads the catalog anew and lets the client go on afterwards. */
  #refreshCatalog(): void {
    this.#state.catalog.fresh().then(
      () => this.#goOn(),
      (error: unknown) => this.#fail(error),
    );
  }

  #goOn(): void {
    const { client } = this.#state;
    client.poke();
    client.resume();
  }

  /** A long text is analyzed elsewhere first; the client goes on when that is done. */
  #preparesText(type: number, bytes: Buffer, at: number, end: number): boolean {
    if (type !== Front.Query && type !== Front.Parse) return false;
    if (this.#preparing) return true;
    const from = type === Front.Query ? at + 5 : cstringEnd(bytes, at + 5, end) + 1;
    const to = from === 0 ? -1 : cstringEnd(bytes, from, end);
    const snapshot = this.#state.snapshot();
    const work = to === -1 ? null : this.#state.classifier.prepare(bytes, from, to, snapshot);
    if (work === null) return false;
    this.#preparing = true;
    work.then(
      () => {
        this.#preparing = false;
        this.#goOn();
      },
      (error: unknown) => {
        this.#preparing = false;
        // A snapshot that is replaced cannot be read under any more: the text is prepared again under the new one.
        if (this.#state.catalog.current !== snapshot) this.#goOn();
        else this.#fail(error);
      },
    );
    return true;
  }
}

function cstring(bytes: Buffer, from: number, limit: number): string {
  const end = cstringEnd(bytes, from, limit);
  return end === -1 ? '' : bytes.toString('utf8', from, end);
}

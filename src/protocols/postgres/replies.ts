import type { PgOperation } from './operation.ts';
import type { Portal, Statement, Undo } from './statements.ts';

/** What was sent to the server and what answer it owes, in order. */
export type ReplyKind = 'query' | 'parse' | 'bind' | 'describe-statement' | 'describe-portal' | 'execute' | 'close' | 'sync';

export interface ExpectedReply {
  readonly kind: ReplyKind;
  readonly op: PgOperation | null;
  /** Sent by the gateway for itself: the answer is swallowed. */
  readonly ours: boolean;
  readonly statement: Statement | null;
  readonly portal: Portal | null;
  /** Takes back what the message changed in the name tables when the server refuses or skips it. */
  readonly undo: Undo | null;
  /** Set when the message stands in for a denied one: an error that carries it is the denial. */
  readonly nonce: string;
  /** What the client gets in place of that error. */
  readonly substitute: Buffer | null;
}

/** What the server owes for a message. */
export function expected(reply: Partial<ExpectedReply> & Pick<ExpectedReply, 'kind'>): ExpectedReply {
  // Member by member: spreading one object into another costs several times as much, four times an operation.
  return {
    kind: reply.kind,
    op: reply.op ?? null,
    ours: reply.ours ?? false,
    statement: reply.statement ?? null,
    portal: reply.portal ?? null,
    undo: reply.undo ?? null,
    nonce: reply.nonce ?? '',
    substitute: reply.substitute ?? null,
  };
}

/** First in, first out, without moving what is queued. */
export class ReplyQueue {
  #items: (ExpectedReply | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(reply: ExpectedReply): void {
    this.#items.push(reply);
  }

  peek(): ExpectedReply | undefined {
    return this.#items[this.#head];
  }

  shift(): ExpectedReply | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) {
      this.#items.length = 0;
      this.#head = 0;
    } else if (this.#head > 512) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
    return item;
  }

  /**
   * The server entered copy-in mode: it ignores each Sync that it reads before CopyDone or CopyFail (protocol
   * documentation, "COPY Operations"). The client's end of the copy is not forwarded before this is known, so every Sync
   * behind the head is one of those.
   */
  dropSyncsOfCopyIn(): void {
    this.#items = this.#items.slice(this.#head).filter((item, i) => i === 0 || item?.kind !== 'sync');
    this.#head = 0;
  }
}

import type { Classified, Classifier } from './classifier.ts';
import type { PgOperation } from './operation.ts';
import type { ReplyPlan } from './reply-plan.ts';

/** A prepared statement: what Parse gave, and what is known of its parameters. */
export interface Statement {
  readonly name: string;
  /** As it was decided on last: see `ClientDecisions.current`. */
  classified: Classified;
  /** Bytes that it holds on to, which its name counts for. */
  readonly weight: number;
  /** `seq` of the record line that holds its text. */
  readonly line: number;
  /** Text and parameter types as they were sent: kept where executions need approval, which is bound to them. */
  readonly exact: { readonly text: Buffer; readonly types: readonly number[] } | null;
  /** The query that it copies, where it is such a COPY; absent: none. */
  readonly copied?: Buffer | null;
  /** Type OIDs of the parameters: as Parse named them, completed by a ParameterDescription. */
  parameterTypes: readonly number[];
  /** The sync group in which its Parse or Close is still unanswered; 0 when the server has confirmed. */
  pending: number;
  readonly closed: boolean;
}

/** A statement bound to values. */
export interface Portal {
  readonly name: string;
  readonly statement: Statement | null;
  classified: Classified;
  /** Whose decision lets it be executed, and under which catalog: under other policies or another catalog it is decided on again. */
  decidedBy: Classifier;
  decidedUnder: number;
  /** Groups that have approved it. */
  readonly approvedBy: readonly string[];
  /** The operation of its first Execute; later Executes of the same portal get their own. */
  op: PgOperation | null;
  executed: boolean;
  /** A Describe of this portal is on its way or answered: masks follow the answer. */
  described: boolean;
  plan: ReplyPlan | null;
  /** Its rows have begun to flow and been suspended: they are those of `plan`, whatever is described from now on. */
  started: boolean;
  pending: number;
  readonly closed: boolean;
}

/** What a statement of that text weighs. */
export const weightOf = (classified: Classified, exact: Statement['exact']): number =>
  512 + classified.text.length + (exact?.text.length ?? 0);

/** Names below this are not worth a look at each of them. */
const SWEEP = 256;

interface Named {
  readonly name: string;
  pending: number;
  readonly closed: boolean;
}

export interface Undo {
  undo(): void;
}

/** A simple query is its own portal: its RowDescriptions give it a plan. */
export function queryPortal(classified: Classified): Portal {
  return {
    name: '',
    statement: null,
    classified,
    decidedBy: classified.by,
    decidedUnder: classified.version,
    approvedBy: [],
    op: null,
    executed: true,
    described: true,
    plan: null,
    started: false,
    pending: 0,
    closed: false,
  };
}

/** A Describe that the server skipped has described nothing. */
export const undescribed = (portal: Portal): Undo => ({
  undo: () => {
    portal.described = portal.plan !== null;
  },
});

/**
 * The names a client can refer to, as the server will see them when it comes to the message. Within one sync group a
 * change holds at once: if the server refuses it, it skips the rest of the group too, and `undo` takes it back. A
 * reference from a later group to a change not answered yet cannot be resolved: `unsettled` says so, and the caller waits.
 * Another change needs no wait: it stands on the one before it, whichever way that one is answered.
 */
export class NameTable<T extends Named> {
  readonly #names = new Map<string, T>();
  /** What stood under the name before each change that the server has not answered. */
  readonly #previous = new Map<T, T | undefined>();
  readonly #weigh: (value: T) => number;
  readonly #maxNames: number;
  readonly #maxBytes: number;
  #bytes = 0;
  #sweepAt = SWEEP;

  /** @param weigh bytes of memory that a value holds on to. */
  constructor(weigh: (value: T) => number, maxNames = 100_000, maxBytes = 64 * 1024 * 1024) {
    this.#weigh = weigh;
    this.#maxNames = maxNames;
    this.#maxBytes = maxBytes;
  }

  get(name: string): T | undefined {
    const found = this.#names.get(name);
    return found === undefined || found.closed ? undefined : found;
  }

  /** Whether the name has a change that the server has not answered and that belongs to another sync group. */
  unsettled(name: string, group: number): boolean {
    const found = this.#names.get(name);
    return found !== undefined && found.pending !== 0 && found.pending !== group;
  }

  /** Puts `value` (or a tombstone) under its name; null when the table is full. */
  set(value: T): Undo | null {
    const previous = this.#names.get(value.name);
    if (previous === undefined && this.#names.size >= this.#maxNames) return null;
    // A replaced value still counts until the server has answered: its name may go back to it.
    if (!value.closed && this.#bytes + this.#weigh(value) > this.#maxBytes) return null;
    this.#names.set(value.name, value);
    this.#previous.set(value, previous);
    this.#bytes += this.#weigh(value);
    return { undo: () => this.#undo(value) };
  }

  /** Forgets what the server has confirmed: it ended with its transaction. Done now and then only, when there are many. */
  endConfirmed(): void {
    if (this.#names.size < this.#sweepAt) return;
    for (const [name, value] of this.#names) {
      if (value.pending !== 0) continue;
      this.#names.delete(name);
      this.#bytes -= this.#weigh(value);
    }
    this.#sweepAt = Math.max(SWEEP, 2 * this.#names.size);
  }

  /** The server confirmed the change. */
  settle(value: T): void {
    value.pending = 0;
    const before = this.#previous.get(value);
    this.#previous.delete(value);
    if (before !== undefined) this.#bytes -= this.#weigh(before);
    if (value.closed && this.#names.get(value.name) === value) {
      this.#names.delete(value.name);
      this.#bytes -= this.#weigh(value);
    }
  }

  #undo(value: T): void {
    const before = this.#previous.get(value);
    this.#previous.delete(value);
    this.#bytes -= this.#weigh(value);
    let later = this.#names.get(value.name);
    if (later === value) {
      if (before === undefined) this.#names.delete(value.name);
      else this.#names.set(value.name, before);
      return;
    }
    // Changed again since, by a later group: what that one would go back to is now what this one stood on.
    while (later !== undefined && this.#previous.get(later) !== value) later = this.#previous.get(later);
    if (later !== undefined) this.#previous.set(later, before);
  }
}

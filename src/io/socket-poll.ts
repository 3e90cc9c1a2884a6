import { pollKeep, pollSet, pollStart, pollWait } from '../../native/binding/index.js';

/** What a socket waits for, or is ready for. */
export const Readiness = { none: 0, readable: 1, writable: 2, both: 3 } as const;

/** Somebody with a socket in the poll. */
export interface PollMember {
  onReady(readiness: number): void;
}

/** As many as the native side tells of at once. */
const MOST_EVENTS = 256;

/** The sockets that are watched together: one call into JavaScript a turn of the event loop, whatever their number. */
class SocketPoll {
  readonly #events = new Uint32Array(2 * MOST_EVENTS);
  /** By token. */
  readonly #members: (PollMember | null)[] = [];
  readonly #free: number[] = [];
  #started = false;
  #count = 0;
  #inTurn = false;
  readonly #afterwards: (() => void)[] = [];

  /** The token under which `member` is told of its socket. */
  join(member: PollMember): number {
    if (!this.#started) {
      pollStart?.(() => this.#turn());
      this.#started = true;
    }
    if (this.#count++ === 0) pollKeep(true);
    const token = this.#free.pop() ?? this.#members.length;
    this.#members[token] = member;
    return token;
  }

  /** Changes what the socket is watched for. */
  watch(fd: number, token: number, interest: number): void {
    pollSet(fd, token, interest);
  }

  /** The socket must be closed already, or watched for nothing. */
  leave(token: number): void {
    this.#members[token] = null;
    this.#free.push(token);
    if (--this.#count === 0) pollKeep(false);
  }

  /** Calls `fn` when every socket that is ready now has been served: at the end of the turn under way, else of the loop's. */
  afterTurn(fn: () => void): void {
    if (this.#inTurn) this.#afterwards.push(fn);
    else setImmediate(fn);
  }

  #turn(): void {
    const events = this.#events;
    const count = pollWait(events);
    this.#inTurn = true;
    try {
      // A token given on within this turn may bring its new owner an event too many: reading then finds nothing.
      for (let i = 0; i < count; i++) this.#members[events[2 * i] ?? 0]?.onReady(events[2 * i + 1] ?? 0);
    } finally {
      this.#inTurn = false;
      for (const fn of this.#afterwards.splice(0)) fn();
    }
  }
}

/** Whether this system has the poll. */
export const canPollSockets: boolean = pollStart !== undefined;

/** One for each thread, as there is one event loop. */
export const socketPoll = new SocketPoll();

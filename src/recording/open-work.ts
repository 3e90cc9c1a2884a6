/** Sessions without an end and intents without a result: what a crash would leave open. Each segment's header lists them. */
import type { LineType } from './model.ts';

const START = '"event":"start"';
const END = '"event":"end"';
const INTENT = '"intent":';

export interface OpenWorkLists {
  readonly sessions: readonly string[];
  readonly intents: readonly number[];
}

export class OpenWork {
  readonly #sessions = new Set<string>();
  /** With the session of each, '' when it came from a header. */
  readonly #intents = new Map<number, string>();

  constructor(lists?: OpenWorkLists) {
    for (const sid of lists?.sessions ?? []) this.#sessions.add(sid);
    for (const seq of lists?.intents ?? []) this.#intents.set(seq, '');
  }

  /** Takes one line into account. The members that it looks at are always written first. */
  follow(type: LineType, sid: string, members: string, seq: number): void {
    if (type === 'intent') {
      this.#intents.set(seq, sid);
    } else if (type === 'result') {
      if (members.startsWith(INTENT)) this.#intents.delete(Number.parseInt(members.slice(INTENT.length, INTENT.length + 16), 10));
    } else if (type === 'session') {
      if (members.startsWith(START)) this.#sessions.add(sid);
      else if (members.startsWith(END)) this.#end(sid);
    }
  }

  /** A recovery has said of these that they will never end. */
  recovered({ sessions, intents }: OpenWorkLists): void {
    for (const sid of sessions) this.#sessions.delete(sid);
    for (const seq of intents) this.#intents.delete(seq);
  }

  toJSON(): OpenWorkLists {
    return { sessions: [...this.#sessions], intents: [...this.#intents.keys()] };
  }

  /** What had no result when its session ended will never have one. */
  #end(sid: string): void {
    this.#sessions.delete(sid);
    for (const [seq, owner] of this.#intents) if (owner === sid) this.#intents.delete(seq);
  }
}

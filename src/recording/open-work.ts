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
  readonly #intents = new Set<number>();

  constructor(lists?: OpenWorkLists) {
    for (const sid of lists?.sessions ?? []) this.#sessions.add(sid);
    for (const seq of lists?.intents ?? []) this.#intents.add(seq);
  }

  /** Takes one line into account. The members that it looks at are always written first. */
  follow(type: LineType, sid: string, members: string, seq: number): void {
    if (type === 'intent') {
      this.#intents.add(seq);
    } else if (type === 'result') {
      if (members.startsWith(INTENT)) this.#intents.delete(Number.parseInt(members.slice(INTENT.length, INTENT.length + 16), 10));
    } else if (type === 'session') {
      if (members.startsWith(START)) this.#sessions.add(sid);
      else if (members.startsWith(END)) this.#sessions.delete(sid);
    }
  }

  toJSON(): OpenWorkLists {
    return { sessions: [...this.#sessions], intents: [...this.#intents] };
  }
}

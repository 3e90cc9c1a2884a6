import { randomBytes } from 'node:crypto';
import type { Store } from '../store/model.ts';
import type { AccessLog } from './audit.ts';
import type { LocalSessions } from './live.ts';
import type { AllSessions, SessionView } from './model.ts';
import type { Schedule } from './schedule.ts';

export interface OtherSessionsOptions {
  readonly store: Store;
  readonly local: LocalSessions;
  /** This process, as it is among the gateways of the store. */
  readonly process: string;
  /** A process that was not seen for so long is gone, ms. */
  readonly goneMs: number;
  readonly now: () => number;
  readonly schedule: Schedule;
  readonly log: AccessLog;
}

/** How long the other gateways have to answer, ms. */
export const ANSWER_MS = 2_000;
/** Whoever asks again so soon gets the same answer: each question is a row written by every gateway, ms. */
const SAME_ANSWER_MS = 1_000;
/** An answer that nobody has fetched by then is nobody's, ms. */
const KEPT_MS = 60_000;

/** A question to all gateways, and the word of one that its answer is in the store. */
export type SessionMessage =
  | { readonly list: string; readonly from: string; readonly sid: string }
  | { readonly listed: string; readonly from: string };

type Answer = { readonly sessions: readonly SessionView[]; readonly silent: readonly string[]; readonly complete: boolean };

/**
 * The open sessions of the other gateways. They are asked when somebody wants to see them, and answer through the store, since a
 * notification is too short: so a gateway that has gone has no sessions, and nothing is written while nobody looks.
 */
export class OtherSessions {
  readonly #options: OtherSessionsOptions;
  /** Questions that wait, by id: who has answered. */
  readonly #asked = new Map<string, (process: string) => void>();
  #latest: { readonly at: number; readonly answer: Promise<Answer> } | null = null;

  constructor(options: OtherSessionsOptions) {
    this.#options = options;
  }

  /** Never rejects: what could not be learned makes it incomplete. */
  list(): Promise<AllSessions> {
    const { now } = this.#options;
    if (this.#latest === null || Math.abs(now() - this.#latest.at) >= SAME_ANSWER_MS) this.#latest = { at: now(), answer: this.#ask('') };
    return this.#latest.answer;
  }

  /** One session, wherever it is. Null when no gateway that answers has it. */
  async find(sid: string): Promise<SessionView | null> {
    if (sid === '' || sid.length > 100) return null;
    const { sessions } = await this.#ask(sid);
    return sessions.find((session) => session.sid === sid) ?? null;
  }

  received(message: SessionMessage): void {
    if ('listed' in message) {
      this.#asked.get(message.listed)?.(message.from);
      return;
    }
    if (message.from === this.#options.process) return;
    this.#answer(message.list, message.sid).catch((error: unknown) =>
      this.#options.log.warn('a gateway could not be told of open sessions', { error: String(error) }),
    );
  }

  /** Forgets answers that were never fetched. */
  async prune(at: number): Promise<void> {
    await this.#options.store.db
      .deleteFrom('session_answers')
      .where('at', '<', at - KEPT_MS)
      .execute();
  }

  async #answer(request: string, sid: string): Promise<void> {
    const { store, local, process, now } = this.#options;
    const one = sid === '' ? null : local.view(sid);
    const sessions = sid === '' ? local.views() : one === null ? [] : [one];
    if (sessions.length > 0)
      await store.db
        .insertInto('session_answers')
        .values({ request, process, sessions: JSON.stringify(sessions), at: now() })
        .execute();
    const message: SessionMessage = { listed: request, from: process };
    await store.notify('sessions', JSON.stringify(message));
  }

  async #ask(sid: string): Promise<Answer> {
    const { store, log } = this.#options;
    // Nobody else can be at an embedded store.
    if (store.kind === 'embedded') return { sessions: [], silent: [], complete: true };
    try {
      const others = await this.#others();
      if (others.size === 0) return { sessions: [], silent: [], complete: true };
      const request = randomBytes(9).toString('base64url');
      const silent = await this.#answered(request, sid, others);
      const rows = await store.db.deleteFrom('session_answers').where('request', '=', request).returning('sessions').execute();
      const sessions = rows.flatMap((row) => JSON.parse(row.sessions) as SessionView[]);
      return { sessions, silent, complete: silent.length === 0 };
    } catch (error) {
      log.warn('the other gateways could not be asked for their sessions', { error: String(error) });
      return { sessions: [], silent: [], complete: false };
    }
  }

  /** The other gateways that are there, name by process. */
  async #others(): Promise<ReadonlyMap<string, string>> {
    const { store, process, now, goneMs } = this.#options;
    const rows = await store.db
      .selectFrom('gateways')
      .select(['process', 'gateway'])
      .where('process', '!=', process)
      .where('seen_at', '>', now() - goneMs)
      .execute();
    return new Map(rows.map((row) => [row.process, row.gateway]));
  }

  /** Asks, and waits until all have answered or the time is up. The names of those who have not. */
  async #answered(request: string, sid: string, others: ReadonlyMap<string, string>): Promise<readonly string[]> {
    const { store, process, schedule } = this.#options;
    const missing = new Map(others);
    let forget = (): void => {};
    const done = new Promise<void>((resolve) => {
      this.#asked.set(request, (from) => {
        missing.delete(from);
        if (missing.size === 0) resolve();
      });
      forget = schedule(ANSWER_MS, resolve);
    });
    try {
      const message: SessionMessage = { list: request, from: process, sid };
      await store.notify('sessions', JSON.stringify(message));
      await done;
      return [...missing.values()];
    } finally {
      forget();
      this.#asked.delete(request);
    }
  }
}

import { randomBytes } from 'node:crypto';
import type { Principal } from '../policy/model.ts';
import type { Store } from '../store/model.ts';
import type { AccessLog, Audit } from './audit.ts';
import type { LocalSessions } from './live.ts';
import type { AllSessions, LiveSession, LiveSessions, SessionView } from './model.ts';
import { ANSWER_MS, OtherSessions, type SessionMessage } from './other-sessions.ts';
import type { Schedule } from './schedule.ts';
import { storable } from './texts.ts';

export interface SharedLiveOptions {
  readonly store: Store;
  readonly audit: Audit;
  readonly local: LocalSessions;
  /** This process, as it is among the gateways of the store. */
  readonly process: string;
  /** A process that was not seen for so long is gone, ms. */
  readonly goneMs: number;
  readonly now: () => number;
  readonly schedule: Schedule;
  /** Looks once more whether a session that has just begun may go on. */
  readonly recheck: (session: LiveSession) => void;
  readonly log: AccessLog;
}

/** A notification carries at most 4,000 bytes. */
const MAX_REASON = 300;

type Message =
  | { readonly kill: string; readonly request: string; readonly by: string; readonly reason: string }
  | { readonly killed: string }
  | SessionMessage;

/** The open sessions of this process, and a way to see and to end those of the others. */
export class SharedSessions implements LiveSessions {
  readonly #options: SharedLiveOptions;
  readonly #asked = new Map<string, (killed: boolean) => void>();
  readonly #others: OtherSessions;

  constructor(options: SharedLiveOptions) {
    this.#options = options;
    this.#others = new OtherSessions(options);
  }

  add(session: LiveSession): () => void {
    const { local, recheck } = this.#options;
    const forget = local.add(session);
    // Between its log-in and now what it stands on may have been taken back, when it was in no list yet. Not at once: it is being made.
    queueMicrotask(() => recheck(session));
    return forget;
  }

  list(): readonly LiveSession[] {
    return this.#options.local.list();
  }

  async listAll(): Promise<AllSessions> {
    const others = await this.#others.list();
    return { ...others, sessions: [...this.#options.local.views(), ...others.sessions] };
  }

  async find(sid: string): Promise<SessionView | null> {
    return this.#options.local.view(sid) ?? (await this.#others.find(sid));
  }

  async kill(sid: string, by: Principal, reason: string, resource = ''): Promise<boolean> {
    const { audit, local } = this.#options;
    const why = storable(reason, MAX_REASON);
    // Whether or not the record takes it: an open session that somebody wants ended is the greater harm.
    const killed = local.killHere(sid, by.name, why) || (await this.#killElsewhere(sid, by.name, why));
    if (!killed) return false;
    const who = { name: by.name, issuer: by.issuer, subject: by.subject };
    audit.note(
      { type: 'config', event: 'session.kill', sid: '', user: by.name, resource },
      { session: sid, by: who, reason: why },
      { session: sid, by: by.name, reason: why },
    );
    await audit.recorded();
    return true;
  }

  /** A message of a gateway, this one included. */
  received(payload: string): void {
    const message = parse(payload);
    if (message === null) return;
    if ('list' in message || 'listed' in message) {
      this.#others.received(message);
      return;
    }
    if ('killed' in message) {
      this.#asked.get(message.killed)?.(true);
      return;
    }
    if (!this.#options.local.killHere(message.kill, message.by, message.reason)) return;
    const answer: Message = { killed: message.request };
    this.#options.store.notify('sessions', JSON.stringify(answer)).catch((error: unknown) => {
      this.#options.log.warn('a gateway could not be told that its session was ended', { error: String(error) });
    });
  }

  prune(at: number): Promise<void> {
    return this.#others.prune(at);
  }

  close(): void {
    for (const answered of [...this.#asked.values()]) answered(false);
  }

  async #killElsewhere(sid: string, by: string, reason: string): Promise<boolean> {
    if (sid.length > 100) return false;
    const request = randomBytes(9).toString('base64url');
    let forget = (): void => {};
    const answer = new Promise<boolean>((resolve) => {
      this.#asked.set(request, resolve);
      forget = this.#options.schedule(ANSWER_MS, () => resolve(false));
    });
    try {
      const message: Message = { kill: sid, request, by: storable(by, MAX_REASON), reason };
      await this.#options.store.notify('sessions', JSON.stringify(message));
      return await answer;
    } finally {
      forget();
      this.#asked.delete(request);
    }
  }
}

function parse(payload: string): Message | null {
  if (payload === '') return null;
  try {
    const message = JSON.parse(payload) as Readonly<Record<string, unknown>>;
    const { kill, killed, request, by, reason, list, listed, from, sid } = message;
    if (typeof killed === 'string') return { killed };
    if (typeof listed === 'string' && typeof from === 'string') return { listed, from };
    if (typeof list === 'string' && typeof from === 'string' && typeof sid === 'string') return { list, from, sid };
    if ([kill, request, by, reason].some((member) => typeof member !== 'string')) return null;
    return message as unknown as Message;
  } catch {
    return null;
  }
}

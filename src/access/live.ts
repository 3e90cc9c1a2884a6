import { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';
import type { LiveSession, LiveSessions } from './model.ts';

/** The open sessions of this process. */
export class LocalSessions implements LiveSessions {
  readonly #sessions = new Map<string, LiveSession>();

  add(session: LiveSession): () => void {
    this.#sessions.set(session.sid, session);
    return () => {
      if (this.#sessions.get(session.sid) === session) this.#sessions.delete(session.sid);
    };
  }

  list(): readonly LiveSession[] {
    return [...this.#sessions.values()];
  }

  kill(sid: string, by: Principal, reason: string): Promise<boolean> {
    return Promise.resolve(this.killHere(sid, by.name, reason));
  }

  /** Ends a session of this process; false when it has none of that id. */
  killHere(sid: string, by: string, reason: string): boolean {
    const session = this.#sessions.get(sid);
    if (session === undefined) return false;
    session.end(
      new GatewayError({
        code: 'session_killed',
        source: 'gateway',
        phase: 'shutdown',
        publicMessage: `the session was ended by ${by}${reason === '' ? '' : `: ${reason}`}`,
      }),
    );
    return true;
  }
}

import { GatewayError } from '../../errors.ts';
import type { PgSession } from './session.ts';

/** Looked at this often at least, ms: an idle session may live that much longer. */
const MAX_STEP_MS = 5_000;

/**
 * Ends people's sessions that have been idle for too long (PCI DSS 8.2.8). Services are exempt: pools keep connections. One timer for
 * all sessions: a session costs nothing for it while it works.
 */
export class IdleWatch {
  readonly #limitMs: number;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout | null;

  /** @param seconds 0: never. @param now ms of the clock by which sessions note when they were active. */
  constructor(seconds: number, now: () => number, sessions: () => Iterable<PgSession>) {
    this.#limitMs = seconds * 1000;
    this.#now = now;
    const look = (): void => {
      for (const session of sessions()) this.#look(session);
    };
    this.#timer = seconds === 0 ? null : setInterval(look, Math.min(MAX_STEP_MS, this.#limitMs / 4));
    this.#timer?.unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  #look(session: PgSession): void {
    const { live, state } = session;
    if (live.principal.kind === 'service') return;
    const now = this.#now();
    // Idling begins when the work is done.
    if (live.busy) state.lastActive = now;
    else if (now - live.lastActive >= this.#limitMs) session.fail(idle(this.#limitMs / 1000));
  }
}

function idle(seconds: number): GatewayError {
  const limit = seconds % 60 === 0 ? `${seconds / 60} minutes` : `${seconds} seconds`;
  return new GatewayError({
    code: 'session_idle',
    source: 'gateway',
    phase: 'shutdown',
    publicMessage: `the session was idle for ${limit}`,
    hint: 'log in again',
  });
}

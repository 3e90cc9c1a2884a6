import { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';
import type { AllSessions, LiveSession, LiveSessions, SessionView } from './model.ts';

/** The open sessions of this process. */
export class LocalSessions implements LiveSessions {
  readonly #sessions = new Map<string, LiveSession>();
  readonly #gateway: string;

  constructor(gateway = '') {
    this.#gateway = gateway;
  }

  add(session: LiveSession): () => void {
    this.#sessions.set(session.sid, session);
    return () => {
      if (this.#sessions.get(session.sid) === session) this.#sessions.delete(session.sid);
    };
  }

  list(): readonly LiveSession[] {
    return [...this.#sessions.values()];
  }

  listAll(): Promise<AllSessions> {
    return Promise.resolve({ sessions: this.views(), complete: true, silent: [] });
  }

  find(sid: string): Promise<SessionView | null> {
    return Promise.resolve(this.view(sid));
  }

  kill(sid: string, by: Principal, reason: string): Promise<boolean> {
    return Promise.resolve(this.killHere(sid, by.name, reason));
  }

  views(): readonly SessionView[] {
    return this.list().map((session) => viewOf(session, this.#gateway));
  }

  view(sid: string): SessionView | null {
    const session = this.#sessions.get(sid);
    return session === undefined ? null : viewOf(session, this.#gateway);
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

function viewOf(session: LiveSession, gateway: string): SessionView {
  const { principal, target } = session;
  return {
    gateway,
    sid: session.sid,
    protocol: session.protocol,
    user: principal.name,
    issuer: principal.issuer,
    subject: principal.subject,
    kind: principal.kind,
    groups: principal.groups,
    resource: target.resource,
    account: target.account,
    source: session.source,
    startedAt: Math.round(session.startedAt),
    busy: session.busy,
    operations: session.operations,
    denied: session.denied,
    masked: session.masked,
    grants: session.grants,
  };
}

/** The log-ins in a record: who came in, and who was refused and why. */
import { listChains } from './directory.ts';
import { readLines } from './read.ts';
import { listSessions } from './sessions.ts';

export interface LoginQuery {
  /** Name of who logged in, exactly; what was asked for behind a `+` does not count. */
  readonly user?: string;
  /** RFC 3339 in UTC, or a beginning of it. `until` is not included. */
  readonly since?: string;
  readonly until?: string;
  /** Only those that were refused. */
  readonly failed?: boolean;
}

export interface Login {
  readonly t: string;
  readonly ok: boolean;
  /** Why it was refused, e.g. `token_expired`; '' when it was not. */
  readonly code: string;
  /** As the client gave it, so of a refused one nobody has proved it. */
  readonly user: string;
  readonly resource: string;
  readonly source: string;
  /** Of the session that began; '' when none did. */
  readonly sid: string;
  /** Id of the credential, '' when it was refused. */
  readonly credential: string;
}

/** The log-ins that match all of the query, chain by chain in the order of their lines. */
export function* listLogins(path: string, query: LoginQuery): Generator<Login, void, void> {
  const sessions = new Map(listSessions(path).map((session) => [session.sid, session]));
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  for (const chain of listChains(path)) {
    for (const { line } of readLines(chain, { types: ['auth'] })) {
      const ok = line['ok'] === true;
      const user = text(line['user']);
      if (query.failed === true && ok) continue;
      if (query.user !== undefined && user.split('+', 1)[0] !== query.user) continue;
      if (query.since !== undefined && line.t < query.since) continue;
      if (query.until !== undefined && line.t >= query.until) continue;
      yield {
        t: line.t,
        ok,
        code: text(line['code']),
        user,
        resource: text(line['resource']) || (sessions.get(line.sid)?.resource ?? ''),
        source: text(line['source']),
        sid: line.sid,
        credential: text(line['credential']),
      };
    }
  }
}

import type { OpenAccount } from '../../access/accounts.ts';
import { GatewayError } from '../../errors.ts';
import type { Principal } from '../../policy/model.ts';
import { jsonString } from '../../recording/json.ts';
import type { ProtocolServices } from '../protocol.ts';
import type { ClientLogin } from './login.ts';

/** What log-ins leave in the record and in the stream of events. */

export interface SessionStart {
  readonly sid: string;
  readonly chosen: OpenAccount;
  readonly source: string;
  readonly secure: boolean;
  /** The client's own application_name. */
  readonly application: string;
  /** What it is for, masked; '' when the client did not say. */
  readonly reason: string;
}

/** The start of a session is on disk before the target hears of it. Rejects when it could not be recorded. */
export function recordStart(services: ProtocolServices, start: SessionStart): Promise<void> {
  const { recorder, masker, access } = services;
  const { sid, chosen, source } = start;
  const { principal, target, grants } = chosen;
  const line = {
    event: 'start',
    principal: principalOf(principal),
    source,
    target: { ...target, user: chosen.account.user },
    ...(grants.length === 0 ? {} : { grants }),
    protocol: target.kind,
    client: { application: masker.string(start.application) },
    ...(start.reason === '' ? {} : { reason: start.reason }),
    tls: start.secure,
    snapshot: services.policy().snapshot,
  };
  const { credential } = principal;
  recorder.append(
    'auth',
    sid,
    `"ok":true,"user":${jsonString(principal.name)},"source":${jsonString(source)},"credential":${jsonString(credential.id)}`,
  );
  const seq = recorder.append('session', sid, JSON.stringify(line).slice(1, -1));
  access.events.emit({
    type: 'session.start',
    sid,
    user: principal.name,
    resource: target.resource,
    line: seq,
    detail: { kind: principal.kind, issuer: principal.issuer, account: target.account, protocol: target.kind, source, grants },
  });
  return new Promise((resolve, reject) => recorder.whenRecorded({ onRecorded: (error) => (error === null ? resolve() : reject(error)) }));
}

/** A session that has begun in the record and could not be opened. */
export function recordUnopened(services: ProtocolServices, sid: string, { principal, target }: OpenAccount, reason: string): void {
  const { recorder, access } = services;
  if (recorder.failure !== null) return;
  const members = `"event":"end","reason":${jsonString(reason)},"ops":0,"denied":0,"seconds":0,"masked":{}`;
  const line = recorder.append('session', sid, members);
  const detail = { reason, operations: 0, denied: 0, seconds: 0, issuer: principal.issuer, cards: 0 };
  access.events.emit({ type: 'session.end', sid, user: principal.name, resource: target.resource, line, detail });
}

/** A log-in that was refused. Calls `then` when the record has it, or at once when the record has failed. */
export function recordRefusal(services: ProtocolServices, login: ClientLogin, source: string, error: GatewayError, then: () => void): void {
  const { recorder, log, masker, access } = services;
  // A name or a setting can be anything that the client has typed.
  const masked = (text: string): string => masker.string(text);
  const name = login.parameters.get('user') ?? '';
  const user = masked(name.slice(0, 256));
  const resource = masked((login.parameters.get('database') ?? name).slice(0, 256));
  const { cause } = error;
  const why = cause instanceof Error ? cause.message : String(cause);
  log.info('login refused', { code: error.code, source, error: masked(cause === undefined ? error.message : `${error.message}: ${why}`) });
  if (recorder.failure === null) {
    const { code } = error;
    const members = `"ok":false,"code":${jsonString(code)},"user":${jsonString(user)},"resource":${jsonString(resource)},"source":${jsonString(source)}`;
    const line = recorder.append('auth', '', members);
    // Who asks where to get a token has not failed to log in, and neither has who never said a word.
    if (code !== 'oauth_discovery' && login.spoke)
      access.events.emit({ type: 'login.failed', sid: '', user, resource, line, detail: { code, source } });
  }
  recorder.whenRecorded({ onRecorded: then });
}

/** Connections were refused because too many had not logged in: the last of them, and how many since this was recorded last. */
export function recordCrowd({ recorder, log }: ProtocolServices, source: string, refused: number): void {
  const code = 'too_many_logins';
  log.warn('connections refused: too many have not logged in', { code, source, refused });
  if (recorder.failure === null)
    recorder.append('auth', '', `"ok":false,"code":"${code}","source":${jsonString(source)},"refused":${refused}`);
}

function principalOf({ name, issuer, subject, kind, groups, credential, claims }: Principal): object {
  const expires = new Date(credential.expiresAt).toISOString();
  const evidence = Object.keys(claims).length === 0 ? {} : { claims };
  return { name, issuer, subject, kind, groups, credential: { kind: credential.kind, id: credential.id, expires }, ...evidence };
}

/** Whatever a log-in failed with, as what may be said of it. */
export function loginError(error: unknown): GatewayError {
  return error instanceof GatewayError
    ? error
    : new GatewayError({ code: 'login_failed', source: 'client', phase: 'login', cause: error, publicMessage: 'the login failed' });
}

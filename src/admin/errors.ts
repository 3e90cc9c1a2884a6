import { randomBytes } from 'node:crypto';

import { GatewayError } from '../errors.ts';
import type { Decision, Principal } from '../policy/model.ts';
import { type ApiReply, json } from './http.ts';
import type { ApiLog } from './services.ts';

/** A request that policy does not allow: 403 with the policies that decided. */
export class Forbidden extends GatewayError {
  readonly policies: readonly string[];

  constructor(decision: Exclude<Decision, { kind: 'allow' }>) {
    super({
      code: 'forbidden',
      source: 'client',
      phase: 'decide',
      publicMessage: decision.message,
      ...(decision.hint === '' ? {} : { hint: decision.hint }),
    });
    this.policies = decision.policies;
  }
}

/** Comes again too soon: 429 with Retry-After. */
export class TooMany extends GatewayError {
  readonly seconds: number;

  constructor(seconds: number) {
    super({
      code: 'too_many_requests',
      source: 'client',
      phase: 'login',
      retryable: true,
      publicMessage: 'too many attempts',
      hint: `try again in ${seconds} s`,
    });
    this.seconds = seconds;
  }
}

/** What is wrong with a request as it stands. */
export function refuse(
  code: 'request_invalid' | 'not_found' | 'csrf' | 'unauthenticated' | 'conflict',
  publicMessage: string,
): GatewayError {
  return new GatewayError({ code, source: 'client', phase: code === 'unauthenticated' ? 'login' : 'decide', publicMessage });
}

/** Throws `approval_own` or `grant_own`. */
export function refuseOwn(kind: 'approval' | 'grant'): never {
  throw new GatewayError({
    code: `${kind}_own`,
    source: 'client',
    phase: 'decide',
    publicMessage: 'nobody decides on a request of their own, nor of a service whose key they made',
  });
}

/**
 * Only people decide on requests: a service's key can be made and held by whoever asked, who would then decide for himself.
 * Throws `person_required`.
 */
export function mustBePerson(principal: Principal): void {
  if (principal.kind === 'user') return;
  throw new GatewayError({
    code: 'person_required',
    source: 'client',
    phase: 'decide',
    publicMessage: 'only people decide on requests',
    hint: 'log in as yourself',
  });
}

const statuses: Readonly<Record<string, number>> = {
  forbidden: 403,
  csrf: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  request_invalid: 400,
  too_many_requests: 429,
  person_required: 403,
  approval_own: 403,
  grant_own: 403,
  approval_not_yours: 403,
  approval_too_many: 429,
  grant_not_yours: 403,
  grant_denied: 403,
  grant_too_many: 429,
  grant_unconfirmed: 409,
  grant_resource: 404,
  grant_role: 404,
  name_taken: 409,
  name_unusable: 403,
  login_unknown: 400,
  login_expired: 400,
  login_denied: 403,
  saml_invalid: 400,
  saml_replayed: 400,
  token_lifetime: 400,
  groups_too_many: 403,
  code_invalid: 400,
  user_ambiguous: 409,
  provider_unknown: 404,
  key_lifetime: 400,
  service_name_unusable: 400,
  service_group_unusable: 400,
  store_unavailable: 503,
  issuer_unavailable: 503,
  record_failed: 503,
  record_closed: 503,
};

/** The HTTP status of an error. */
export function statusOf(error: GatewayError): number {
  const known = statuses[error.code];
  if (known !== undefined) return known;
  if (error.source !== 'client') return error.retryable ? 503 : 500;
  if (error.phase === 'login') return 401;
  if (error.code.endsWith('_unknown')) return 404;
  return /_(decided|voted|ended|taken)$/.test(error.code) ? 409 : 400;
}

/** The answer to whatever was thrown. Of an error that is none of ours the client learns its number and nothing else. */
export function errorReply(error: unknown, log: ApiLog): ApiReply {
  const known = error instanceof GatewayError && statusOf(error) !== 500 ? error : null;
  if (known === null) {
    const id = randomBytes(6).toString('hex');
    log.error('a request of the API failed', { id, error: error instanceof Error ? error.message : String(error) });
    return json(500, { error: { code: 'internal', message: 'the gateway failed to answer; its log tells why', id } });
  }
  const headers: [string, string][] = [];
  if (known instanceof TooMany) headers.push(['Retry-After', String(known.seconds)]);
  const status = statusOf(known);
  if (status === 401) headers.push(['WWW-Authenticate', 'Bearer realm="sluice"']);
  return json(
    status,
    {
      error: {
        code: known.code,
        message: known.publicMessage,
        ...(known.hint === undefined ? {} : { hint: known.hint }),
        ...(known instanceof Forbidden ? { policies: known.policies } : {}),
      },
    },
    headers,
  );
}

import { GatewayError } from '../errors.ts';

/** Refusals of identity: the code says what was wrong, for the record; the message says no more than the client may know. */

/** A presented credential that is not taken. Which check it failed is nobody's business but the operator's. */
export function notAccepted(code: string, cause?: unknown): GatewayError {
  return refuse(code, 'the credential is not accepted', {
    hint: 'get a new one from your identity provider, or with: sluice login',
    cause,
  });
}

export function refuse(
  code: string,
  publicMessage: string,
  more: { readonly hint?: string; readonly cause?: unknown; readonly retryable?: boolean } = {},
): GatewayError {
  return new GatewayError({
    code,
    source: 'client',
    phase: 'login',
    publicMessage,
    retryable: more.retryable ?? false,
    ...(more.hint === undefined ? {} : { hint: more.hint }),
    ...(more.cause === undefined ? {} : { cause: more.cause }),
  });
}

/** The identity provider does not answer, or answers with what it must not. */
export function issuerUnavailable(provider: string, cause: unknown): GatewayError {
  return new GatewayError({
    code: 'issuer_unavailable',
    source: 'upstream',
    phase: 'login',
    retryable: true,
    cause,
    publicMessage: `the identity provider ${provider} cannot be reached`,
    hint: 'try again in a minute',
  });
}

export function storeUnavailable(cause?: unknown): GatewayError {
  return new GatewayError({
    code: 'store_unavailable',
    source: 'gateway',
    phase: 'login',
    retryable: true,
    ...(cause === undefined ? {} : { cause }),
    publicMessage: 'the control store is not available',
    hint: 'try again in a minute',
  });
}

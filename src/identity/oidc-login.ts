import { randomBytes } from 'node:crypto';
import type { JWTPayload } from 'jose';
import {
  AuthorizationResponseError,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  ClientError,
  type Configuration,
  calculatePKCECodeChallenge,
  fetchUserInfo,
  genericGrantRequest,
  initiateDeviceAuthorization,
  ResponseBodyError,
  randomNonce,
  randomPKCECodeVerifier,
  refreshTokenGrant,
  type TokenEndpointResponse,
} from 'openid-client';

import { GatewayError } from '../errors.ts';
import { groupsOf, subjectOf } from './claims.ts';
import { issuerUnavailable, notAccepted, refuse } from './failure.ts';
import type { OidcProvider } from './oidc-provider.ts';

const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

/** Codes of the library for a provider that gave no answer worth the name. */
const silent = new Set([
  'OAUTH_TIMEOUT',
  'OAUTH_ABORT',
  'OAUTH_RESPONSE_IS_NOT_CONFORM',
  'OAUTH_RESPONSE_IS_NOT_JSON',
  'OAUTH_PARSE_ERROR',
]);

/** What the provider said of someone who logged in. */
export interface Vouched {
  /** Of the ID token, and of the UserInfo endpoint where the ID token lacks the name or the groups. */
  readonly claims: JWTPayload;
  readonly refreshToken: string | null;
}

/** What must be remembered between sending a browser away and its return. */
export interface CodeAttempt {
  readonly redirectUri: string;
  readonly verifier: string;
  readonly nonce: string;
}

export interface DeviceAuthorization {
  readonly deviceCode: string;
  readonly userCode: string;
  readonly verificationUri: string;
  readonly verificationUriComplete: string | null;
  readonly expiresInSeconds: number;
  readonly intervalSeconds: number;
}

/** How a refresh went: `gone` is the provider's word that the user's grant has ended. `groups` is null where it says nothing of them. */
export type Refreshed =
  | { readonly state: 'here'; readonly refreshToken: string | null; readonly groups: readonly string[] | null }
  | { readonly state: 'gone'; readonly why: string };

/** The grants of OAuth 2.0 and OpenID Connect that log-ins use, with one provider. Errors are GatewayError. */
export class OidcLogin {
  readonly #provider: OidcProvider;

  constructor(provider: OidcProvider) {
    this.#provider = provider;
  }

  newAttempt(redirectUri: string): CodeAttempt {
    return { redirectUri, verifier: randomPKCECodeVerifier(), nonce: randomNonce() };
  }

  /** Authorization code with PKCE (S256), state and nonce. */
  async authorizationUrl(attempt: CodeAttempt, state: string): Promise<string> {
    const client = await this.#provider.client();
    const url = buildAuthorizationUrl(client, {
      redirect_uri: attempt.redirectUri,
      scope: this.#scope,
      code_challenge: await calculatePKCECodeChallenge(attempt.verifier),
      code_challenge_method: 'S256',
      state,
      nonce: attempt.nonce,
      // A refresh token for when the user is away needs consent (OpenID Connect Core 11).
      ...(this.#provider.config.scopes.includes('offline_access') ? { prompt: 'consent' } : {}),
    });
    return url.href;
  }

  /** `query` is what the provider sent the browser back with. */
  async redeemCode(attempt: CodeAttempt, query: URLSearchParams, state: string): Promise<Vouched> {
    const client = await this.#provider.client();
    // The address is the one that was asked for: how a proxy in front names the gateway does not matter.
    const current = new URL(attempt.redirectUri);
    current.search = query.toString();
    const checks = { pkceCodeVerifier: attempt.verifier, expectedState: state, expectedNonce: attempt.nonce, idTokenExpected: true };
    return this.#vouched(client, await this.#asked(() => authorizationCodeGrant(client, current, checks)), attempt.nonce);
  }

  async beginDevice(): Promise<DeviceAuthorization> {
    const client = await this.#provider.client();
    if (client.serverMetadata().device_authorization_endpoint === undefined) {
      throw refuse('device_unsupported', `the identity provider ${this.#provider.config.name} offers no log-in for devices`);
    }
    const begun = await this.#asked(() => initiateDeviceAuthorization(client, { scope: this.#scope }));
    return {
      deviceCode: begun.device_code,
      userCode: begun.user_code,
      verificationUri: begun.verification_uri,
      verificationUriComplete: begun.verification_uri_complete ?? null,
      expiresInSeconds: begun.expires_in,
      // RFC 8628, 3.2: five seconds when the provider says nothing.
      intervalSeconds: begun.interval ?? 5,
    };
  }

  /** Null: not yet. `slower`: not yet, and asked too often (RFC 8628, 3.5). */
  async pollDevice(deviceCode: string): Promise<Vouched | 'pending' | 'slower'> {
    const client = await this.#provider.client();
    try {
      const answer = await genericGrantRequest(client, DEVICE_GRANT, { device_code: deviceCode });
      return await this.#vouched(client, answer, null);
    } catch (error) {
      if (error instanceof ResponseBodyError && error.error === 'authorization_pending') return 'pending';
      if (error instanceof ResponseBodyError && error.error === 'slow_down') return 'slower';
      throw this.#failed(error);
    }
  }

  /** Asks whether the user behind a refresh token is still there. Throws `issuer_unavailable` when the provider does not say. */
  async refresh(refreshToken: string, subject: string): Promise<Refreshed> {
    const client = await this.#provider.client();
    let answer: TokenEndpointResponse;
    try {
      answer = await refreshTokenGrant(client, refreshToken);
    } catch (error) {
      if (error instanceof ResponseBodyError && error.error === 'invalid_grant')
        return { state: 'gone', why: 'the refresh token is no longer good' };
      throw this.#failed(error);
    }
    const unsaid: Refreshed = { state: 'here', refreshToken: answer.refresh_token ?? null, groups: null };
    if (answer.id_token === undefined) return unsaid;
    try {
      const { claims } = await this.#vouched(client, answer, null);
      // OpenID Connect Core 12.2: an ID token of a refresh names the same subject.
      if (claims.sub !== subject) return { state: 'gone', why: 'the refresh token names another subject' };
      const { groupsClaim } = this.#provider.config;
      // Many providers leave the claim out of a refresh: that says nothing.
      return claims[groupsClaim] === undefined ? unsaid : { ...unsaid, groups: groupsOf(claims, groupsClaim, new Set()) };
    } catch {
      // The token was replaced and must be kept, or the next refresh would look like a user who left.
      return unsaid;
    }
  }

  get #scope(): string {
    const { scopes } = this.#provider.config;
    return (scopes.includes('openid') ? scopes : ['openid', ...scopes]).join(' ');
  }

  /** The library checks what belongs to the grant; signature, algorithm and times are checked here as for any token. */
  async #vouched(client: Configuration, answer: TokenEndpointResponse, nonce: string | null): Promise<Vouched> {
    if (answer.id_token === undefined) throw notAccepted('token_malformed', new Error('no ID token'));
    let claims = await this.#idToken(answer.id_token);
    if (nonce !== null && claims['nonce'] !== nonce) throw notAccepted('token_nonce');
    const { nameClaim, groupsClaim } = this.#provider.config;
    const lacking = claims[nameClaim] === undefined || claims[groupsClaim] === undefined;
    if (lacking && client.serverMetadata().userinfo_endpoint !== undefined) {
      const subject = subjectOf(claims.sub);
      const more = await this.#asked(() => fetchUserInfo(client, answer.access_token, subject));
      claims = { ...more, ...claims };
    }
    return { claims, refreshToken: answer.refresh_token ?? null };
  }

  #idToken(token: string): Promise<JWTPayload> {
    return this.#provider.verify(token, [this.#provider.config.clientId], [undefined, 'jwt']);
  }

  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Errors of the library may quote what was sent: only their codes go on. */
  #failed(error: unknown): GatewayError {
    if (error instanceof GatewayError) return error;
    if (error instanceof AuthorizationResponseError) return denied(error.error);
    if (error instanceof ResponseBodyError) {
      return error.status >= 500 ? issuerUnavailable(this.#provider.config.name, new Error(`status ${error.status}`)) : denied(error.error);
    }
    if (error instanceof ClientError && error.code !== undefined && !silent.has(error.code))
      return notAccepted('login_invalid', new Error(error.code));
    const cause = error instanceof ClientError && error.cause instanceof Error ? error.cause : error;
    return issuerUnavailable(this.#provider.config.name, new Error(cause instanceof Error ? cause.message : 'no answer'));
  }
}

function denied(code: string): GatewayError {
  return refuse('login_denied', 'the identity provider did not let the log-in pass', { cause: new Error(code) });
}

/** Ties a log-in to one browser. */
export function newBinding(): string {
  return randomBytes(32).toString('base64url');
}

import type { Principal } from '../policy/model.ts';

/** What a token of the gateway may be for alone: connections to resources, or the API. */
export type TokenPart = 'connect' | 'api';

/** Checks a presented token. Throws GatewayError (`token_malformed`, `token_signature`, `token_expired`, `token_user_mismatch` ...), phase `login`. */
export interface TokenVerifier {
  /** `user` is the name the client logged in with (before any `+account`); it must be the token's own. Null: the token alone says it. */
  verify(token: string, user: string | null): Principal;
}

/**
 * Checks whatever a client presents: a token of this gateway, a token of a configured issuer, a service key. The code of an error says
 * what was wrong and belongs into the record; the client may be told `publicMessage`, which says no more than "not accepted".
 */
export interface Authenticator {
  /** Errors as of TokenVerifier, and `revoked`, `name_taken`, `issuer_unknown`, `issuer_unavailable`, `key_unknown`, `store_unavailable`. */
  authenticate(secret: string, user: string): Promise<Principal>;
  /**
   * As `authenticate` where the protocol takes the name from the token itself (OAUTHBEARER without a user, the API). A token that was
   * issued for another part of the gateway than `audience` (default `connect`, as of `authenticate`) is refused: `token_audience`.
   */
  authenticateBearer(token: string, audience?: TokenPart): Promise<Principal>;
}

/** An identity provider that people can log in with. */
export interface LoginProvider {
  readonly name: string;
  readonly kind: 'oidc' | 'saml';
}

/** Where to send the browser. */
export interface LoginStart {
  readonly url: string;
  /**
   * Ties the log-in to the browser that began it (else a link could log someone in as somebody else): set as a cookie, HttpOnly,
   * Secure, for 10 minutes, and given to `finish`. SameSite=Lax for OIDC; None for SAML, whose answer is a POST from elsewhere.
   */
  readonly binding: string;
}

/** A log-in that succeeded. */
export interface Login {
  /**
   * With the provider's issuer and subject. `credential.id` names this log-in: revoking it ends the web sessions on it, and
   * tokens issued from it are refused (they name it in `credential.parents`); `credential.expiresAt` is how long a web session may live on it.
   */
  readonly principal: Principal;
  readonly provider: string;
  /** What `begin` was given. */
  readonly purpose: string;
}

/** What a person at a terminal without a browser must be shown (RFC 8628). */
export interface DeviceStart {
  /** Secret of whoever asked; given to `pollDevice`. */
  readonly id: string;
  readonly userCode: string;
  readonly verificationUri: string;
  /** With the code in it, where the provider gives it; else null. */
  readonly verificationUriComplete: string | null;
  readonly expiresInSeconds: number;
  /** How often to poll at most. */
  readonly intervalSeconds: number;
}

export type DevicePoll =
  | { readonly state: 'pending'; readonly intervalSeconds: number }
  | { readonly state: 'done'; readonly login: Login };

/** A token of this gateway for clients that know passwords only. */
export interface IssuedToken {
  readonly token: string;
  readonly id: string;
  /** ms since the epoch. */
  readonly expiresAt: number;
}

/** What is known of a token; never the token. */
export interface TokenInfo {
  readonly id: string;
  readonly name: string;
  readonly kind: 'user' | 'service';
  readonly issuer: string;
  readonly subject: string;
  readonly provider: string;
  /** What it is for alone; null: everything, as a log-in is. */
  readonly audience: TokenPart | null;
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly lastUsedAt: number | null;
}

/**
 * Log-ins of people with the configured providers. Successes and failures are `auth` lines of the record, made here. Errors are
 * GatewayError of phase `login`: `provider_unknown`, `login_unknown` (never begun, used already, or another browser), `login_expired`,
 * `login_denied` (the person or the provider said no), `issuer_unavailable`, `name_taken`, `name_unusable`, `revoked`,
 * `store_unavailable`, `saml_invalid`, and those of tokens.
 */
export interface LoginService {
  providers(): readonly LoginProvider[];
  /**
   * `redirectUri` is the gateway's own address that the provider sends the browser back to: GET with a query for OIDC, POST of a
   * form for SAML. `purpose` comes back from `finish` unchanged (up to 2,000 characters): where to go on, for example.
   */
  begin(provider: string, options: { readonly redirectUri: string; readonly purpose: string }): Promise<LoginStart>;
  /** OIDC. `query` is the query string that the browser came back with, `binding` the content of its cookie, `source` its address. */
  finish(query: string, binding: string, source?: string): Promise<Login>;
  /** SAML. `body` is the form as posted (application/x-www-form-urlencoded). */
  finishSaml(body: string, binding: string, source?: string): Promise<Login>;
  beginDevice(provider: string): Promise<DeviceStart>;
  pollDevice(id: string, source?: string): Promise<DevicePoll>;
  /**
   * A token that carries the principal, issuer and subject of its provider included. It lives `identity.token_ttl` at most, and no
   * longer than what it is made from unless that is a log-in: a token cannot renew itself. Throws `token_lifetime`, `groups_too_many`.
   */
  issueFor(principal: Principal, options?: { readonly ttlSeconds?: number; readonly audience?: TokenPart }): Promise<IssuedToken>;
  /**
   * A code for the command line on the loopback interface, good once and for 60 s. `challenge` is the base64url SHA-256 of a
   * verifier that only the command line knows (PKCE, S256).
   */
  grantCode(principal: Principal, challenge: string): Promise<string>;
  /** Throws `code_invalid`. A wrong verifier spends the code. */
  redeemCode(code: string, verifier: string): Promise<Principal>;
  /** OpenID Connect Back-Channel Logout: `logout_token` of the form. Everything that stands on the log-ins it names ends. */
  backchannelLogout(logoutToken: string): Promise<void>;
  /** Asks the providers whether the people behind open log-ins are still there; also done every few minutes. Returns who is not. */
  checkUsers(): Promise<readonly { readonly name: string; readonly issuer: string }[]>;
}

/** Tokens and log-ins that are open. */
export interface IssuedTokens {
  /** Open ones, newest first; of one user when named. */
  list(filter: { readonly user?: string; readonly limit: number }): Promise<readonly TokenInfo[]>;
  get(id: string): Promise<TokenInfo | null>;
}

/** A key of a service account as it is shown; the key itself is shown once, when it is made. */
export interface ServiceKey {
  readonly id: string;
  readonly service: string;
  readonly groups: readonly string[];
  readonly createdBy: string;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly lastUsedAt: number | null;
  /** The key that takes its place. */
  readonly replacedBy: string | null;
  /** `replaced`: goes on for its overlap. A key that was rotated without one is `revoked`. */
  readonly state: 'open' | 'replaced' | 'expired' | 'revoked';
}

/** Told of each log-in, token or service key that ends, why, and by whom. */
export type CredentialRevoked = (id: string, why: string, by: Principal | 'identity-provider') => Promise<void>;

/**
 * Keys of service accounts. Every change is a `config` line of the record, made here; who may make it is the caller's to decide.
 * Errors are GatewayError: `service_name_unusable`, `name_taken`, `key_unknown`, `key_ended`, `key_lifetime`, `store_unavailable`.
 */
export interface ServiceKeys {
  create(wanted: {
    readonly service: string;
    readonly groups: readonly string[];
    readonly ttlSeconds: number;
    readonly by: Principal;
  }): Promise<{ readonly key: ServiceKey; readonly secret: string }>;
  /** A new key with the same groups and lifetime; the old one goes on for `overlapSeconds`. */
  rotate(id: string, overlapSeconds: number, by: Principal): Promise<{ readonly key: ServiceKey; readonly secret: string }>;
  /** Ends the key and the sessions that stand on it. */
  revoke(id: string, by: Principal, reason: string): Promise<void>;
  /** Keys that have not expired, and those that did within 90 days. */
  list(): Promise<readonly ServiceKey[]>;
}

/** What identity is composed of; made by `createIdentity`. */
export interface Identity {
  readonly authenticator: Authenticator;
  readonly logins: LoginService;
  readonly serviceKeys: ServiceKeys;
  readonly tokens: IssuedTokens;
  /** Lets the other gateways of the store know with which key this one signs, and learns theirs. Before it, and without it, tokens of others are refused. */
  start(): Promise<void>;
  close(): Promise<void>;
}

import { decodeJwt, type JWTPayload } from 'jose';

import { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';
import type { Store } from '../store/model.ts';
import type { Attempts } from './attempts.ts';
import { isShort } from './claims.ts';
import { notAccepted, storeUnavailable } from './failure.ts';
import type { OpenLogin, TokenStore } from './issued-tokens.ts';
import type { CredentialRevoked } from './model.ts';
import { OidcLogin } from './oidc-login.ts';
import type { OidcProvider } from './oidc-provider.ts';
import type { ServiceKeyStore } from './service-keys.ts';

/** How often the providers are asked. */
export const CHECK_MS = 5 * 60_000;
/** No answer takes longer than this. */
const LEASE_MS = 60_000;
const PAGE = 200;
const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';

export interface IdentityLog {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

export interface DepartureParts {
  readonly oidc: readonly OidcProvider[];
  readonly store: Store | null;
  readonly attempts: Attempts | null;
  readonly tokens: TokenStore;
  readonly keys: ServiceKeyStore;
  readonly check: (principal: Principal) => void;
  readonly onRevoked: (name: string, issuer: string, why: string) => Promise<void>;
  readonly onReturned: (principal: Principal, why: string) => Promise<void>;
  readonly onCredentialRevoked: CredentialRevoked;
  readonly now: () => number;
  readonly log: IdentityLog;
}

/** Notices who left the identity provider, and ends what they had here. */
export class Departures {
  readonly #parts: DepartureParts;
  readonly #logins: ReadonlyMap<string, OidcLogin>;

  constructor(parts: DepartureParts) {
    this.#parts = parts;
    this.#logins = new Map(parts.oidc.map((provider) => [provider.config.name, new OidcLogin(provider)]));
  }

  /**
   * Asks for every open log-in with a refresh token whether its user is still there. `now`: also those that another gateway asked
   * for a moment ago.
   */
  async check(now: boolean): Promise<readonly { readonly name: string; readonly issuer: string }[]> {
    const gone = new Map<string, { readonly name: string; readonly issuer: string }>();
    const silent = new Set<string>();
    for (let after = ''; ; ) {
      const page = await this.#parts.tokens.openLogins(after, PAGE);
      for (const login of page) {
        const user = `${login.issuer}\n${login.subject}`;
        if (gone.has(user) || silent.has(login.provider)) continue;
        try {
          const why = await this.#ask(login, now);
          if (why === null) continue;
          gone.set(user, { name: login.name, issuer: login.issuer });
          await this.#left(login, why);
        } catch (error) {
          // A provider that does not answer says nothing of anybody: its users stay until their tokens expire.
          if (error instanceof GatewayError && error.code === 'issuer_unavailable') silent.add(login.provider);
          this.#parts.log.warn('a user could not be looked up at the identity provider', {
            provider: login.provider,
            error: String(error),
          });
        }
      }
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) return [...gone.values()];
      after = last.id;
    }
  }

  /** Why the user is gone, or null. */
  async #ask(login: OpenLogin, now: boolean): Promise<string | null> {
    const { attempts, tokens } = this.#parts;
    const provider = this.#logins.get(login.provider);
    if (provider === undefined || attempts === null) return null;
    // Two gateways must not use one refresh token: a provider that sees it twice takes it for stolen.
    const due = await attempts.lease('refresh-asked', login.id, this.#parts.now() + CHECK_MS * 0.8);
    if (!due && !now) return null;
    if (!(await attempts.lease('refresh', login.id, this.#parts.now() + LEASE_MS))) return null;
    try {
      const kept = await tokens.refreshOf(login.id);
      if (kept === null) return null;
      const answer = await provider.refresh(kept.token, login.subject);
      if (answer.state === 'gone') return answer.why;
      const { refreshToken, groups } = answer;
      if (refreshToken !== null && refreshToken !== kept.token) await tokens.keepRefresh(login.id, { ...kept, token: refreshToken });
      const lost = groups === null ? [] : kept.groups.filter((group) => !groups.includes(group));
      if (lost.length > 0) await this.#endLogin(login, lost);
      return null;
    } finally {
      await attempts.release('refresh', login.id);
    }
  }

  /** A log-in says who is in which groups for hours: once it is wrong, what stands on it ends, and the user logs in anew. */
  async #endLogin(login: OpenLogin, lost: readonly string[]): Promise<void> {
    const { tokens, log } = this.#parts;
    log.info('a user lost groups at the identity provider', { provider: login.provider, user: login.name, groups: lost });
    const why = `no longer in ${lost.join(', ')} at the identity provider ${login.provider}`;
    await this.#parts.onCredentialRevoked(login.id, why, 'identity-provider');
    await tokens.keepRefresh(login.id, null);
  }

  async #left(login: OpenLogin, why: string): Promise<void> {
    const { tokens, keys, log } = this.#parts;
    const reason = `left the identity provider ${login.provider}: ${why}`;
    log.info('a user left the identity provider', { provider: login.provider, user: login.name, why });
    await this.#parts.onRevoked(login.name, login.issuer, reason);
    await this.#endAll(login.issuer, login.subject, reason);
    await keys.revokeMadeBy(login.name, reason);
    await tokens.keepRefresh(login.id, null);
  }

  /** Each by itself: should the user come back, what was open before stays closed. */
  async #endAll(issuer: string, subject: string, reason: string): Promise<void> {
    for (const { id } of await this.#parts.tokens.openOf(issuer, subject)) {
      await this.#parts.onCredentialRevoked(id, reason, 'identity-provider');
      await this.#parts.tokens.keepRefresh(id, null);
    }
  }

  /** A user who was gone and whom the provider lets in anew is there again; who was revoked by a person stays so. */
  async readmit(principal: Principal): Promise<void> {
    const { check, store, onReturned } = this.#parts;
    try {
      check(principal);
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== 'revoked' || store === null) throw error;
      const row = await store.db
        .selectFrom('revocations')
        .select('revoked_by')
        .where('kind', '=', 'user')
        .where('id', '=', `${principal.issuer} ${principal.name}`)
        .executeTakeFirst();
      if (row?.revoked_by !== 'identity-provider') throw error;
      await onReturned(principal, 'logged in at the identity provider again');
    }
  }

  /**
   * OpenID Connect Back-Channel Logout 1.0. Ends what the subject has open; logging in again is the provider's to allow. Throws as
   * for tokens, and `logout_replayed`.
   */
  async backchannelLogout(token: string): Promise<void> {
    const { oidc, attempts, now, log } = this.#parts;
    if (attempts === null) throw storeUnavailable();
    const claimed = unverified(token);
    const audiences = new Set([claimed.aud].flat());
    const candidates = oidc.filter(({ config }) => config.issuer === claimed.iss);
    const provider = candidates.find(({ config }) => audiences.has(config.clientId)) ?? candidates[0];
    if (provider === undefined) throw notAccepted('issuer_unknown');
    const claims = await provider.verify(token, [provider.config.clientId], ['logout+jwt', 'jwt', undefined]);
    const { sub, jti, events, nonce } = claims as { sub?: unknown; jti?: unknown; events?: unknown; nonce?: unknown };
    const isLogout = typeof events === 'object' && events !== null && LOGOUT_EVENT in events;
    // 2.6: a nonce would make it an ID token.
    if (!isLogout || nonce !== undefined || !isShort(jti) || !isShort(sub))
      throw notAccepted('token_malformed', new Error('not a logout token'));
    const until = Math.max((claims.exp ?? 0) * 1000, now()) + 120_000;
    const id = `${provider.config.issuer} ${jti}`;
    if (!(await attempts.once('logout', id, until))) throw notAccepted('logout_replayed');
    log.info('logged out at the identity provider', { provider: provider.config.name });
    try {
      await this.#endAll(provider.config.issuer, sub, `logged out at the identity provider ${provider.config.name}`);
    } catch (error) {
      // The provider will send it again.
      await attempts.release('logout', id);
      throw error;
    }
  }
}

function unverified(token: string): JWTPayload {
  try {
    return decodeJwt(token);
  } catch {
    throw notAccepted('token_malformed');
  }
}

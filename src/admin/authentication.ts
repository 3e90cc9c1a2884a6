import { GatewayError } from '../errors.ts';
import type { TokenPart } from '../identity/model.ts';
import type { Principal } from '../policy/model.ts';
import { jsonString } from '../recording/json.ts';
import { refuse, TooMany } from './errors.ts';
import type { ApiRequest } from './http.ts';
import { KnownCredentials } from './known-credentials.ts';
import { networkOf, type Rate, RateLimit } from './rate-limit.ts';
import { type ApiServices, withGrants } from './services.ts';
import { sameSecret, sessionCookie, WebSessions } from './web-sessions.ts';

/** Who asks, and by what they proved it. */
export interface Caller {
  /** With the groups of their grants. */
  readonly principal: Principal;
  /** As the credential says. */
  readonly bare: Principal;
  /** Of the browser's session; '' when a token was presented. */
  readonly csrf: string;
}

/** How often, by source network: steps of a log-in, failed credentials; by user: changes. */
const rates: Readonly<Record<'login' | 'failed' | 'ceiling' | 'changes', Rate>> = {
  login: { burst: 30, perMinute: 30 },
  // Beyond it a failure is neither explained nor recorded.
  failed: { burst: 10, perMinute: 10 },
  // Beyond it what is not known to be good is not looked at: to look at it costs the verification of a signature, or a look at the store.
  ceiling: { burst: 300, perMinute: 600 },
  changes: { burst: 120, perMinute: 120 },
};

/** What the API's part of a token's audience is called. */
const audience: TokenPart = 'api';
const maxTokenBytes = 16 * 1024;

/** Tells who asks: by a token in the header, or by the cookie of a browser's session. */
export class Authentication {
  readonly sessions: WebSessions;
  readonly #services: ApiServices;
  readonly #login: RateLimit;
  readonly #failed: RateLimit;
  readonly #ceiling: RateLimit;
  readonly #known = new KnownCredentials();
  readonly #changes: RateLimit;

  constructor(services: ApiServices) {
    this.#services = services;
    this.sessions = new WebSessions(services.store, services.now, services.config.identity.idleSeconds);
    this.#login = new RateLimit(rates.login, services.now);
    this.#failed = new RateLimit(rates.failed, services.now);
    this.#ceiling = new RateLimit(rates.ceiling, services.now);
    this.#changes = new RateLimit(rates.changes, services.now);
  }

  /** Counts a step of a log-in. Throws TooMany. */
  countLogin(source: string): void {
    const seconds = this.#login.take(networkOf(source));
    if (seconds > 0) throw new TooMany(seconds);
  }

  /** As `countLogin`, without counting. */
  checkLogin(source: string): void {
    const seconds = this.#login.wait(networkOf(source));
    if (seconds > 0) throw new TooMany(seconds);
  }

  /** Counts a change by somebody known. Throws TooMany. */
  countChange(principal: Principal): void {
    const seconds = this.#changes.take(`${principal.issuer} ${principal.subject}`);
    if (seconds > 0) throw new TooMany(seconds);
  }

  /** Who asks; null when nothing was presented. Throws what the authenticator throws, and TooMany after too many failures. */
  async caller(request: ApiRequest): Promise<Caller | null> {
    const header = request.header('authorization');
    if (header !== '') return this.#caller(await this.#bearer(header, request.source), '');
    const cookie = request.cookie(sessionCookie);
    if (cookie === '') return null;
    const session = await this.sessions.find(cookie);
    if (session === null) return null;
    this.#services.access.revocations.check(session.principal);
    return this.#caller(session.principal, session.csrf);
  }

  #caller(bare: Principal, csrf: string): Caller {
    return { principal: withGrants(bare, this.#services.access), bare, csrf };
  }

  /**
   * Whether a change that came with a cookie was meant: the browser says that one of our own pages sent it, and it carries the
   * number that only such a page can know. Throws `csrf`.
   */
  checkIntent(request: ApiRequest, caller: Caller, origin: string, given: string): void {
    if (caller.csrf === '') return;
    if (request.header('origin') !== origin) throw refuse('csrf', 'the request did not come from a page of this gateway');
    if (!sameSecret(given, caller.csrf)) throw refuse('csrf', 'the form is no longer valid; load the page again');
  }

  /** Many may share an address: whoever has a good credential is not held up by those who have not. */
  async #bearer(header: string, source: string): Promise<Principal> {
    const network = networkOf(source);
    // The token, not the header: that can be written in many ways.
    const token = /^Bearer +([^\s]+)$/i.exec(header)?.[1] ?? '';
    const wait = this.#known.has(token) ? 0 : this.#ceiling.wait(network);
    if (wait > 0) throw new TooMany(wait);
    try {
      if (token === '' || token.length > maxTokenBytes) throw refuse('unauthenticated', 'present a token: Authorization: Bearer <token>');
      const principal = await this.#services.authenticator.authenticateBearer(token, audience);
      this.#known.add(token);
      return principal;
    } catch (error) {
      // The store or a provider that is down is no fault of whoever asks.
      if (!(error instanceof GatewayError) || error.source !== 'client') throw error;
      this.#known.delete(token);
      this.#ceiling.take(network);
      const seconds = this.#failed.take(network);
      if (seconds > 0) throw new TooMany(seconds);
      this.#noteFailure(error, source);
      throw error;
    }
  }

  #noteFailure(error: GatewayError, source: string): void {
    const { recorder, access } = this.#services;
    const line = recorder.append(
      'auth',
      '',
      `"ok":false,"code":${jsonString(error.code)},"user":"","resource":"","source":${jsonString(source)},"via":"api"`,
    );
    access.events.emit({ type: 'login.failed', sid: '', user: '', resource: '', line, detail: { code: error.code, source, via: 'api' } });
  }
}

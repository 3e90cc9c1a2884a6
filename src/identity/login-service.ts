import { createHash, type KeyObject, randomUUID, timingSafeEqual } from 'node:crypto';

import type { IdentityConfig } from '../config/model.ts';
import { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';
import type { AttemptKind, Attempts, Taken } from './attempts.ts';
import { evidenceOf, groupsOf, nameOf, subjectOf } from './claims.ts';
import type { Departures, IdentityLog } from './departures.ts';
import { refuse, storeUnavailable } from './failure.ts';
import type { TokenStore } from './issued-tokens.ts';
import { signToken } from './local-token.ts';
import type { DevicePoll, DeviceStart, IssuedToken, Login, LoginProvider, LoginService, LoginStart, TokenPart } from './model.ts';
import { type CodeAttempt, newBinding, OidcLogin, type Vouched } from './oidc-login.ts';
import type { OidcProvider } from './oidc-provider.ts';
import type { IdentityLines } from './record.ts';
import { type SamlAttempt, SamlLogin } from './saml-login.ts';
import type { Users } from './users.ts';

const ATTEMPT_MS = 10 * 60_000;
const CODE_MS = 60_000;
const MAX_PURPOSE = 2000;
const MAX_ANSWER = 256 * 1024;
/** Tokens made from tokens, each revoked with those before it. */
const MAX_PARENTS = 8;
const MIN_TOKEN_SECONDS = 60;
/** A challenge of S256: 32 bytes in base64url. */
const challengePattern = /^[A-Za-z0-9_-]{43}$/;

export interface LoginParts {
  readonly config: IdentityConfig;
  readonly gateway: string;
  readonly privateKey: KeyObject;
  readonly oidc: readonly OidcProvider[];
  readonly reservedGroups: ReadonlySet<string>;
  /** Null without a store: then nobody can log in. */
  readonly attempts: Attempts | null;
  readonly users: Users;
  readonly tokens: TokenStore;
  readonly departures: Departures;
  readonly lines: IdentityLines;
  readonly check: (principal: Principal) => void;
  readonly now: () => number;
  readonly log: IdentityLog;
}

/** What is remembered of a log-in beside the protocol's own. */
interface Pending {
  readonly provider: string;
  readonly binding: string;
  readonly purpose: string;
}

interface PendingDevice {
  readonly provider: string;
  readonly deviceCode: string;
  readonly intervalSeconds: number;
  readonly nextPollAt: number;
}

/** What a provider's word is made into, whichever protocol it came by. */
interface Identified {
  readonly name: string;
  readonly issuer: string;
  readonly subject: string;
  readonly groups: readonly string[];
  readonly claims: Principal['claims'];
  readonly sessionEnd: number | null;
}

export class Logins implements LoginService {
  readonly #parts: LoginParts;
  readonly #oidc: ReadonlyMap<string, { readonly provider: OidcProvider; readonly login: OidcLogin }>;
  readonly #saml: ReadonlyMap<string, SamlLogin>;

  constructor(parts: LoginParts) {
    this.#parts = parts;
    const forPeople = parts.oidc.filter(({ config }) => config.login);
    this.#oidc = new Map(forPeople.map((provider) => [provider.config.name, { provider, login: new OidcLogin(provider) }]));
    this.#saml = new Map(parts.config.saml.map((config) => [config.name, new SamlLogin(config, parts.reservedGroups)]));
  }

  providers(): readonly LoginProvider[] {
    const named = (names: Iterable<string>, kind: LoginProvider['kind']): LoginProvider[] => [...names].map((name) => ({ name, kind }));
    return [...named(this.#oidc.keys(), 'oidc'), ...named(this.#saml.keys(), 'saml')];
  }

  async begin(provider: string, options: { readonly redirectUri: string; readonly purpose: string }): Promise<LoginStart> {
    const { redirectUri, purpose } = options;
    if (purpose.length > MAX_PURPOSE) throw new RangeError('the purpose of a log-in is too long');
    const attempts = this.#attempts;
    const binding = newBinding();
    const pending: Pending = { provider, binding, purpose };
    const saml = this.#saml.get(provider);
    if (saml !== undefined) {
      const attempt = saml.newAttempt(redirectUri, this.#parts.now());
      const id = await attempts.put('saml', { ...pending, ...attempt }, ATTEMPT_MS);
      return { url: await saml.requestUrl(attempt, id), binding };
    }
    const { login } = this.#oidcLogin(provider);
    const attempt = login.newAttempt(redirectUri);
    const id = await attempts.put('oidc', { ...pending, ...attempt }, ATTEMPT_MS);
    return { url: await login.authorizationUrl(attempt, id), binding };
  }

  finish(query: string, binding: string, source = ''): Promise<Login> {
    const parameters = new URLSearchParams(query);
    return this.#recorded(source, async (note) => {
      const state = parameters.get('state') ?? '';
      const attempt = await this.#begun<Pending & CodeAttempt>('oidc', state, binding);
      note.provider = attempt.provider;
      const { provider, login } = this.#oidcLogin(attempt.provider);
      const vouched = await login.redeemCode(attempt, parameters, state);
      return this.#vouchedFor(provider, vouched, attempt.purpose, note);
    });
  }

  finishSaml(body: string, binding: string, source = ''): Promise<Login> {
    return this.#recorded(source, async (note) => {
      if (body.length > MAX_ANSWER) throw refuse('saml_invalid', 'the answer of the identity provider is too long');
      const form = new URLSearchParams(body);
      const attempt = await this.#begun<Pending & SamlAttempt>('saml', form.get('RelayState') ?? '', binding);
      note.provider = attempt.provider;
      const saml = this.#saml.get(attempt.provider);
      if (saml === undefined) throw unknownProvider();
      const asserted = await saml.check(form.get('SAMLResponse') ?? '', attempt);
      const replayId = `${saml.config.idpIssuer} ${asserted.assertionId}`;
      if (!(await this.#attempts.once('saml-assertion', replayId, asserted.presentableUntil))) {
        throw refuse('saml_replayed', 'the answer of the identity provider was used already');
      }
      const { name, subject, groups, evidence, sessionEnd } = asserted;
      const identified = { name, issuer: saml.config.idpIssuer, subject, groups, claims: evidence, sessionEnd };
      return this.#complete('saml', attempt.provider, identified, null, attempt.purpose, note);
    });
  }

  async beginDevice(provider: string): Promise<DeviceStart> {
    const attempts = this.#attempts;
    const begun = await this.#oidcLogin(provider).login.beginDevice();
    const { deviceCode, intervalSeconds, expiresInSeconds, userCode, verificationUri, verificationUriComplete } = begun;
    const pending: PendingDevice = { provider, deviceCode, intervalSeconds, nextPollAt: 0 };
    const id = await attempts.put('device', pending, Math.min(expiresInSeconds, 3600) * 1000);
    return { id, userCode, verificationUri, verificationUriComplete, expiresInSeconds, intervalSeconds };
  }

  async pollDevice(id: string, source = ''): Promise<DevicePoll> {
    const attempts = this.#attempts;
    const pending = found(await attempts.look<PendingDevice>('device', id));
    const now = this.#parts.now();
    // Whoever polls faster than the provider allows waits here, not there.
    if (now < pending.nextPollAt) return { state: 'pending', intervalSeconds: pending.intervalSeconds };
    const { provider, login } = this.#oidcLogin(pending.provider);
    const answer = await login.pollDevice(pending.deviceCode).catch(async (error: unknown) => {
      if (error instanceof GatewayError && error.retryable) throw error;
      await attempts.release('device', id);
      return this.#recorded(source, (note) => {
        note.provider = pending.provider;
        return Promise.reject(error);
      });
    });
    if (answer === 'pending' || answer === 'slower') {
      const intervalSeconds = pending.intervalSeconds + (answer === 'slower' ? 5 : 0);
      await attempts.change('device', id, { ...pending, intervalSeconds, nextPollAt: now + intervalSeconds * 1000 - 500 });
      return { state: 'pending', intervalSeconds };
    }
    const login2 = await this.#recorded(source, async (note) => {
      note.provider = pending.provider;
      found(await attempts.take<PendingDevice>('device', id));
      return this.#vouchedFor(provider, answer as Vouched, '', note);
    });
    return { state: 'done', login: login2 };
  }

  async issueFor(
    principal: Principal,
    options: { readonly ttlSeconds?: number; readonly audience?: TokenPart } = {},
  ): Promise<IssuedToken> {
    const { config, gateway, privateKey, tokens, lines, now } = this.#parts;
    const { credential } = principal;
    const fresh = credential.kind === 'oidc' || credential.kind === 'saml';
    const wanted = Math.min(options.ttlSeconds ?? config.tokenSeconds, config.tokenSeconds) * 1000;
    const left = credential.expiresAt - now();
    if (left <= 0) throw refuse('token_expired', 'the log-in has expired', { hint: 'log in again' });
    // Only a log-in gives new life: a token that could renew itself would outlive the user at the provider. How long one by SAML
    // may be used is the provider's to say (SessionNotOnOrAfter).
    const ttlMs = credential.kind === 'oidc' ? wanted : Math.min(wanted, left);
    if (!(ttlMs >= Math.min(MIN_TOKEN_SECONDS * 1000, left))) throw refuse('token_lifetime', 'a token lives a minute or longer');
    const { name: user, kind, groups, issuer, subject, claims } = principal;
    const parents = [...(credential.parents ?? []), credential.id];
    if (parents.length > MAX_PARENTS)
      throw refuse('token_lifetime', 'the token is too many tokens away from its log-in', { hint: 'log in again' });
    const local = credential.kind === 'local-token';
    // Of another gateway's command line it stays what it is: it must not take the name as a provider's word does.
    const origin = local && issuer === gateway ? {} : { origin: { issuer, subject, claims, ...(local ? { local: true as const } : {}) } };
    const audience = options.audience === undefined ? {} : { audience: options.audience };
    let issued: IssuedToken;
    try {
      issued = signToken({ user, kind, groups, ttlMs: Math.max(ttlMs, 1000), parents, ...origin, ...audience }, gateway, privateKey, now());
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw refuse('groups_too_many', 'the groups do not fit into a token', {
        hint: 'limit at the provider which groups it names',
        cause: error,
      });
    }
    const provider = (await tokens.get(credential.id))?.provider ?? 'local';
    await tokens.note(
      { ...principal, credential: { kind: 'issued-token', id: issued.id, expiresAt: issued.expiresAt } },
      provider,
      options.audience ?? null,
      null,
    );
    if (fresh) await tokens.extend(credential.id, issued.expiresAt);
    lines.write('auth', {
      event: 'token',
      ok: true,
      user,
      issuer,
      credential: issued.id,
      from: credential.id,
      expires: new Date(issued.expiresAt).toISOString(),
    });
    return issued;
  }

  async grantCode(principal: Principal, challenge: string): Promise<string> {
    if (!challengePattern.test(challenge)) throw refuse('code_invalid', 'the challenge is not a SHA-256 in base64url');
    return this.#attempts.put('cli-code', { principal, challenge }, CODE_MS);
  }

  async redeemCode(code: string, verifier: string): Promise<Principal> {
    const taken = await this.#attempts.take<{ readonly principal: Principal; readonly challenge: string }>('cli-code', code);
    if (taken.state !== 'found') throw codeInvalid();
    const { principal, challenge } = taken.value;
    if (!equal(createHash('sha256').update(verifier).digest('base64url'), challenge)) throw codeInvalid();
    this.#parts.check(principal);
    return principal;
  }

  backchannelLogout(logoutToken: string): Promise<void> {
    return this.#parts.departures.backchannelLogout(logoutToken);
  }

  checkUsers(): Promise<readonly { readonly name: string; readonly issuer: string }[]> {
    return this.#parts.departures.check(true);
  }

  get #attempts(): Attempts {
    if (this.#parts.attempts === null) throw storeUnavailable();
    return this.#parts.attempts;
  }

  #oidcLogin(name: string): { readonly provider: OidcProvider; readonly login: OidcLogin } {
    const known = this.#oidc.get(name);
    if (known === undefined) throw unknownProvider();
    return known;
  }

  /** Takes out what was begun; the wrong browser spends it as well. */
  async #begun<T extends Pending>(kind: AttemptKind, id: string, binding: string): Promise<T> {
    const pending = found(await this.#attempts.take<T>(kind, id));
    if (!equal(pending.binding, binding)) throw unknownLogin();
    return pending;
  }

  #vouchedFor(provider: OidcProvider, vouched: Vouched, purpose: string, note: Note): Promise<Login> {
    const { config } = provider;
    const { claims, refreshToken } = vouched;
    const identified = {
      name: nameOf(claims[config.nameClaim], config.nameClaim),
      issuer: config.issuer,
      subject: subjectOf(claims.sub),
      groups: groupsOf(claims, config.groupsClaim, this.#parts.reservedGroups),
      claims: evidenceOf(claims),
      sessionEnd: null,
    };
    return this.#complete('oidc', config.name, identified, refreshToken, purpose, note);
  }

  async #complete(
    kind: 'oidc' | 'saml',
    provider: string,
    identified: Identified,
    refreshToken: string | null,
    purpose: string,
    note: Note,
  ): Promise<Login> {
    const { config, users, tokens, departures, now } = this.#parts;
    const { sessionEnd, ...who } = identified;
    note.user = who.name;
    const issuedAt = now();
    const expiresAt = Math.min(issuedAt + config.tokenSeconds * 1000, sessionEnd ?? Number.POSITIVE_INFINITY);
    const principal: Principal = { kind: 'user', ...who, credential: { kind, id: `login-${randomUUID()}`, expiresAt, issuedAt } };
    await users.admit(principal);
    await departures.readmit(principal);
    this.#parts.check(principal);
    await tokens.note(principal, provider, null, refreshToken);
    return { principal, provider, purpose };
  }

  /** Records how a log-in went, whichever way it went. */
  async #recorded(source: string, attempt: (note: Note) => Promise<Login>): Promise<Login> {
    const { lines, log } = this.#parts;
    const note: Note = { provider: '', user: '' };
    let login: Login;
    try {
      login = await attempt(note);
    } catch (error) {
      const code = error instanceof GatewayError ? error.code : 'login_failed';
      log.info('log-in refused', { code, provider: note.provider, error: describe(error) });
      lines.write('auth', { event: 'login', ok: false, code, user: note.user, provider: note.provider, source });
      throw error;
    }
    const { name, issuer, subject, groups, credential, claims } = login.principal;
    lines.write('auth', {
      event: 'login',
      ok: true,
      user: name,
      provider: login.provider,
      issuer,
      subject,
      groups,
      credential: credential.id,
      expires: new Date(credential.expiresAt).toISOString(),
      ...claims,
      source,
    });
    return login;
  }
}

/** What is known of an attempt so far, should it fail. */
interface Note {
  provider: string;
  user: string;
}

/** For the operator: causes are made here and quote nothing that a peer sent. */
function describe(error: unknown): string {
  if (!(error instanceof GatewayError)) return error instanceof Error ? error.name : 'unknown';
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

function found<T>(taken: Taken<T>): T {
  if (taken.state === 'found') return taken.value;
  if (taken.state === 'expired') throw refuse('login_expired', 'the log-in took too long', { hint: 'begin again' });
  throw unknownLogin();
}

function unknownLogin(): GatewayError {
  return refuse('login_unknown', 'there is no such log-in under way in this browser', { hint: 'begin again' });
}

function unknownProvider(): GatewayError {
  return refuse('provider_unknown', 'there is no identity provider of this name');
}

function codeInvalid(): GatewayError {
  return refuse('code_invalid', 'the code is not good (any more)', { hint: 'log in again' });
}

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

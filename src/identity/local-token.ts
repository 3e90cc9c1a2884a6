import { type KeyObject, randomUUID, sign, verify } from 'node:crypto';

import { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';
import type { TokenPart, TokenVerifier } from './model.ts';

/**
 * Tokens the gateway issues itself: JWS compact serialization (RFC 7515) of JWT claims (RFC 7519), signed with Ed25519 (RFC
 * 8037). Nothing of the header is obeyed: it must be exactly the one header that is issued, so there is no algorithm to confuse.
 */
const header = Buffer.from(JSON.stringify({ alg: 'EdDSA', typ: 'sluice+jwt' })).toString('base64url');

/** The audience: a token of another program signed with this key by mistake is none of ours. */
const audience = 'sluice';

/** The audience of a token for one part of the gateway alone. */
const audienceOf = (part: TokenPart | undefined): string => (part === undefined ? audience : `${audience}/${part}`);

export const maxTokenBytes = 8 * 1024;
export const maxTtlMs = 366 * 86_400_000;
/** How far ahead of ours the issuer's clock may be. */
const skewSeconds = 60;

export interface TokenRequest {
  readonly user: string;
  readonly kind: 'user' | 'service';
  readonly groups: readonly string[];
  readonly ttlMs: number;
  /** Who vouches for the user, when that is not this gateway. */
  readonly origin?: TokenOrigin;
  /** Ids of the credentials that it is made from: it is refused when one of them was revoked. */
  readonly parents?: readonly string[];
  /** The one part of the gateway that the token is for; absent: all of it. */
  readonly audience?: TokenPart;
}

/** The identity provider's word that a token stands on. */
export interface TokenOrigin {
  readonly issuer: string;
  readonly subject: string;
  /** acr, amr, auth_time. */
  readonly claims: Principal['claims'];
  /** The word is that of another gateway's command line, not of a provider. */
  readonly local?: true;
}

export interface LocalToken {
  readonly token: string;
  readonly id: string;
  /** ms since the epoch. */
  readonly expiresAt: number;
}

interface Claims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: string;
  readonly jti: string;
  readonly iat: number;
  readonly nbf: number;
  readonly exp: number;
  readonly kind: 'user' | 'service';
  readonly groups: readonly string[];
  readonly origin?: TokenOrigin;
  readonly parents?: readonly string[];
}

/** Names that can be logged in with: `+` splits off the account, and control characters have no place in a record. */
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_.@:-]{0,127}$/;

/** Who acts in the record and in the store without being a principal: nobody may log in under the name. */
const reservedNames: ReadonlySet<string> = new Set(['identity-provider']);

export function isUserName(name: string): boolean {
  return namePattern.test(name) && !reservedNames.has(name.toLowerCase());
}

/** Issues a token. `now` is in ms since the epoch. Throws RangeError on a name, group or lifetime that cannot be. */
export function issueToken(request: TokenRequest, issuer: string, privateKey: KeyObject, now: number): string {
  return signToken(request, issuer, privateKey, now).token;
}

/** As issueToken, with the id and the expiry that the token carries. */
export function signToken(request: TokenRequest, issuer: string, privateKey: KeyObject, now: number): LocalToken {
  if (!isUserName(request.user)) throw new RangeError(`"${request.user}" is not a user name: letters, digits and _ . @ : -, up to 128`);
  // The groups of a provider are named as the provider likes, and were checked when they came.
  for (const group of request.groups)
    if (request.origin === undefined && !isUserName(group))
      throw new RangeError(`"${group}" is not a group name: letters, digits and _ . @ : -, up to 128`);
  if (!(request.ttlMs >= 1000 && request.ttlMs <= maxTtlMs)) throw new RangeError('a token lives between 1 second and 366 days');
  const iat = Math.floor(now / 1000);
  const claims: Claims = {
    iss: issuer,
    sub: request.user,
    aud: audienceOf(request.audience),
    jti: randomUUID(),
    iat,
    nbf: iat,
    exp: iat + Math.floor(request.ttlMs / 1000),
    kind: request.kind,
    groups: [...new Set(request.groups)],
    ...(request.origin === undefined ? {} : { origin: request.origin }),
    ...(request.parents === undefined ? {} : { parents: request.parents }),
  };
  const signed = `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
  const token = `${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`;
  if (token.length > maxTokenBytes) throw new RangeError(`the token would exceed ${maxTokenBytes} bytes: name fewer groups`);
  return { token, id: claims.jti, expiresAt: claims.exp * 1000 };
}

/** Whether the text says that it is a token of a gateway; says nothing of whether it is one. */
export function isLocalToken(text: string): boolean {
  return text.startsWith(`${header}.`);
}

/** Keys of other gateways, by the issuer that each is bound to. From memory. */
export type KeysOf = (issuer: string) => readonly KeyObject[];

/**
 * Verifies tokens of one issuer with its own key, and those of others with the keys that are known to be theirs. `clock` gives ms since
 * the epoch.
 */
export class LocalTokenVerifier implements TokenVerifier {
  readonly #issuer: string;
  readonly #publicKey: KeyObject;
  readonly #clock: () => number;
  readonly #others: KeysOf;

  constructor(issuer: string, publicKey: KeyObject, clock: () => number, others: KeysOf = () => []) {
    this.#issuer = issuer;
    this.#publicKey = publicKey;
    this.#clock = clock;
    this.#others = others;
  }

  /** `part`: takes tokens for that part of the gateway as well. */
  verify(token: string, user: string | null, part?: TokenPart): Principal {
    if (token.length > maxTokenBytes) throw refused('token_malformed', 'the token is too long');
    const parts = token.split('.');
    const [protectedHeader, payload, signature] = parts;
    if (parts.length !== 3 || protectedHeader === undefined || payload === undefined || signature === undefined) {
      throw refused('token_malformed', 'the password is not a token of this gateway');
    }
    if (protectedHeader !== header) throw refused('token_malformed', 'the token is not of the kind this gateway issues');
    const signatureBytes = decode(signature);
    const payloadBytes = decode(payload);
    if (signatureBytes === null || payloadBytes === null) throw refused('token_malformed', 'the token is damaged');
    // Read before it is verified, only to find whose key it has to be: a key is good for the one issuer that it is known by.
    const claims = parseClaims(payloadBytes);
    if (claims === null) throw refused('token_malformed', 'the claims of the token are incomplete');
    const keys = claims.iss === this.#issuer ? [this.#publicKey, ...this.#others(claims.iss)] : this.#others(claims.iss);
    if (keys.length === 0) throw refused('token_issuer', 'the token was issued by another gateway');
    const signed = Buffer.from(`${protectedHeader}.${payload}`);
    if (!keys.some((key) => verify(null, signed, key, signatureBytes)))
      throw refused('token_signature', "the token's signature is not that of its gateway");
    if (claims.aud !== audience && claims.aud !== audienceOf(part)) throw forSomethingElse(claims.aud);
    const now = this.#clock() / 1000;
    if (now >= claims.exp) throw refused('token_expired', `the token expired at ${new Date(claims.exp * 1000).toISOString()}`);
    if (now + skewSeconds < Math.max(claims.nbf, claims.iat)) throw refused('token_not_yet_valid', 'the token is not valid yet');
    if (user !== null && claims.sub !== user)
      throw refused('token_user_mismatch', 'the token belongs to another user', 'log in with the user name the token was issued for');
    const { origin, parents } = claims;
    return {
      kind: claims.kind,
      name: claims.sub,
      issuer: origin?.issuer ?? claims.iss,
      subject: origin?.subject ?? claims.sub,
      groups: claims.groups,
      credential: {
        kind: origin === undefined || origin.local === true ? 'local-token' : 'issued-token',
        id: claims.jti,
        expiresAt: claims.exp * 1000,
        issuedAt: claims.iat * 1000,
        ...(parents === undefined ? {} : { parents }),
      },
      claims: origin?.claims ?? {},
    };
  }
}

/** Strict base64url: one text for one value, so that a token cannot be varied and still pass. */
function decode(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : null;
}

function parseClaims(bytes: Buffer): Claims | null {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { iss, sub, aud, jti, iat, nbf, exp, kind, groups } = value as Partial<Record<keyof Claims, unknown>>;
  if (typeof iss !== 'string' || typeof sub !== 'string' || typeof aud !== 'string' || typeof jti !== 'string' || jti === '') return null;
  if (!isSeconds(iat) || !isSeconds(nbf) || !isSeconds(exp)) return null;
  if (kind !== 'user' && kind !== 'service') return null;
  if (!isUserName(sub) || !Array.isArray(groups) || !groups.every((group): group is string => typeof group === 'string')) return null;
  // What the gateway signed it also formed: little is left to look at.
  const { origin, parents } = value as { origin?: TokenOrigin; parents?: string[] };
  if (parents !== undefined && !(Array.isArray(parents) && parents.every((parent) => typeof parent === 'string'))) return null;
  if (origin !== undefined && (typeof origin?.issuer !== 'string' || typeof origin.subject !== 'string' || !isObject(origin.claims)))
    return null;
  return {
    iss,
    sub,
    aud,
    jti,
    iat,
    nbf,
    exp,
    kind,
    groups,
    ...(origin === undefined ? {} : { origin }),
    ...(parents === undefined ? {} : { parents }),
  };
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

function isSeconds(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value < 2 ** 40;
}

function forSomethingElse(aud: string): GatewayError {
  if (aud === audienceOf('connect'))
    return refused(
      'token_audience',
      'the token is for connections to resources alone, and not for the API',
      'log in with: sluice login, or have one issued with: sluice token issue --api',
    );
  if (aud === audienceOf('api'))
    return refused(
      'token_audience',
      'the token is for the API alone, and not for connections to resources',
      'take the one that sluice login keeps for clients: sluice ls shows how',
    );
  return refused('token_audience', 'the token was issued for something else');
}

function refused(code: string, publicMessage: string, hint = 'get a new one with: sluice token issue'): GatewayError {
  return new GatewayError({ code, source: 'client', phase: 'login', publicMessage, hint });
}

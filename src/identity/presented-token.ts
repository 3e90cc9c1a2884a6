import { decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose';

import type { OidcProviderConfig } from '../config/model.ts';
import type { Principal } from '../policy/model.ts';
import { evidenceOf, groupsOf, isShort, nameOf, subjectOf } from './claims.ts';
import { notAccepted } from './failure.ts';
import type { OidcProvider } from './oidc-provider.ts';

/** Tokens that clients got from an identity provider themselves: those of CI jobs and workloads, access and ID tokens of people. */

/** Providers put many groups into tokens. */
const MAX_BYTES = 16 * 1024;

/** RFC 9068 access tokens, and JWTs that do not say what they are. */
const types = [undefined, 'jwt', 'at+jwt'];

const audiencesOf = (config: OidcProviderConfig): readonly string[] => [config.clientId, ...config.audiences];

export class PresentedTokens {
  readonly #providers: readonly OidcProvider[];
  readonly #reserved: ReadonlySet<string>;

  constructor(providers: readonly OidcProvider[], reserved: ReadonlySet<string>) {
    this.#providers = providers.filter(({ config }) => config.tokens !== null);
    this.#reserved = reserved;
  }

  /** Whether the text may be a JWT of somebody else. */
  handles(text: string): boolean {
    return this.#providers.length > 0 && text.startsWith('eyJ') && text.split('.').length === 3;
  }

  /** Errors: those of OidcProvider.verify, of claims, and `issuer_unknown`, `token_malformed`. */
  async verify(text: string): Promise<Principal> {
    if (text.length > MAX_BYTES) throw notAccepted('token_malformed', new Error('too long'));
    // Read unverified, only to find who has to verify it.
    const claimed = unverified(text);
    const candidates = this.#providers.filter(({ config }) => config.issuer === claimed.iss);
    const [first] = candidates;
    if (first === undefined) throw notAccepted('issuer_unknown');
    const named = new Set([claimed.aud].flat());
    // One issuer may be configured twice, for people and for workloads: the audience tells which.
    const provider = candidates.find(({ config }) => audiencesOf(config).some((audience) => named.has(audience))) ?? first;
    const claims = await provider.verify(text, audiencesOf(provider.config), types);
    // A logout token may come without its type.
    if (claims['events'] !== undefined) throw notAccepted('token_type');
    return this.#principal(provider.config, claims);
  }

  #principal(config: OidcProviderConfig, claims: JWTPayload): Principal {
    const subject = subjectOf(claims.sub);
    // Without an id of its own a token is known by whose it is and since when: never by a digest of itself.
    const id = isShort(claims.jti) ? claims.jti : `${subject}@${claims.iat ?? claims.exp ?? 0}`;
    return {
      kind: config.tokens === 'service' ? 'service' : 'user',
      name: nameOf(claims[config.nameClaim], config.nameClaim),
      issuer: config.issuer,
      subject,
      groups: groupsOf(claims, config.groupsClaim, this.#reserved),
      credential: {
        kind: 'oidc-token',
        id: `${config.name}:${id}`,
        expiresAt: (claims.exp ?? 0) * 1000,
        ...(claims.iat === undefined ? {} : { issuedAt: claims.iat * 1000 }),
      },
      claims: evidenceOf(claims),
    };
  }
}

function unverified(text: string): JWTPayload {
  try {
    decodeProtectedHeader(text);
    return decodeJwt(text);
  } catch {
    throw notAccepted('token_malformed');
  }
}

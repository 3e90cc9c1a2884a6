import { errors, type JSONWebKeySet, type JWTPayload, type JWTVerifyResult, jwtVerify } from 'jose';
import {
  allowInsecureRequests,
  ClientSecretBasic,
  ClientSecretPost,
  Configuration,
  customFetch,
  discovery,
  None,
  type ServerMetadata,
} from 'openid-client';

import type { OidcProviderConfig } from '../config/model.ts';
import { GatewayError } from '../errors.ts';
import { issuerUnavailable, notAccepted } from './failure.ts';
import { KeySet, KeysUnavailable } from './key-set.ts';
import { type ProviderFetch, providerFetch } from './provider-fetch.ts';

/** How far clocks may be apart, s. */
const SKEW_SECONDS = 60;
/** Metadata is asked for again after this; without an answer the known one goes on. */
const METADATA_MS = 3_600_000;
const COOLDOWN_MS = 10_000;

/** One configured OpenID provider: its metadata, its keys, and the check of what it signed. */
export class OidcProvider {
  readonly config: OidcProviderConfig;
  readonly #secret: (reference: string) => string;
  readonly #now: () => number;
  readonly #fetch: ProviderFetch;
  readonly #keys: KeySet;
  #metadata: ServerMetadata | null = null;
  #metadataAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  #discovering: Promise<void> | null = null;
  #failure: unknown = null;

  constructor(config: OidcProviderConfig, secret: (reference: string) => string, now: () => number) {
    this.config = config;
    this.#secret = secret;
    this.#now = now;
    this.#fetch = providerFetch(config.ca);
    this.#keys = new KeySet(() => this.#fetchKeys(), now);
  }

  /** A client of the provider for openid-client. Throws `issuer_unavailable`, `secret_missing`. */
  async client(): Promise<Configuration> {
    const metadata = await this.#discovered();
    // Made anew each time, so that a secret rotated in its file counts at once.
    const secret = this.config.clientSecret === null ? null : this.#secret(this.config.clientSecret);
    const methods = metadata.token_endpoint_auth_methods_supported;
    // Basic is what a provider that says nothing must take (OpenID Connect Discovery 3).
    const basic = methods === undefined || methods.includes('client_secret_basic');
    const auth = secret === null ? None() : basic ? ClientSecretBasic(secret) : ClientSecretPost(secret);
    const client = new Configuration(metadata, this.config.clientId, {}, auth);
    client[customFetch] = (url, options) => this.#fetch(url, options);
    // Whether http is allowed is decided by the fetch, address by address.
    allowInsecureRequests(client);
    return client;
  }

  /**
   * The claims of a JWT that this provider signed for one of `audiences` and that is in force. Throws GatewayError with the code of
   * the check that failed.
   */
  async verify(token: string, audiences: readonly string[], types: readonly (string | undefined)[]): Promise<JWTPayload> {
    let verified: JWTVerifyResult;
    const now = this.#now();
    try {
      verified = await jwtVerify(token, this.#keys.get, {
        issuer: this.config.issuer,
        audience: [...audiences],
        algorithms: [...this.config.algorithms],
        clockTolerance: SKEW_SECONDS,
        currentDate: new Date(now),
        requiredClaims: ['exp'],
      });
    } catch (error) {
      throw this.#refused(error);
    }
    const { payload, protectedHeader } = verified;
    const type = protectedHeader.typ?.toLowerCase().replace(/^application\//, '');
    // RFC 8725, 3.11: a token of another kind signed with the same key is none of this kind.
    if (!types.includes(type)) throw notAccepted('token_type', new Error(`a token of type ${String(type)}`));
    if (payload.iat !== undefined && payload.iat > now / 1000 + SKEW_SECONDS) throw notAccepted('token_not_yet_valid');
    return payload;
  }

  #refused(error: unknown): GatewayError {
    if (error instanceof KeysUnavailable) return issuerUnavailable(this.config.name, error);
    if (error instanceof errors.JWTExpired) {
      return new GatewayError({
        code: 'token_expired',
        source: 'client',
        phase: 'login',
        publicMessage: 'the token has expired',
        hint: 'get a new one from your identity provider, or with: sluice login',
      });
    }
    // Messages of jose may quote the token: only their code goes on.
    const cause = new Error(error instanceof errors.JOSEError ? error.code : 'not a JWT');
    if (error instanceof errors.JWTClaimValidationFailed) {
      const codes: Readonly<Record<string, string>> = { iss: 'token_issuer', aud: 'token_audience', nbf: 'token_not_yet_valid' };
      return notAccepted(codes[error.claim] ?? 'token_malformed', cause);
    }
    if (error instanceof errors.JWSSignatureVerificationFailed) return notAccepted('token_signature', cause);
    if (error instanceof errors.JOSEAlgNotAllowed) return notAccepted('token_algorithm', cause);
    if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
      return notAccepted('token_key', cause);
    return notAccepted('token_malformed', cause);
  }

  async #fetchKeys(): Promise<JSONWebKeySet> {
    const { jwks_uri: uri } = await this.#discovered();
    if (uri === undefined) throw new Error('the metadata names no jwks_uri');
    const response = await this.#fetch(uri, { headers: { accept: 'application/json' } });
    if (response.status !== 200) throw new Error(`jwks_uri answers with status ${response.status}`);
    return (await response.json()) as JSONWebKeySet;
  }

  async #discovered(): Promise<ServerMetadata> {
    const since = (time: number): number => Math.abs(this.#now() - time);
    if (since(this.#metadataAt) > METADATA_MS && (this.#discovering !== null || since(this.#triedAt) >= COOLDOWN_MS)) {
      this.#triedAt = this.#now();
      this.#discovering ??= this.#discover().finally(() => {
        this.#discovering = null;
      });
      await this.#discovering;
    }
    if (this.#metadata === null) throw issuerUnavailable(this.config.name, this.#failure);
    return this.#metadata;
  }

  async #discover(): Promise<void> {
    const { issuer, clientId } = this.config;
    try {
      const found = await discovery(new URL(issuer), clientId, undefined, None(), {
        [customFetch]: (url, options) => this.#fetch(url, options),
        execute: [allowInsecureRequests],
      });
      const metadata = found.serverMetadata();
      // The library compares as URLs; an issuer is compared as text (OpenID Connect Discovery 4.3).
      if (metadata.issuer !== issuer) throw new Error(`the provider calls itself ${metadata.issuer}`);
      this.#metadata = metadata;
      this.#metadataAt = this.#now();
      this.#failure = null;
    } catch (error) {
      this.#failure = error;
    }
  }
}

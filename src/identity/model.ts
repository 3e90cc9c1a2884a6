import type { Principal } from '../policy/model.ts';

/** Checks a presented token. Throws GatewayError (`token_malformed`, `token_signature`, `token_expired`, `token_user_mismatch` ...), phase `login`. */
export interface TokenVerifier {
  /** `user` is the name the client logged in with (before any `+account`); it must be the token's own. Null: the token alone says it. */
  verify(token: string, user: string | null): Principal;
}

/** Checks whatever a client presents: a token of this gateway, a workload token of a configured issuer, a service key. */
export interface Authenticator {
  /** Errors as of TokenVerifier, and `revoked`, `issuer_unknown`, `issuer_unavailable`, `key_unknown`. */
  authenticate(secret: string, user: string): Promise<Principal>;
  /** As `authenticate` where the protocol takes the name from the token itself (OAUTHBEARER without a user). */
  authenticateBearer(token: string): Promise<Principal>;
}

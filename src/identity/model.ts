import type { Principal } from '../policy/model.ts';

/** Checks a presented token. Throws GatewayError (`token_malformed`, `token_signature`, `token_expired`, `token_user_mismatch` ...), phase `login`. */
export interface TokenVerifier {
  /** `user` is the name the client logged in with (before any `+account`); it must be the token's own. */
  verify(token: string, user: string): Principal;
}

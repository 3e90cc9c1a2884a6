import type { Principal } from '../policy/model.ts';
import type { Authenticator, TokenVerifier } from './model.ts';

/** Tokens of this gateway alone: what a configuration without identity providers takes. */
export class LocalAuthenticator implements Authenticator {
  readonly #tokens: TokenVerifier;

  constructor(tokens: TokenVerifier) {
    this.#tokens = tokens;
  }

  async authenticate(secret: string, user: string): Promise<Principal> {
    return this.#tokens.verify(secret, user);
  }

  async authenticateBearer(token: string): Promise<Principal> {
    return this.#tokens.verify(token, null);
  }
}

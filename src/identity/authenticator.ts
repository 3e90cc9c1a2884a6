import { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';
import { refuse } from './failure.ts';
import type { GatewayKeys } from './gateway-keys.ts';
import type { TokenStore } from './issued-tokens.ts';
import { isLocalToken, type LocalTokenVerifier } from './local-token.ts';
import type { Authenticator, TokenPart } from './model.ts';
import type { PresentedTokens } from './presented-token.ts';
import { isServiceKey, type ServiceKeyStore } from './service-keys.ts';
import type { Users } from './users.ts';

export interface AuthenticatorParts {
  readonly local: LocalTokenVerifier;
  /** Null without a store: then this gateway's own tokens are the only ones. */
  readonly gatewayKeys: Pick<GatewayKeys, 'look'> | null;
  readonly presented: PresentedTokens;
  readonly keys: ServiceKeyStore;
  readonly users: Users;
  readonly tokens: TokenStore;
  /** Throws `revoked`. */
  readonly check: (principal: Principal) => void;
}

/** Takes every credential there is, told apart by its form. */
export class GatewayAuthenticator implements Authenticator {
  readonly #parts: AuthenticatorParts;

  constructor(parts: AuthenticatorParts) {
    this.#parts = parts;
  }

  authenticate(secret: string, user: string): Promise<Principal> {
    return this.#authenticate(secret, user, 'connect');
  }

  authenticateBearer(token: string, audience: TokenPart = 'connect'): Promise<Principal> {
    return this.#authenticate(token, null, audience);
  }

  async #authenticate(secret: string, user: string | null, audience: TokenPart): Promise<Principal> {
    const principal = await this.#verify(secret, user, audience);
    if (user !== null && principal.name !== user) {
      throw refuse('token_user_mismatch', 'the credential belongs to another user', {
        hint: 'log in with the user name that the credential was issued for',
      });
    }
    const { check } = this.#parts;
    check(principal);
    const { parents = [], ...credential } = principal.credential;
    for (const id of parents) check({ ...principal, credential: { ...credential, id } });
    return principal;
  }

  async #verify(secret: string, user: string | null, audience: TokenPart): Promise<Principal> {
    const { presented, keys, users, tokens } = this.#parts;
    if (isServiceKey(secret)) {
      const principal = await keys.verify(secret);
      await users.admit(principal);
      return principal;
    }
    if (!isLocalToken(secret) && presented.handles(secret)) {
      const principal = await presented.verify(secret);
      // Before the name is given away: the token may be stolen and the name a guess.
      if (user !== null && principal.name !== user) return principal;
      await users.admit(principal);
      return principal;
    }
    const principal = await this.#verifyLocal(secret, user, audience);
    if (principal.credential.kind === 'issued-token') {
      await users.admit(principal);
      tokens.touch(principal.credential.id);
    } else {
      await users.checkLocal(principal.name);
    }
    return principal;
  }

  async #verifyLocal(token: string, user: string | null, audience: TokenPart): Promise<Principal> {
    const { local, gatewayKeys } = this.#parts;
    try {
      return local.verify(token, user, audience);
    } catch (error) {
      const mayBeNew = error instanceof GatewayError && (error.code === 'token_issuer' || error.code === 'token_signature');
      // A gateway that has begun a moment ago, or has another key since, and nobody has told.
      if (!mayBeNew || gatewayKeys === null || !(await gatewayKeys.look())) throw error;
      return local.verify(token, user, audience);
    }
  }
}

import type { KeyObject } from 'node:crypto';

import type { IdentityConfig } from '../config/model.ts';
import type { Principal } from '../policy/model.ts';
import type { Store } from '../store/model.ts';
import { Attempts } from './attempts.ts';
import { GatewayAuthenticator } from './authenticator.ts';
import { CHECK_MS, Departures, type IdentityLog } from './departures.ts';
import { GatewayKeys } from './gateway-keys.ts';
import { TokenStore } from './issued-tokens.ts';
import { LocalTokenVerifier } from './local-token.ts';
import { Logins } from './login-service.ts';
import type { CredentialRevoked, Identity } from './model.ts';
import { OidcProvider } from './oidc-provider.ts';
import { PresentedTokens } from './presented-token.ts';
import { IdentityLines, type IdentityRecord } from './record.ts';
import { ServiceKeyStore } from './service-keys.ts';
import { Users } from './users.ts';

export interface IdentityOptions {
  readonly config: IdentityConfig;
  /** Name of this gateway: the issuer of its own tokens. */
  readonly gateway: string;
  /** This process, among all gateways of the store; the same after a restart. */
  readonly process: string;
  readonly tokenKey: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  /** Null: tokens of the gateway and of providers are taken, names are not checked across restarts, nobody can log in. */
  readonly store: Store | null;
  readonly recorder: IdentityRecord;
  /** Masks texts on their way into the record. */
  readonly mask: (text: string) => string;
  /** Groups that only grants give, `<resource>/<account>`: a provider's group of that name is left out. */
  readonly reservedGroups: ReadonlySet<string>;
  /** Whether the principal or its credential was revoked: throws GatewayError `revoked`. From memory. */
  readonly check: (principal: Principal) => void;
  /** A user who left the identity provider: ends every session of the name, and keeps it out. */
  readonly onRevoked: (name: string, issuer: string, why: string) => Promise<void>;
  /** A user revoked by `onRevoked` whom the provider has let in anew. */
  readonly onReturned: (principal: Principal, why: string) => Promise<void>;
  /** One log-in, token or service key that ends, with the sessions on it. */
  readonly onCredentialRevoked: CredentialRevoked;
  readonly secret: (reference: string) => string;
  /** ms since the epoch. */
  readonly now: () => number;
  readonly log: IdentityLog;
}

/** Puts identity together. Providers are not asked before they are needed: a gateway starts without them. */
export function createIdentity(options: IdentityOptions): Identity {
  const { config, gateway, tokenKey, store, secret, now, log, check, reservedGroups, onCredentialRevoked } = options;
  const failed = (error: unknown): void => log.warn('the control store could not take a note', { error: String(error) });
  const oidc = config.oidc.map((provider) => new OidcProvider(provider, secret, now));
  const lines = new IdentityLines(options.recorder, options.mask);
  const users = new Users(store, now, failed);
  const tokens = new TokenStore(store, now, failed);
  const attempts = store === null ? null : new Attempts(store, now);
  const keys = new ServiceKeyStore({ store, users, lines, now, check, onCredentialRevoked, failed });
  const { onRevoked, onReturned } = options;
  const departures = new Departures({ oidc, store, attempts, tokens, keys, check, onRevoked, onReturned, onCredentialRevoked, now, log });
  const { process } = options;
  const gatewayKeys = store === null ? null : new GatewayKeys({ store, gateway, process, publicKey: tokenKey.publicKey, lines, now, log });
  const local = new LocalTokenVerifier(gateway, tokenKey.publicKey, now, (issuer) => gatewayKeys?.of(issuer) ?? []);
  const presented = new PresentedTokens(oidc, reservedGroups);
  const { privateKey } = tokenKey;
  const logins = new Logins({
    config,
    gateway,
    privateKey,
    oidc,
    reservedGroups,
    attempts,
    users,
    tokens,
    departures,
    lines,
    check,
    now,
    log,
  });
  const stop = attempts === null ? async () => {} : housekeeping(departures, attempts, tokens, log);
  return {
    authenticator: new GatewayAuthenticator({ local, gatewayKeys, presented, keys, users, tokens, check }),
    logins,
    serviceKeys: keys,
    tokens,
    start: async () => gatewayKeys?.start(),
    close: async () => {
      await stop();
      await gatewayKeys?.close();
      users.close();
      keys.close();
    },
  };
}

/** Looks regularly who left, and forgets what has expired. Rounds never overlap. */
function housekeeping(departures: Departures, attempts: Attempts, tokens: TokenStore, log: IdentityLog): () => Promise<void> {
  let running: Promise<void> | null = null;
  const round = async (): Promise<void> => {
    try {
      await departures.check(false);
      await attempts.sweep();
      await tokens.sweep();
    } catch (error) {
      log.warn('users could not be looked up', { error: String(error) });
    }
    running = null;
  };
  const timer = setInterval(() => {
    running ??= round();
  }, CHECK_MS);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await running;
  };
}

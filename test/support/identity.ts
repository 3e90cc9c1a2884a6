import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IdentityConfig, OidcProviderConfig } from '../../src/config/model.ts';
import { GatewayError } from '../../src/errors.ts';
import { createIdentity, type IdentityOptions } from '../../src/identity/create.ts';
import type { Identity } from '../../src/identity/model.ts';
import type { Principal } from '../../src/policy/model.ts';
import type { Store } from '../../src/store/model.ts';
import { openStore } from '../../src/store/open.ts';
import { seedStore } from './embedded-store.ts';

/** Identity on a real embedded store, with what it calls noted. For tests. */

const quiet = { info: () => {}, warn: () => {}, error: () => {} };

export interface TestIdentity extends Identity {
  readonly store: Store;
  /** What both gateways sign tokens with. */
  readonly privateKey: KeyObject;
  /** Lines of the record, type first. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  /** What was revoked: `user issuer name`, `credential id`, `returned name`. */
  readonly revoked: string[];
  /** The clock, ms since the epoch: starts at the real time. */
  now: number;
  /** A second gateway on the same store. */
  another(gateway: string, config?: IdentityConfig, change?: Partial<IdentityOptions>): Identity;
}

export function oidcConfig(change: Partial<OidcProviderConfig> & Pick<OidcProviderConfig, 'issuer'>): OidcProviderConfig {
  return {
    name: 'corp',
    clientId: 'sluice',
    clientSecret: null,
    audiences: [],
    login: true,
    tokens: null,
    nameClaim: 'preferred_username',
    groupsClaim: 'groups',
    scopes: ['openid', 'profile', 'groups'],
    algorithms: ['RS256', 'ES256', 'EdDSA'],
    ca: null,
    ...change,
  };
}

export const identityConfig = (change: Partial<IdentityConfig> = {}): IdentityConfig => ({
  oidc: [],
  saml: [],
  mfaClasses: [],
  tokenSeconds: 8 * 3600,
  idleSeconds: 900,
  ...change,
});

/** `context.after` closes everything. */
export async function testIdentity(
  context: { after(fn: () => Promise<void>): void },
  config: IdentityConfig,
  change: Partial<IdentityOptions> = {},
): Promise<TestIdentity> {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-identity-'));
  const opened: Identity[] = [];
  const lines: Record<string, unknown>[] = [];
  const revoked: string[] = [];
  const clock = { now: Date.now() };
  const now = (): number => clock.now;
  await seedStore(dir);
  const store = await openStore({ url: 'embedded', dataDir: dir, log: quiet, now: Date.now, env: {} });
  context.after(async () => {
    for (const identity of opened) await identity.close();
    // A test may have closed it already.
    await store.close().catch(() => {});
    rmSync(dir, { recursive: true });
  });
  const tokenKey = generateKeyPairSync('ed25519');
  const isRevoked = (principal: Principal): boolean =>
    revoked.includes(`credential ${principal.credential.id}`) || revoked.includes(`user ${principal.issuer} ${principal.name}`);
  const open = (gateway: string, own: IdentityConfig, more: Partial<IdentityOptions> = {}): Identity => {
    const identity = createIdentity({
      config: own,
      gateway,
      process: gateway,
      tokenKey,
      store,
      recorder: { append: (type, _, members) => lines.push({ type, ...(JSON.parse(`{${members}}`) as object) }) },
      mask: (text) => text,
      reservedGroups: new Set(['payments/read-write']),
      check: (principal) => {
        if (!isRevoked(principal)) return;
        throw new GatewayError({ code: 'revoked', source: 'client', phase: 'login', publicMessage: 'access was revoked' });
      },
      onRevoked: async (name, issuer) => {
        revoked.push(`user ${issuer} ${name}`);
        const row = { kind: 'user', id: `${issuer} ${name}`, revoked_by: 'identity-provider', reason: '', at: now() } as const;
        await store.db.insertInto('revocations').values(row).execute();
      },
      onReturned: async ({ issuer, name }) => {
        revoked.splice(revoked.indexOf(`user ${issuer} ${name}`), 1);
        await store.db.deleteFrom('revocations').where('id', '=', `${issuer} ${name}`).execute();
      },
      onCredentialRevoked: async (id, reason, by) => {
        revoked.push(`credential ${id}`);
        const revokedBy = by === 'identity-provider' ? by : by.name;
        await store.db.insertInto('revocations').values({ kind: 'credential', id, revoked_by: revokedBy, reason, at: now() }).execute();
      },
      secret: (reference) => reference,
      now,
      log: quiet,
      ...change,
      ...more,
    });
    opened.push(identity);
    return identity;
  };
  const identity = open('gw-1', config);
  return Object.assign(clock, identity, {
    store,
    privateKey: tokenKey.privateKey,
    lines,
    revoked,
    another: (gateway: string, own = config, more: Partial<IdentityOptions> = {}) => open(gateway, own, more),
  });
}

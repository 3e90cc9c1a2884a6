import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { identityConfig, oidcConfig } from '../../test/support/identity.ts';
import { TestOidcProvider, testAudience, testWorkload } from '../../test/support/oidc-provider.ts';
import { GatewayError } from '../errors.ts';
import { createIdentity } from './create.ts';
import { issueToken } from './local-token.ts';
import type { Identity } from './model.ts';

const tokenKey = generateKeyPairSync('ed25519');
const local = (user: string): string =>
  issueToken({ user, kind: 'user', groups: [], ttlMs: 60_000 }, 'gw-1', tokenKey.privateKey, Date.now());

/** Identity as a gateway without a store has it. */
function withoutStore(config = identityConfig(), revoked = ''): Identity {
  return createIdentity({
    config,
    gateway: 'gw-1',
    process: 'gw-1',
    tokenKey,
    store: null,
    recorder: { append: () => 0 },
    mask: (text) => text,
    reservedGroups: new Set(),
    check: ({ name }) => {
      if (name !== revoked) return;
      throw new GatewayError({ code: 'revoked', source: 'client', phase: 'login', publicMessage: 'access was revoked' });
    },
    onRevoked: async () => {},
    onReturned: async () => {},
    onCredentialRevoked: async () => {},
    secret: (reference) => reference,
    now: Date.now,
    log: { info: () => {}, warn: () => {}, error: () => {} },
  });
}

test('without a store, tokens are taken and nothing is given out', async (context) => {
  const provider = await TestOidcProvider.start();
  context.after(() => provider.close());
  const workloads = oidcConfig({ issuer: provider.issuer, tokens: 'service', audiences: [testAudience], nameClaim: 'sub' });
  const identity = withoutStore(identityConfig({ oidc: [workloads] }));
  context.after(() => identity.close());
  const { authenticator, logins, serviceKeys } = identity;
  assert.equal((await authenticator.authenticate(local('dev1'), 'dev1')).credential.kind, 'local-token');
  const workload = await authenticator.authenticate(await provider.workloadToken(), testWorkload.id);
  assert.equal(workload.kind, 'service');
  await assert.rejects(
    authenticator.authenticate(local(testWorkload.id), testWorkload.id),
    { code: 'name_taken' },
    'names are kept in memory',
  );
  const unavailable = { code: 'store_unavailable' };
  await assert.rejects(logins.begin('corp', { redirectUri: 'https://gateway.test/', purpose: '' }), unavailable);
  await assert.rejects(logins.beginDevice('corp'), unavailable);
  await assert.rejects(logins.issueFor(workload), unavailable);
  await assert.rejects(serviceKeys.list(), unavailable);
  await assert.rejects(authenticator.authenticate(`slk_0123456789abcdef_${'A'.repeat(43)}`, 'etl'), unavailable);
});

test('who was revoked is refused whatever the credential', async () => {
  const { authenticator } = withoutStore(identityConfig(), 'dev1');
  await assert.rejects(authenticator.authenticate(local('dev1'), 'dev1'), { code: 'revoked' });
  assert.equal((await authenticator.authenticate(local('dev2'), 'dev2')).name, 'dev2');
});

test('a JWT is no token where no provider vouches for tokens', async () => {
  const { authenticator } = withoutStore();
  const jwt = `${Buffer.from('{"alg":"RS256"}').toString('base64url')}.${Buffer.from('{"iss":"https://idp.test"}').toString('base64url')}.AAAA`;
  await assert.rejects(authenticator.authenticate(jwt, 'dev1'), { code: 'token_malformed' });
  await assert.rejects(authenticator.authenticate('hunter2', 'dev1'), { code: 'token_malformed' });
  await assert.rejects(authenticator.authenticate('', 'dev1'), { code: 'token_malformed' });
});

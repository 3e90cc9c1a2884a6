import assert from 'node:assert/strict';
import { createHmac, createPublicKey } from 'node:crypto';
import { test } from 'node:test';

import { importJWK, type JWK, type JWTPayload, SignJWT } from 'jose';
import { identityConfig, oidcConfig, type TestIdentity, testIdentity } from '../../test/support/identity.ts';
import { signingKey, TestOidcProvider, testAudience, testWorkload } from '../../test/support/oidc-provider.ts';

type Context = { after(fn: () => Promise<void>): void };

/** A gateway that takes workload tokens of a real provider. */
async function stage(context: Context): Promise<{ provider: TestOidcProvider; identity: TestIdentity }> {
  const provider = await TestOidcProvider.start();
  context.after(() => provider.close());
  const config = oidcConfig({
    issuer: provider.issuer,
    name: 'ci',
    login: false,
    tokens: 'service',
    audiences: [testAudience],
    nameClaim: 'sub',
  });
  return { provider, identity: await testIdentity(context, identityConfig({ oidc: [config] })) };
}

const notAccepted = (code: string) => ({ code, publicMessage: 'the credential is not accepted' });

test('a workload token of a real provider is a service with its groups', async (context) => {
  const { provider, identity } = await stage(context);
  const token = await provider.workloadToken();
  const principal = await identity.authenticator.authenticate(token, testWorkload.id);
  assert.equal(principal.kind, 'service');
  assert.equal(principal.name, testWorkload.id);
  assert.equal(principal.issuer, provider.issuer);
  assert.equal(principal.subject, testWorkload.id);
  assert.deepEqual(principal.groups, ['deployers']);
  assert.equal(principal.credential.kind, 'oidc-token');
  assert.ok(principal.credential.expiresAt > Date.now());
  assert.deepEqual((await identity.authenticator.authenticateBearer(token)).name, testWorkload.id);
  await assert.rejects(identity.authenticator.authenticate(token, 'someone'), { code: 'token_user_mismatch' });
  await assert.rejects(
    identity.authenticator.authenticate(await provider.workloadToken('urn:other'), testWorkload.id),
    notAccepted('token_audience'),
  );
});

test('what a forger changes is refused, each by its own check', async (context) => {
  const { provider, identity } = await stage(context);
  const [key] = provider.keys as [JWK];
  const seconds = Math.floor(identity.now / 1000);
  const good: JWTPayload = {
    iss: provider.issuer,
    aud: testAudience,
    sub: 'robot',
    jti: 't1',
    iat: seconds,
    nbf: seconds,
    exp: seconds + 600,
  };
  const sign = async (claims: JWTPayload, header: { kid?: string; typ?: string; alg?: string } = {}, jwk: JWK = key): Promise<string> =>
    new SignJWT(claims).setProtectedHeader({ alg: jwk.alg ?? 'RS256', kid: 'first', typ: 'at+jwt', ...header }).sign(await importJWK(jwk));
  const refuses = async (token: string, expected: object, what: string): Promise<void> => {
    await assert.rejects(identity.authenticator.authenticate(token, 'robot'), expected, what);
  };
  const token = await sign(good);
  // All that follows differs from this in one thing.
  assert.equal((await identity.authenticator.authenticate(token, 'robot')).credential.id, 'ci:t1');

  await refuses(await sign({ ...good, iss: 'https://evil.test' }), notAccepted('issuer_unknown'), 'issuer');
  await refuses(await sign({ ...good, iss: `${provider.issuer}/` }), notAccepted('issuer_unknown'), 'issuer with a slash');
  await refuses(await sign({ ...good, aud: 'urn:other' }), notAccepted('token_audience'), 'audience');
  await refuses(await sign({ ...good, aud: ['urn:other', 'urn:sluice'] }), notAccepted('token_audience'), 'audiences');
  await refuses(await sign({ ...good, exp: seconds - 61 }), { code: 'token_expired', publicMessage: 'the token has expired' }, 'expired');
  await refuses(await sign({ ...good, nbf: seconds + 120 }), notAccepted('token_not_yet_valid'), 'nbf');
  await refuses(await sign({ ...good, iat: seconds + 120 }), notAccepted('token_not_yet_valid'), 'iat');
  const { exp: _, ...endless } = good;
  await refuses(await sign(endless), notAccepted('token_malformed'), 'no expiry');
  await refuses(await sign(good, { typ: 'logout+jwt' }), notAccepted('token_type'), 'type');
  await refuses(await sign({ ...good, events: {} }, { typ: 'JWT' }), notAccepted('token_type'), 'a logout token without its type');
  await refuses(await sign(good, { kid: 'unknown' }), notAccepted('token_key'), 'key id');
  await refuses(await sign(good, {}, await signingKey('first')), notAccepted('token_signature'), 'key');
  await refuses(await sign({ ...good, sub: 'a b' }), { code: 'name_unusable' }, 'name');
  await refuses(await sign({ ...good, groups: ['a\nb'] }), { code: 'groups_unusable' }, 'group');
  await refuses(await sign({ ...good, _claim_names: { groups: 'src1' } }), { code: 'groups_missing' }, 'groups elsewhere');

  const [header = '', payload = '', signature = ''] = token.split('.');
  const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  await refuses(`${header}.${encoded({ ...good, groups: ['dba'] })}.${signature}`, notAccepted('token_signature'), 'payload');
  await refuses(`${encoded({ alg: 'none', typ: 'at+jwt' })}.${payload}.`, notAccepted('token_algorithm'), 'none');
  await refuses(
    `${encoded({ alg: 'none', typ: 'at+jwt' })}.${payload}.${signature}`,
    notAccepted('token_algorithm'),
    'none with a signature',
  );
  const pem = createPublicKey({ key: key as import('node:crypto').JsonWebKey, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
  const mac = `${encoded({ alg: 'HS256', typ: 'at+jwt', kid: 'first' })}.${payload}`;
  await refuses(
    `${mac}.${createHmac('sha256', pem).update(mac).digest('base64url')}`,
    notAccepted('token_algorithm'),
    'HS256 with the public key',
  );
  await refuses(
    await sign(good, { alg: 'PS256' }, { ...key, alg: 'PS256' }),
    notAccepted('token_algorithm'),
    'an algorithm that is not allowed',
  );
  await refuses('eyJ.eyJ.x', notAccepted('token_malformed'), 'no JWT');
});

test('groups that only grants give are not taken from a provider', async (context) => {
  const { provider, identity } = await stage(context);
  const [key] = provider.keys as [JWK];
  const token = await new SignJWT({ groups: 'payments/read-write,dba ops' })
    .setProtectedHeader({ alg: 'RS256', kid: 'first' })
    .setIssuer(provider.issuer)
    .setAudience(testAudience)
    .setSubject('robot')
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(await importJWK(key));
  const principal = await identity.authenticator.authenticate(token, 'robot');
  assert.deepEqual(principal.groups, ['dba', 'ops']);
  assert.match(principal.credential.id, /^ci:robot@\d+$/);
});

test('a token of a person is a user, with the evidence of how it logged in', async (context) => {
  const provider = await TestOidcProvider.start({ keys: [await signingKey('rsa'), await signingKey('curve', 'ES256')] });
  context.after(() => provider.close());
  const identity = await testIdentity(context, identityConfig({ oidc: [oidcConfig({ issuer: provider.issuer, tokens: 'user' })] }));
  const [, key] = provider.keys as [JWK, JWK];
  const claims = {
    preferred_username: 'ann',
    groups: ['analysts'],
    acr: 'mfa',
    amr: ['pwd', 'hwk'],
    auth_time: 1_700_000_000,
    jti: 'id-1',
  };
  const sign = async (audience: string): Promise<string> =>
    new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', kid: 'curve', typ: 'JWT' })
      .setIssuer(provider.issuer)
      .setAudience(audience)
      .setSubject('17')
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(await importJWK(key));
  const principal = await identity.authenticator.authenticateBearer(await sign('sluice'));
  const { kind, name, subject } = principal;
  assert.deepEqual({ kind, name, subject }, { kind: 'user', name: 'ann', subject: '17' });
  assert.deepEqual(principal.claims, { acr: 'mfa', amr: ['pwd', 'hwk'], auth_time: 1_700_000_000 });
  assert.equal(principal.credential.id, 'corp:id-1');
  await assert.rejects(identity.authenticator.authenticateBearer(await sign(testAudience)), notAccepted('token_audience'));
});

test('keys of a provider are followed, kept while it is away, and not asked for more than needed', async (context) => {
  const { provider, identity } = await stage(context);
  const { authenticator } = identity;
  const old = await provider.workloadToken();
  await authenticator.authenticate(old, testWorkload.id);
  await authenticator.authenticate(old, testWorkload.id);
  assert.equal(provider.requests.filter((path) => path === '/jwks').length, 1);

  await provider.close();
  identity.now += 6 * 60_000;
  assert.equal((await authenticator.authenticate(old, testWorkload.id)).name, testWorkload.id, 'known keys go on without the provider');
  identity.now += 25 * 3_600_000;
  await assert.rejects(authenticator.authenticate(old, testWorkload.id), { code: 'issuer_unavailable' }, 'but not for ever');
  identity.now -= 25 * 3_600_000 + 6 * 60_000;

  const rotated = await TestOidcProvider.start({ port: provider.port, keys: [await signingKey('second')] });
  context.after(() => rotated.close());
  const fresh = await rotated.workloadToken();
  identity.now += 7 * 60_000;
  assert.equal((await authenticator.authenticate(fresh, testWorkload.id)).name, testWorkload.id, 'a new key is fetched');
  await assert.rejects(authenticator.authenticate(old, testWorkload.id), notAccepted('token_key'), 'the key that is gone counts no more');

  const before = rotated.requests.length;
  const [key] = rotated.keys as [JWK];
  for (let i = 0; i < 5; i++) {
    const unknown = await new SignJWT({ sub: 'robot' })
      .setProtectedHeader({ alg: 'RS256', kid: `made-up-${i}` })
      .setIssuer(provider.issuer)
      .setAudience(testAudience)
      .setExpirationTime('1h')
      .sign(await importJWK(key));
    await assert.rejects(authenticator.authenticate(unknown, 'robot'), notAccepted('token_key'));
  }
  assert.ok(rotated.requests.length - before <= 1, 'made-up key ids do not reach the provider');
});

test('a provider that was never reached vouches for nobody', async (context) => {
  const { provider, identity } = await stage(context);
  const token = await provider.workloadToken();
  await provider.close();
  await assert.rejects(identity.authenticator.authenticate(token, testWorkload.id), { code: 'issuer_unavailable', retryable: true });
});

test('one name stands for one identity', async (context) => {
  const provider = await TestOidcProvider.start();
  const other = await TestOidcProvider.start();
  context.after(() => provider.close());
  context.after(() => other.close());
  const workloads = { login: false, tokens: 'service', audiences: [testAudience], nameClaim: 'sub' } as const;
  const identity = await testIdentity(
    context,
    identityConfig({
      oidc: [
        oidcConfig({ issuer: provider.issuer, name: 'one', ...workloads }),
        oidcConfig({ issuer: other.issuer, name: 'two', ...workloads }),
      ],
    }),
  );
  const second = identity.another('gw-2');
  const [mine, theirs] = [await provider.workloadToken(), await other.workloadToken()];
  await identity.authenticator.authenticate(mine, testWorkload.id);
  await assert.rejects(identity.authenticator.authenticate(theirs, testWorkload.id), { code: 'name_taken' });
  await assert.rejects(second.authenticator.authenticate(theirs, testWorkload.id), { code: 'name_taken' }, 'on another gateway as well');
  assert.equal((await second.authenticator.authenticate(mine, testWorkload.id)).issuer, provider.issuer);
  const users = await identity.store.db.selectFrom('users').select(['name', 'issuer', 'kind']).execute();
  assert.deepEqual(users, [{ name: testWorkload.id, issuer: provider.issuer, kind: 'service' }]);
});

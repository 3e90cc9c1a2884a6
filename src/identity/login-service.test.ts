import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { identityConfig, oidcConfig, type TestIdentity, testIdentity } from '../../test/support/identity.ts';
import { TestBrowser, TestOidcProvider, testClient } from '../../test/support/oidc-provider.ts';
import type { Login, LoginStart } from './model.ts';

type Context = { after(fn: () => Promise<void>): void };
const redirectUri = 'https://gateway.test/login/callback';

interface Stage {
  readonly provider: TestOidcProvider;
  readonly identity: TestIdentity;
}

/** A gateway that people log in to with a real provider, where Ann (subject 17) and Bob (18) have accounts. */
async function stage(context: Context, scopes: readonly string[] = ['openid', 'profile', 'groups']): Promise<Stage> {
  const provider = await TestOidcProvider.start({ redirectUris: [redirectUri] });
  context.after(() => provider.close());
  provider.accounts.set('17', { name: 'ann', groups: ['analysts', 'payments/read-write'] });
  provider.accounts.set('18', { name: 'bob', groups: [] });
  const config = oidcConfig({ issuer: provider.issuer, clientSecret: testClient.secret, scopes });
  return { provider, identity: await testIdentity(context, identityConfig({ oidc: [config] })) };
}

/** What the browser brings back. */
async function answer(provider: TestOidcProvider, begun: LoginStart, subject: string): Promise<string> {
  provider.loginAs = subject;
  return new URL(await new TestBrowser().follow(begun.url, redirectUri)).search;
}

async function logIn({ provider, identity }: Stage, subject: string, purpose = ''): Promise<Login> {
  const begun = await identity.logins.begin('corp', { redirectUri, purpose });
  return identity.logins.finish(await answer(provider, begun, subject), begun.binding, '203.0.113.9:1');
}

test('authorization code with PKCE makes a principal with groups and evidence of MFA', async (context) => {
  const staged = await stage(context);
  const { provider, identity } = staged;
  assert.deepEqual(identity.logins.providers(), [{ name: 'corp', kind: 'oidc' }]);
  const begun = await identity.logins.begin('corp', { redirectUri, purpose: '/approvals/7' });
  const { searchParams } = new URL(begun.url);
  assert.equal(searchParams.get('code_challenge_method'), 'S256');
  assert.ok(searchParams.get('nonce'));
  const query = await answer(provider, begun, '17');
  const { principal, purpose, provider: name } = await identity.logins.finish(query, begun.binding, '203.0.113.9:1');
  assert.equal(purpose, '/approvals/7');
  assert.equal(name, 'corp');
  assert.equal(principal.kind, 'user');
  assert.equal(principal.name, 'ann');
  assert.equal(principal.issuer, provider.issuer);
  assert.equal(principal.subject, '17');
  assert.deepEqual(principal.groups, ['analysts'], 'a group of the name of an account is for grants to give');
  assert.equal(principal.credential.kind, 'oidc');
  assert.equal(principal.credential.expiresAt, identity.now + 8 * 3_600_000);
  assert.equal(principal.claims['acr'], 'mfa');
  assert.deepEqual(principal.claims['amr'], ['pwd', 'otp']);
  const line = identity.lines.at(-1);
  assert.deepEqual(
    { type: line?.['type'], ok: line?.['ok'], user: line?.['user'], credential: line?.['credential'], source: line?.['source'] },
    { type: 'auth', ok: true, user: 'ann', credential: principal.credential.id, source: '203.0.113.9:1' },
  );
  // State, code and binding are good once.
  await assert.rejects(identity.logins.finish(query, begun.binding), { code: 'login_unknown' });
  assert.equal(identity.lines.at(-1)?.['ok'], false);
});

test('an answer counts in the browser that asked, in time, and only when it is a yes', async (context) => {
  const { provider, identity } = await stage(context);
  const { logins } = identity;
  const begin = (): Promise<LoginStart> => logins.begin('corp', { redirectUri, purpose: '' });

  const stolen = await begin();
  await assert.rejects(logins.finish(await answer(provider, stolen, '17'), (await begin()).binding), { code: 'login_unknown' });
  await assert.rejects(logins.finish('?code=x&state=made-up', stolen.binding), { code: 'login_unknown' });

  const late = await begin();
  const lateQuery = await answer(provider, late, '17');
  identity.now += 10 * 60_000;
  await assert.rejects(logins.finish(lateQuery, late.binding), { code: 'login_expired' });

  const denied = await begin();
  await assert.rejects(logins.finish(await answer(provider, denied, 'deny'), denied.binding), { code: 'login_denied' });

  // The code of one log-in under the state of another: the verifier does not fit.
  const [victim, attacker] = [await begin(), await begin()];
  const code = new URLSearchParams(await answer(provider, attacker, '18')).get('code') ?? '';
  const mixed = new URLSearchParams(await answer(provider, victim, '17'));
  mixed.set('code', code);
  await assert.rejects(logins.finish(mixed.toString(), victim.binding), { code: 'login_denied' });

  const foreign = await begin();
  const query = new URLSearchParams(await answer(provider, foreign, '17'));
  query.set('iss', 'https://evil.test');
  await assert.rejects(logins.finish(query.toString(), foreign.binding), { code: 'login_invalid' });

  await assert.rejects(logins.begin('nobody', { redirectUri, purpose: '' }), { code: 'provider_unknown' });
  assert.ok(identity.lines.every((line) => line['type'] === 'auth' && line['ok'] === false));
  assert.equal((await identity.store.db.selectFrom('issued_tokens').selectAll().execute()).length, 0);
});

test('what is kept of a log-in on its way and of its refresh token is not readable in the store', async (context) => {
  const staged = await stage(context, ['openid', 'profile', 'groups', 'offline_access']);
  const { identity } = staged;
  const begun = await identity.logins.begin('corp', { redirectUri, purpose: 'a purpose to look for' });
  const state = new URL(begun.url).searchParams.get('state') ?? '';
  const [attempt] = await identity.store.db.selectFrom('login_attempts').selectAll().execute();
  assert.ok(attempt !== undefined);
  const kept = JSON.stringify([attempt, Buffer.from(attempt.sealed).toString('latin1')]);
  for (const secret of [state, begun.binding, 'a purpose to look for']) assert.ok(!kept.includes(secret));
  await logIn(staged, '17');
  const [row] = await identity.store.db.selectFrom('issued_tokens').selectAll().where('refresh', 'is not', null).execute();
  assert.ok(row?.refresh != null && row.refresh.length > 20);
});

test('a device logs in with a code that the person confirms elsewhere', async (context) => {
  const { provider, identity } = await stage(context);
  const { logins } = identity;
  const begun = await logins.beginDevice('corp');
  assert.match(begun.userCode, /^[A-Z]{4}-[A-Z]{4}$/);
  assert.deepEqual(await logins.pollDevice(begun.id), { state: 'pending', intervalSeconds: begun.intervalSeconds });
  const asked = provider.requests.length;
  assert.equal((await logins.pollDevice(begun.id)).state, 'pending');
  assert.equal(provider.requests.length, asked, 'who polls too fast does not reach the provider');
  provider.loginAs = '17';
  await new TestBrowser().submitForms(begun.verificationUriComplete ?? begun.verificationUri);
  identity.now += begun.intervalSeconds * 1000;
  const done = await logins.pollDevice(begun.id);
  assert.equal(done.state, 'done');
  assert.equal(done.state === 'done' && done.login.principal.name, 'ann');
  await assert.rejects(logins.pollDevice(begun.id), { code: 'login_unknown' });
  await assert.rejects(logins.pollDevice('made-up'), { code: 'login_unknown' });
});

test('an issued token carries the identity of the provider, and cannot renew itself', async (context) => {
  const staged = await stage(context);
  const { identity } = staged;
  const { principal } = await logIn(staged, '17');
  const issued = await identity.logins.issueFor(principal, { ttlSeconds: 600 });
  assert.equal(issued.expiresAt, Math.floor(identity.now / 1000) * 1000 + 600_000);
  const seen = await identity.authenticator.authenticate(issued.token, 'ann');
  assert.deepEqual(
    { ...seen, credential: null },
    { ...principal, credential: null },
    'issuer, subject, groups and evidence are those of the log-in',
  );
  const parents = [principal.credential.id];
  const issuedAt = issued.expiresAt - 600_000;
  assert.deepEqual(seen.credential, { kind: 'issued-token', id: issued.id, expiresAt: issued.expiresAt, issuedAt, parents });
  await assert.rejects(identity.authenticator.authenticate(issued.token, 'bob'), { code: 'token_user_mismatch' });

  const again = await identity.logins.issueFor(seen, { ttlSeconds: 7200 });
  assert.ok(again.expiresAt <= issued.expiresAt, 'a token made from a token ends with it');
  const capped = await identity.logins.issueFor(principal, { ttlSeconds: 90 * 86_400 });
  assert.ok(capped.expiresAt <= identity.now + 8 * 3_600_000);

  const bySaml = { ...principal, credential: { ...principal.credential, kind: 'saml', expiresAt: identity.now + 300_000 } };
  const brief = await identity.logins.issueFor(bySaml);
  assert.ok(brief.expiresAt <= identity.now + 300_000, 'a provider that says when its session ends is believed');

  const forApi = await identity.logins.issueFor(principal, { audience: 'api' });
  assert.equal((await identity.authenticator.authenticateBearer(forApi.token, 'api')).name, 'ann');
  await assert.rejects(identity.authenticator.authenticate(forApi.token, 'ann'), { code: 'token_audience' });
  await assert.rejects(identity.authenticator.authenticateBearer(forApi.token), { code: 'token_audience' });
  const forClients = await identity.logins.issueFor(principal, { audience: 'connect' });
  assert.equal((await identity.authenticator.authenticate(forClients.token, 'ann')).name, 'ann');
  await assert.rejects(identity.authenticator.authenticateBearer(forClients.token, 'api'), { code: 'token_audience' });
  assert.equal((await identity.authenticator.authenticateBearer(issued.token, 'api')).name, 'ann', 'a token for all is good for a part');

  const listed = await identity.tokens.list({ user: 'ann', limit: 10 });
  assert.deepEqual(
    new Set(listed.map((token) => token.id)),
    new Set([principal.credential.id, issued.id, again.id, capped.id, brief.id, forApi.id, forClients.id]),
  );
  assert.ok(listed.every((token) => token.subject === '17' && token.provider === 'corp'));
  assert.ok(!JSON.stringify(await identity.store.db.selectFrom('issued_tokens').selectAll().execute()).includes(issued.token));
  assert.ok(!JSON.stringify(identity.lines).includes(issued.token));

  identity.now += 600_000;
  await assert.rejects(identity.authenticator.authenticate(issued.token, 'ann'), { code: 'token_expired' });
});

test('a token is revoked with what it was made from', async (context) => {
  const staged = await stage(context);
  const { identity } = staged;
  const { authenticator, logins } = identity;
  const [first, second] = [(await logIn(staged, '17')).principal, (await logIn(staged, '17')).principal];
  const token = await logins.issueFor(first);
  const made = await logins.issueFor(await authenticator.authenticate(token.token, 'ann'));
  const sibling = await logins.issueFor(second);
  const revoked = identity.revoked as string[];

  revoked.push(`credential ${token.id}`);
  await assert.rejects(authenticator.authenticate(token.token, 'ann'), { code: 'revoked' });
  await assert.rejects(authenticator.authenticate(made.token, 'ann'), { code: 'revoked' });
  const another = await logins.issueFor(first);
  assert.equal((await authenticator.authenticate(another.token, 'ann')).name, 'ann');

  revoked.push(`credential ${first.credential.id}`);
  await assert.rejects(authenticator.authenticate(another.token, 'ann'), { code: 'revoked' });
  let last = await authenticator.authenticate(sibling.token, 'ann');
  await assert.rejects(
    async () => {
      for (;;) last = await authenticator.authenticate((await logins.issueFor(last)).token, 'ann');
    },
    { code: 'token_lifetime' },
    'not without end',
  );
});

test('another person of the same name is refused, and so is a person with another name', async (context) => {
  const staged = await stage(context);
  const { provider, identity } = staged;
  await logIn(staged, '17');
  provider.accounts.set('99', { name: 'ann', groups: ['dba'] });
  await assert.rejects(logIn(staged, '99'), { code: 'name_taken' });
  provider.accounts.set('17', { name: 'anna', groups: [] });
  await assert.rejects(logIn(staged, '17'), { code: 'name_changed' });
  const by = {
    kind: 'user',
    name: 'bob',
    issuer: 'x',
    subject: '18',
    groups: [],
    credential: { kind: 'x', id: 'x', expiresAt: 0 },
    claims: {},
  } as const;
  await assert.rejects(identity.serviceKeys.create({ service: 'ann', groups: [], ttlSeconds: 3600, by }), { code: 'name_taken' });
});

test('a code for the command line is good once, for its verifier, for a minute', async (context) => {
  const staged = await stage(context);
  const { identity } = staged;
  const { logins } = identity;
  const { principal } = await logIn(staged, '17');
  const verifier = 'a-verifier-that-only-the-command-line-knows';
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const code = await logins.grantCode(principal, challenge);
  assert.deepEqual(await logins.redeemCode(code, verifier), principal);
  await assert.rejects(logins.redeemCode(code, verifier), { code: 'code_invalid' });
  const tried = await logins.grantCode(principal, challenge);
  await assert.rejects(logins.redeemCode(tried, 'a guess'), { code: 'code_invalid' });
  await assert.rejects(logins.redeemCode(tried, verifier), { code: 'code_invalid' }, 'a wrong verifier spends it');
  const late = await logins.grantCode(principal, challenge);
  identity.now += 60_000;
  await assert.rejects(logins.redeemCode(late, verifier), { code: 'code_invalid' });
  await assert.rejects(logins.grantCode(principal, 'plain'), { code: 'code_invalid' });
});

test('a provider that does not answer ends the log-in with that', async (context) => {
  const { provider, identity } = await stage(context);
  const begun = await identity.logins.begin('corp', { redirectUri, purpose: '' });
  const query = await answer(provider, begun, '17');
  await provider.close();
  await assert.rejects(identity.logins.finish(query, begun.binding), { code: 'issuer_unavailable', retryable: true });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';

import { importJWK, type JWK, SignJWT } from 'jose';
import { identityConfig, oidcConfig, type TestIdentity, testIdentity } from '../../test/support/identity.ts';
import { TestBrowser, TestOidcProvider, testClient } from '../../test/support/oidc-provider.ts';
import type { Login } from './model.ts';

type Context = { after(fn: () => Promise<void>): void };
const redirectUri = 'https://gateway.test/login/callback';

interface Stage {
  readonly provider: TestOidcProvider;
  readonly identity: TestIdentity;
}

async function stage(context: Context, backchannelLogoutUri?: string): Promise<Stage> {
  const provider = await TestOidcProvider.start({
    redirectUris: [redirectUri],
    ...(backchannelLogoutUri === undefined ? {} : { backchannelLogoutUri }),
  });
  context.after(() => provider.close());
  provider.accounts.set('17', { name: 'ann', groups: [] });
  provider.accounts.set('18', { name: 'bob', groups: [] });
  const scopes = ['openid', 'profile', 'groups', 'offline_access'];
  const config = oidcConfig({ issuer: provider.issuer, clientSecret: testClient.secret, scopes });
  return { provider, identity: await testIdentity(context, identityConfig({ oidc: [config] })) };
}

async function logIn({ provider, identity }: Stage, subject: string, browser = new TestBrowser()): Promise<Login> {
  const begun = await identity.logins.begin('corp', { redirectUri, purpose: '' });
  provider.loginAs = subject;
  return identity.logins.finish(new URL(await browser.follow(begun.url, redirectUri)).search, begun.binding);
}

test('who left the identity provider loses keys, tokens and log-ins; who is there keeps them', async (context) => {
  const staged = await stage(context);
  const { provider, identity } = staged;
  const ann = (await logIn(staged, '17')).principal;
  const bob = (await logIn(staged, '18')).principal;
  const [annToken, bobToken] = [await identity.logins.issueFor(ann), await identity.logins.issueFor(bob)];
  const annKey = await identity.serviceKeys.create({ service: 'etl', groups: [], ttlSeconds: 3600, by: ann });
  const bobKey = await identity.serviceKeys.create({ service: 'report', groups: [], ttlSeconds: 3600, by: bob });

  assert.deepEqual(await identity.logins.checkUsers(), [], 'both are there');
  assert.deepEqual(await identity.logins.checkUsers(), [], 'and with refresh tokens that were replaced');
  assert.deepEqual(identity.revoked, []);

  provider.accounts.delete('17');
  assert.deepEqual(await identity.logins.checkUsers(), [{ name: 'ann', issuer: provider.issuer }]);
  assert.deepEqual(
    new Set(identity.revoked),
    new Set([`user ${provider.issuer} ann`, `credential ${ann.credential.id}`, `credential ${annToken.id}`, `credential ${annKey.key.id}`]),
  );
  await assert.rejects(identity.authenticator.authenticate(annToken.token, 'ann'), { code: 'revoked' });
  await assert.rejects(identity.authenticator.authenticate(annKey.secret, 'etl'), { code: 'revoked' });
  assert.equal((await identity.authenticator.authenticate(bobToken.token, 'bob')).name, 'bob');
  assert.equal((await identity.authenticator.authenticate(bobKey.secret, 'report')).name, 'report');
  assert.deepEqual(await identity.logins.checkUsers(), [], 'once');

  provider.accounts.set('17', { name: 'ann', groups: [] });
  const back = (await logIn(staged, '17')).principal;
  const fresh = await identity.logins.issueFor(back);
  assert.equal((await identity.authenticator.authenticate(fresh.token, 'ann')).name, 'ann', 'whom the provider lets in again is back');
  await assert.rejects(identity.authenticator.authenticate(annToken.token, 'ann'), { code: 'revoked' }, 'without what was open before');
});

test('who lost a group at the provider logs in anew; who got one more, or was in none, goes on', async (context) => {
  const staged = await stage(context);
  const { provider, identity } = staged;
  provider.accounts.set('17', { name: 'ann', groups: ['dba', 'analysts'] });
  const ann = (await logIn(staged, '17')).principal;
  const token = await identity.logins.issueFor(ann);
  const bob = (await logIn(staged, '18')).principal;

  provider.accounts.set('17', { name: 'ann', groups: ['analysts', 'dba', 'oncall'] });
  provider.accounts.set('18', { name: 'bob', groups: ['oncall'] });
  assert.deepEqual(await identity.logins.checkUsers(), []);
  assert.deepEqual(identity.revoked, []);

  provider.accounts.set('17', { name: 'ann', groups: ['analysts'] });
  assert.deepEqual(await identity.logins.checkUsers(), [], 'she is still there');
  assert.deepEqual(identity.revoked, [`credential ${ann.credential.id}`]);
  await assert.rejects(identity.authenticator.authenticate(token.token, 'ann'), { code: 'revoked' });

  const again = (await logIn(staged, '17')).principal;
  assert.deepEqual(again.groups, ['analysts']);
  assert.deepEqual(await identity.logins.checkUsers(), []);
  assert.equal(identity.revoked.length, 1);
  assert.equal((await identity.authenticator.authenticate((await identity.logins.issueFor(bob)).token, 'bob')).name, 'bob');
});

test('who was revoked by a person does not come back by logging in', async (context) => {
  const staged = await stage(context);
  const { provider, identity } = staged;
  await logIn(staged, '17');
  const id = `${provider.issuer} ann`;
  (identity.revoked as string[]).push(`user ${id}`);
  await identity.store.db.insertInto('revocations').values({ kind: 'user', id, revoked_by: 'bob', reason: '', at: 0 }).execute();
  await assert.rejects(logIn(staged, '17'), { code: 'revoked' });
});

test('a provider that does not answer says nothing of its users', async (context) => {
  const staged = await stage(context);
  const { provider, identity } = staged;
  await logIn(staged, '17');
  await provider.close();
  assert.deepEqual(await identity.logins.checkUsers(), []);
  assert.deepEqual(identity.revoked, []);
});

test('of several gateways one asks for a user at a time', async (context) => {
  const staged = await stage(context);
  const { provider, identity } = staged;
  const others = [identity.another('gw-2'), identity.another('gw-3')];
  await logIn(staged, '17');
  const asked = await Promise.all([identity, ...others].map(({ logins }) => logins.checkUsers()));
  assert.deepEqual(asked.flat(), [], 'no refresh token was used twice, for which the provider would end the grant');
  provider.accounts.delete('17');
  await Promise.all([identity, ...others].map(({ logins }) => logins.checkUsers()));
  assert.equal(identity.revoked.filter((what) => what.startsWith('user ')).length, 1);
});

test('providers are asked every few minutes, by one gateway, and what has expired is forgotten', async (context) => {
  context.mock.timers.enable({ apis: ['setInterval'] });
  const staged = await stage(context);
  const { provider, identity } = staged;
  await logIn(staged, '17');
  await identity.logins.begin('corp', { redirectUri, purpose: 'never finished' });
  const refreshes = (): number => provider.requests.filter((path) => path === '/token').length;
  const before = refreshes();
  const left = (): Promise<unknown> => identity.store.db.selectFrom('login_attempts').select('id').where('kind', '=', 'oidc').execute();
  /** Two gateways from their start to their first round; closing waits for it. */
  const round = async (): Promise<void> => {
    const gateways = [identity.another('gw-2'), identity.another('gw-3')];
    identity.now += 5 * 60_000;
    context.mock.timers.tick(5 * 60_000);
    for (const gateway of gateways) await gateway.close();
  };
  await identity.close();
  await round();
  assert.equal(refreshes() - before, 1, 'two gateways ask once');
  provider.accounts.delete('17');
  identity.now += 2 * 3_600_000;
  await round();
  assert.deepEqual(
    identity.revoked.filter((what) => what.startsWith('user ')),
    [`user ${provider.issuer} ann`],
  );
  assert.deepEqual(await left(), [], 'a log-in that was begun hours ago');
});

test('logging out at the provider ends what is open here', async (context) => {
  const received: string[] = [];
  const server = createServer((request, response) => {
    request.on('data', (chunk: Buffer) => received.push(chunk.toString('utf8')));
    request.on('end', () => response.writeHead(200).end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(async () => void server.close());
  const staged = await stage(context, `http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  const { provider, identity } = staged;
  const browser = new TestBrowser();
  const { principal } = await logIn(staged, '17', browser);
  const token = await identity.logins.issueFor(principal);
  await browser.submitForms(`${provider.issuer}/session/end?client_id=${testClient.id}`);
  const logoutToken = new URLSearchParams(received.join('')).get('logout_token') ?? '';
  assert.notEqual(logoutToken, '', 'the provider sends a logout token');

  await identity.logins.backchannelLogout(logoutToken);
  assert.deepEqual(new Set(identity.revoked), new Set([`credential ${principal.credential.id}`, `credential ${token.id}`]));
  await assert.rejects(identity.logins.backchannelLogout(logoutToken), { code: 'logout_replayed' });
  assert.equal((await logIn(staged, '17')).principal.name, 'ann', 'logging out is not leaving');
});

test('a logout token is checked as any token is, and is no other token', async (context) => {
  const { provider, identity } = await stage(context);
  const { logins } = identity;
  const [key] = provider.keys as [JWK];
  const event = { 'http://schemas.openid.net/event/backchannel-logout': {} };
  const sign = async (claims: Record<string, unknown>, typ = 'logout+jwt', audience: string = testClient.id): Promise<string> =>
    new SignJWT({ jti: `j-${Math.random()}`, sub: '17', events: event, ...claims })
      .setProtectedHeader({ alg: 'RS256', kid: 'first', typ })
      .setIssuer((claims['iss'] as string | undefined) ?? provider.issuer)
      .setAudience(audience)
      .setIssuedAt()
      .setExpirationTime('2m')
      .sign(await importJWK(key));
  await logins.backchannelLogout(await sign({}));
  await assert.rejects(logins.backchannelLogout(await sign({ nonce: 'n' })), { code: 'token_malformed' });
  await assert.rejects(logins.backchannelLogout(await sign({ events: undefined })), { code: 'token_malformed' });
  await assert.rejects(logins.backchannelLogout(await sign({ sub: undefined })), { code: 'token_malformed' });
  await assert.rejects(logins.backchannelLogout(await sign({}, 'at+jwt')), { code: 'token_type' });
  await assert.rejects(logins.backchannelLogout(await sign({}, 'logout+jwt', 'another')), { code: 'token_audience' });
  await assert.rejects(logins.backchannelLogout(await sign({ iss: 'https://evil.test' })), { code: 'issuer_unknown' });
  await assert.rejects(logins.backchannelLogout('x'), { code: 'token_malformed' });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { identityConfig, testIdentity } from '../../test/support/identity.ts';
import type { Principal } from '../policy/model.ts';
import { issueToken } from './local-token.ts';

const admin: Principal = {
  kind: 'user',
  name: 'ann',
  issuer: 'https://idp.test',
  subject: '17',
  groups: ['admins'],
  credential: { kind: 'oidc', id: 'login-1', expiresAt: 0 },
  claims: {},
};

test('a key stands for its service until it expires, and is kept nowhere', async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const { authenticator, serviceKeys } = identity;
  const { key, secret } = await serviceKeys.create({ service: 'etl', groups: ['loaders'], ttlSeconds: 3600, by: admin });
  assert.match(secret, /^slk_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/);
  const principal = await authenticator.authenticate(secret, 'etl');
  assert.deepEqual(principal, {
    kind: 'service',
    name: 'etl',
    issuer: 'sluice:service-keys',
    subject: 'etl',
    groups: ['loaders'],
    credential: { kind: 'service-key', id: key.id, issuedAt: key.createdAt, expiresAt: key.expiresAt },
    claims: {},
  });
  assert.equal((await authenticator.authenticateBearer(secret)).name, 'etl');
  const [listed] = await serviceKeys.list();
  assert.deepEqual(listed, { ...key, lastUsedAt: identity.now });
  const [row] = await identity.store.db.selectFrom('service_keys').selectAll().execute();
  const kept = `${JSON.stringify(row)}${Buffer.from(row?.digest ?? []).toString('latin1')}${JSON.stringify(identity.lines)}`;
  assert.ok(!kept.includes(secret.slice(-43)));
  assert.deepEqual(
    identity.lines.map(({ type, event, action, service, by }) => ({ type, event, action, service, by })),
    [{ type: 'config', event: 'service-key', action: 'create', service: 'etl', by: 'ann' }],
  );
  identity.now += 3_600_000;
  await assert.rejects(authenticator.authenticate(secret, 'etl'), { code: 'key_expired' });
});

test('every other key is refused alike', async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const { secret } = await identity.serviceKeys.create({ service: 'etl', groups: [], ttlSeconds: 3600, by: admin });
  const refused = { code: 'key_unknown', publicMessage: 'the credential is not accepted' };
  const last = secret.endsWith('A') ? 'B' : 'A';
  for (const wrong of [
    `${secret.slice(0, -1)}${last}`,
    `slk_0123456789abcdef_${secret.slice(-43)}`,
    secret.slice(0, -1),
    `${secret}A`,
    `${secret}\n`,
    'slk_',
    `slk_${'x'.repeat(100_000)}`,
  ]) {
    await assert.rejects(identity.authenticator.authenticate(wrong, 'etl'), refused);
  }
  await assert.rejects(identity.authenticator.authenticate(secret, 'etl2'), { code: 'token_user_mismatch' });
  assert.equal((await identity.authenticator.authenticate(secret, 'etl')).name, 'etl');
});

test('a rotated key overlaps with the one that takes its place', async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const { authenticator, serviceKeys } = identity;
  const old = await serviceKeys.create({ service: 'etl', groups: ['loaders'], ttlSeconds: 86_400, by: admin });
  await authenticator.authenticate(old.secret, 'etl');
  identity.now += 3_600_000;
  const fresh = await serviceKeys.rotate(old.key.id, 600, admin);
  assert.equal(fresh.key.expiresAt, identity.now + 86_400_000, 'the same lifetime, from now');
  assert.deepEqual((await authenticator.authenticate(fresh.secret, 'etl')).groups, ['loaders']);
  assert.equal((await authenticator.authenticate(old.secret, 'etl')).credential.expiresAt, identity.now + 600_000);
  const listed = await serviceKeys.list();
  assert.equal(listed.find((key) => key.id === old.key.id)?.replacedBy, fresh.key.id);
  assert.deepEqual(listed.map(({ state }) => state).sort(), ['open', 'replaced']);
  identity.now += 600_000;
  await assert.rejects(authenticator.authenticate(old.secret, 'etl'), { code: 'key_expired' });
  assert.equal((await authenticator.authenticate(fresh.secret, 'etl')).name, 'etl');
  await assert.rejects(serviceKeys.rotate(old.key.id, 0, admin), {
    code: 'key_ended',
    hint: `the key ${fresh.key.id} has taken its place`,
  });
  assert.deepEqual(identity.revoked, []);
  await serviceKeys.rotate(fresh.key.id, 0, admin);
  assert.deepEqual(identity.revoked, [`credential ${fresh.key.id}`], 'without an overlap what stands on the old one ends');
  const states = new Map((await serviceKeys.list()).map(({ id, state }) => [id, state]));
  assert.deepEqual([states.get(old.key.id), states.get(fresh.key.id)], ['expired', 'revoked']);
});

test('a revoked key ends at once, on every gateway, with its sessions', async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const other = identity.another('gw-2');
  const { key, secret } = await identity.serviceKeys.create({ service: 'etl', groups: [], ttlSeconds: 3600, by: admin });
  // Both have it in memory now.
  await identity.authenticator.authenticate(secret, 'etl');
  await other.authenticator.authenticate(secret, 'etl');
  const told = new Promise<void>((resolve) => identity.store.listen('service-keys', () => resolve()));
  await identity.serviceKeys.revoke(key.id, admin, 'leaked');
  await told;
  assert.deepEqual(identity.revoked, [`credential ${key.id}`]);
  await assert.rejects(identity.authenticator.authenticate(secret, 'etl'), { code: 'revoked' });
  await assert.rejects(other.authenticator.authenticate(secret, 'etl'), { code: 'revoked' });
  const ended = { code: 'key_ended', publicMessage: `the key ${key.id} was revoked` };
  await assert.rejects(identity.serviceKeys.revoke(key.id, admin, 'again'), ended);
  await assert.rejects(identity.serviceKeys.rotate(key.id, 0, admin), ended);
  await assert.rejects(identity.serviceKeys.rotate('0123', 0, admin), { code: 'key_unknown', phase: 'decide' });
  assert.equal((await identity.serviceKeys.list()).find(({ id }) => id === key.id)?.state, 'revoked');
  const kept = await identity.store.db.selectFrom('revocations').selectAll().execute();
  assert.deepEqual(
    kept.map(({ id, revoked_by, reason }) => ({ id, revoked_by, reason })),
    [{ id: key.id, revoked_by: 'ann', reason: 'leaked' }],
  );
  assert.equal(identity.lines.at(-1)?.['reason'], 'leaked');
});

test('names, groups and lifetimes that cannot be are refused', async (context) => {
  const { serviceKeys } = await testIdentity(context, identityConfig());
  const good = { service: 'etl', groups: ['loaders'], ttlSeconds: 3600, by: admin };
  await assert.rejects(serviceKeys.create({ ...good, service: 'e+tl' }), { code: 'service_name_unusable' });
  await assert.rejects(serviceKeys.create({ ...good, groups: ['payments/read-write'] }), { code: 'service_group_unusable' });
  for (const ttlSeconds of [0, -1, Number.NaN, 400 * 86_400])
    await assert.rejects(serviceKeys.create({ ...good, ttlSeconds }), { code: 'key_lifetime' });
  assert.deepEqual(await serviceKeys.list(), []);
});

test('what is known goes on while the store is away; what is not is refused', async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const { authenticator, serviceKeys } = identity;
  const known = await serviceKeys.create({ service: 'etl', groups: [], ttlSeconds: 3600, by: admin });
  const unknown = await serviceKeys.create({ service: 'report', groups: [], ttlSeconds: 3600, by: admin });
  await authenticator.authenticate(known.secret, 'etl');
  await identity.store.close();
  identity.now += 120_000;
  assert.equal((await authenticator.authenticate(known.secret, 'etl')).name, 'etl');
  await assert.rejects(authenticator.authenticate(unknown.secret, 'report'));
  await assert.rejects(serviceKeys.list());
  const token = issueToken({ user: 'dev1', kind: 'user', groups: [], ttlMs: 3_600_000 }, 'gw-1', identity.privateKey, identity.now);
  assert.equal((await authenticator.authenticate(token, 'dev1')).name, 'dev1');
});

test('a token of the command line does not stand for somebody whom a provider or a key names', async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const other = identity.another('gw-1');
  const token = issueToken({ user: 'etl', kind: 'user', groups: [], ttlMs: 60_000 }, 'gw-1', identity.privateKey, identity.now);
  assert.equal((await other.authenticator.authenticate(token, 'etl')).issuer, 'gw-1');
  const told = new Promise<void>((resolve) => identity.store.listen('logins', () => resolve()));
  await identity.serviceKeys.create({ service: 'etl', groups: [], ttlSeconds: 3600, by: admin });
  await told;
  for (const { authenticator } of [identity, other]) await assert.rejects(authenticator.authenticate(token, 'etl'), { code: 'name_taken' });
});

import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { test } from 'node:test';

import { identityConfig, type TestIdentity, testIdentity } from '../../test/support/identity.ts';
import { GatewayKeys } from './gateway-keys.ts';
import { issueToken, signToken, type TokenRequest } from './local-token.ts';
import { IdentityLines } from './record.ts';

/** Several gateways over one store, each with a key of its own. */

const DAY = 86_400_000;
const keyPair = (): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } => generateKeyPairSync('ed25519');
const person: TokenRequest = {
  user: 'ada',
  kind: 'user',
  groups: ['analysts'],
  ttlMs: 3_600_000,
  origin: { issuer: 'https://idp.example', subject: 's-1', claims: {} },
};

/** One gateway's view of the keys; its beat is the test's to give. */
function keysOf(identity: TestIdentity, gateway: string, process: string, publicKey: KeyObject) {
  const errors: string[] = [];
  const lines: object[] = [];
  const record = { append: (type: string, _: string, members: string) => lines.push({ type, ...(JSON.parse(`{${members}}`) as object) }) };
  const keys = new GatewayKeys({
    store: identity.store,
    gateway,
    process,
    publicKey,
    lines: new IdentityLines(record, (text) => text),
    now: () => identity.now,
    log: { info: () => {}, warn: () => {}, error: (message) => errors.push(message) },
  });
  const knows = (issuer: string, key: KeyObject): boolean => keys.of(issuer).some((known) => known.equals(key));
  return Object.assign(keys, { errors, lines, knows });
}

test('a token that one gateway gave out is taken by the others of the store, as what it is', async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const tokenKey = keyPair();
  const second = identity.another('gw-2', identityConfig(), { tokenKey });
  await identity.start();
  const fromFirst = issueToken(person, 'gw-1', identity.privateKey, identity.now);
  await assert.rejects(second.authenticator.authenticate('x', 'ada'), { code: 'token_malformed' });
  await second.start();
  const principal = await second.authenticator.authenticate(fromFirst, 'ada');
  assert.deepEqual(
    [principal.name, principal.issuer, principal.groups, principal.credential.kind],
    ['ada', 'https://idp.example', ['analysts'], 'issued-token'],
  );
  // The first one learns of the second when a token of it comes.
  const fromSecond = issueToken(person, 'gw-2', tokenKey.privateKey, identity.now);
  assert.equal((await identity.authenticator.authenticate(fromSecond, 'ada')).credential.kind, 'issued-token');
  assert.deepEqual(
    identity.lines.filter((line) => line['event'] === 'token-key').map((line) => [line['type'], line['issuer']]),
    [
      ['config', 'gw-1'],
      ['config', 'gw-2'],
    ],
  );
});

test('taken back by id or by user it is refused everywhere, and so is what was made from it', async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const second = identity.another('gw-2', identityConfig(), { tokenKey: keyPair() });
  await identity.start();
  await second.start();
  const { token, id } = signToken(person, 'gw-1', identity.privateKey, identity.now);
  const made = await second.logins.issueFor(await second.authenticator.authenticate(token, 'ada'));
  await identity.authenticator.authenticate(made.token, 'ada');
  identity.revoked.push(`credential ${id}`);
  for (const gateway of [identity, second]) {
    await assert.rejects(gateway.authenticator.authenticate(token, 'ada'), { code: 'revoked' });
    await assert.rejects(gateway.authenticator.authenticate(made.token, 'ada'), { code: 'revoked' });
  }
  const other = issueToken(person, 'gw-1', identity.privateKey, identity.now);
  await second.authenticator.authenticate(other, 'ada');
  identity.revoked.push('user https://idp.example ada');
  await assert.rejects(second.authenticator.authenticate(other, 'ada'), { code: 'revoked' });
});

test('a key is good for its own issuer alone', async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const second = keyPair();
  const third = keyPair();
  const gateways = [second, third].map((tokenKey, i) => identity.another(`gw-${i + 2}`, identityConfig(), { tokenKey }));
  for (const gateway of [identity, ...gateways]) await gateway.start();
  const [two, three] = gateways;
  const forged = (issuer: string, key: KeyObject): string => issueToken(person, issuer, key, identity.now);
  await three?.authenticator.authenticate(forged('gw-2', second.privateKey), 'ada');
  for (const [gateway, issuer, key] of [
    [three, 'gw-2', third.privateKey],
    [three, 'gw-1', second.privateKey],
    [two, 'gw-2', identity.privateKey],
    [identity, 'gw-1', third.privateKey],
  ] as const)
    await assert.rejects(async () => gateway?.authenticator.authenticate(forged(issuer, key), 'ada'), { code: 'token_signature' });
  await assert.rejects(identity.authenticator.authenticate(forged('gw-9', third.privateKey), 'ada'), { code: 'token_issuer' });
});

test('what was written into the table without the key of the store is not used, and replaced', async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const { store } = identity;
  const [mine, theirs] = [keyPair(), keyPair()];
  const one = keysOf(identity, 'gw-1', 'p-1', mine.publicKey);
  const two = keysOf(identity, 'gw-2', 'p-2', theirs.publicKey);
  await one.beat();
  await two.beat();
  assert.ok(two.knows('gw-1', mine.publicKey));
  const der = theirs.publicKey.export({ type: 'spki', format: 'der' });
  // The key of another issuer, with the digest that goes with it there.
  const { mac } = await store.db.selectFrom('token_keys').select('mac').where('issuer', '=', 'gw-2').executeTakeFirstOrThrow();
  await store.db.updateTable('token_keys').set({ public_key: der, mac }).where('issuer', '=', 'gw-1').execute();
  const added = { issuer: 'root', public_key: der, mac: Buffer.alloc(32), process: 'p', published_at: 0, seen_at: identity.now };
  await store.db.insertInto('token_keys').values(added).execute();
  await two.beat();
  assert.deepEqual([two.of('gw-1'), two.of('root')], [[], []]);
  assert.equal(two.errors.length, 2);
  await one.beat();
  await two.beat();
  assert.ok(two.knows('gw-1', mine.publicKey));
});

test('a gateway that comes back with another key takes the place of its old one', async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const [old, renewed, other] = [keyPair(), keyPair(), keyPair()];
  const two = keysOf(identity, 'gw-2', 'p-2', other.publicKey);
  await keysOf(identity, 'gw-1', 'p-1', old.publicKey).beat();
  await two.beat();
  assert.ok(two.knows('gw-1', old.publicKey));
  const again = keysOf(identity, 'gw-1', 'p-1', renewed.publicKey);
  await again.beat();
  await two.beat();
  assert.deepEqual([two.knows('gw-1', old.publicKey), two.knows('gw-1', renewed.publicKey)], [false, true]);
  assert.equal(again.lines.length, 1);
  await again.beat();
  assert.equal(again.lines.length, 1, 'said once');
});

test('two gateways of one name: the one that is there keeps it until it is gone', async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const [first, second] = [keyPair(), keyPair()];
  const one = keysOf(identity, 'gw-1', 'p-1', first.publicKey);
  const two = keysOf(identity, 'gw-1', 'p-2', second.publicKey);
  await one.beat();
  for (let minute = 0; minute < 5; minute++) {
    await two.beat();
    identity.now += 60_000;
    await one.beat();
  }
  assert.deepEqual([two.knows('gw-1', first.publicKey), one.knows('gw-1', second.publicKey)], [true, false]);
  assert.equal(two.errors.length, 1, 'said once');
  identity.now += 180_000;
  await two.beat();
  assert.ok(two.knows('gw-1', second.publicKey));
  // Two with one key are one issuer.
  const three = keysOf(identity, 'gw-1', 'p-3', second.publicKey);
  await three.beat();
  assert.deepEqual([three.errors.length, three.lines.length], [0, 0]);
});

test('a gateway that was not heard of for a month is forgotten', async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const [gone, there] = [keyPair(), keyPair()];
  await keysOf(identity, 'gw-1', 'p-1', gone.publicKey).beat();
  const two = keysOf(identity, 'gw-2', 'p-2', there.publicKey);
  identity.now += 29 * DAY;
  await two.beat();
  assert.ok(two.knows('gw-1', gone.publicKey));
  identity.now += DAY;
  await two.beat();
  assert.deepEqual(two.of('gw-1'), []);
  assert.deepEqual(await identity.store.db.selectFrom('token_keys').select('issuer').execute(), [{ issuer: 'gw-2' }]);
});

test('for tokens that no key fits the store is asked once in ten seconds', async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const [one, two, three] = [keyPair(), keyPair(), keyPair()];
  const mine = keysOf(identity, 'gw-1', 'p-1', one.publicKey);
  await keysOf(identity, 'gw-2', 'p-2', two.publicKey).beat();
  assert.equal(await mine.look(), true);
  assert.ok(mine.knows('gw-2', two.publicKey));
  await keysOf(identity, 'gw-3', 'p-3', three.publicKey).beat();
  identity.now += 9_999;
  assert.equal(await mine.look(), false);
  assert.deepEqual(mine.of('gw-3'), []);
  identity.now += 1;
  assert.deepEqual(await Promise.all([mine.look(), mine.look()]), [true, true], 'who comes meanwhile waits for the same answer');
  assert.ok(mine.knows('gw-3', three.publicKey));
});

test('while the store is away, keys that are known go on and others are refused', async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const [known, unknown] = [keyPair(), keyPair()];
  await keysOf(identity, 'gw-2', 'p-2', known.publicKey).beat();
  await identity.start();
  const token = (issuer: string, key: KeyObject): string => {
    const { origin: _, ...local } = person;
    return issueToken(local, issuer, key, identity.now);
  };
  await identity.store.close();
  const { authenticator } = identity;
  assert.equal((await authenticator.authenticate(token('gw-2', known.privateKey), 'ada')).issuer, 'gw-2');
  assert.equal((await authenticator.authenticate(token('gw-1', identity.privateKey), 'ada')).issuer, 'gw-1');
  await assert.rejects(authenticator.authenticate(token('gw-3', unknown.privateKey), 'ada'), { code: 'token_issuer' });
});

test("what another gateway makes of a token of the first one's command line does not take the name", async (context) => {
  const identity = await testIdentity(context, identityConfig());
  const second = identity.another('gw-2', identityConfig(), { tokenKey: keyPair() });
  await identity.start();
  await second.start();
  const { origin: _, ...local } = person;
  const token = issueToken(local, 'gw-1', identity.privateKey, identity.now);
  const made = await second.logins.issueFor(await second.authenticator.authenticate(token, 'ada'));
  const principal = await identity.authenticator.authenticate(made.token, 'ada');
  assert.deepEqual([principal.issuer, principal.credential.kind], ['gw-1', 'local-token']);
  await identity.authenticator.authenticate(token, 'ada');
  assert.deepEqual(await identity.store.db.selectFrom('users').selectAll().execute(), []);
});

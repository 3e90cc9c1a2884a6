import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { nameOf } from './claims.ts';
import { issueToken, LocalTokenVerifier, maxTokenBytes } from './local-token.ts';
import { tokenKey } from './signing-key.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const now = Date.UTC(2026, 0, 2, 3, 4, 5);
const request = { user: 'dev1', kind: 'user', groups: ['analysts', 'analysts', 'dba'], ttlMs: 3_600_000 } as const;
const at = (ms: number): LocalTokenVerifier => new LocalTokenVerifier('gw-1', publicKey, () => ms);
const issue = (): string => issueToken(request, 'gw-1', privateKey, now);

/** A token with any header and claims, signed properly by the gateway's key. */
function forge(header: object, claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part(header)}.${part(claims)}`;
  return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`;
}
const header = { alg: 'EdDSA', typ: 'sluice+jwt' };
const iat = now / 1000;
const claims = { iss: 'gw-1', sub: 'dev1', aud: 'sluice', jti: 'j', iat, nbf: iat, exp: iat + 60, kind: 'user', groups: [] };

test('a token carries the principal', () => {
  const principal = at(now + 1000).verify(issue(), 'dev1');
  assert.equal(principal.kind, 'user');
  assert.equal(principal.name, 'dev1');
  assert.equal(principal.issuer, 'gw-1');
  assert.equal(principal.subject, 'dev1');
  assert.deepEqual(principal.groups, ['analysts', 'dba']);
  assert.equal(principal.credential.expiresAt, now + 3_600_000);
  assert.match(principal.credential.id, /^[0-9a-f-]{36}$/);
});

test('nobody has the name under which the identity provider acts', () => {
  for (const user of ['identity-provider', 'Identity-Provider']) {
    assert.throws(() => issueToken({ ...request, user }, 'gw-1', privateKey, now), RangeError);
    assert.throws(() => at(now).verify(forge(header, { ...claims, sub: user }), user), { code: 'token_malformed' });
    assert.throws(() => nameOf(user, 'sub'), { code: 'name_unusable' });
  }
  assert.equal(nameOf('identity-provider-2', 'sub'), 'identity-provider-2');
});

test('the claims that the forgeries below vary are themselves good', () => {
  assert.equal(at(now).verify(forge(header, claims), 'dev1').name, 'dev1');
  assert.equal(at(now).verify(forge(header, { ...claims, kind: 'service' }), 'dev1').kind, 'service');
});

test('a token lives from nbf until just before exp', () => {
  const token = issue();
  assert.equal(at(now + 3_599_999).verify(token, 'dev1').name, 'dev1');
  assert.throws(() => at(now + 3_600_000).verify(token, 'dev1'), { code: 'token_expired' });
  assert.throws(() => at(now - 61_000).verify(token, 'dev1'), { code: 'token_not_yet_valid' });
  assert.throws(() => at(now).verify(forge(header, { ...claims, nbf: iat + 120, exp: iat + 600 }), 'dev1'), {
    code: 'token_not_yet_valid',
  });
});

test("a token is its own user's", () => {
  assert.throws(() => at(now).verify(issue(), 'dev2'), { code: 'token_user_mismatch' });
  assert.throws(() => at(now).verify(issue(), 'Dev1'), { code: 'token_user_mismatch' });
  assert.throws(() => at(now).verify(issue(), ''), { code: 'token_user_mismatch' });
});

test('no byte of a token can be changed', () => {
  const token = issue();
  const verifier = at(now);
  for (let i = 0; i < token.length; i++) {
    const other = token[i] === 'A' ? 'B' : 'A';
    assert.throws(() => verifier.verify(`${token.slice(0, i)}${other}${token.slice(i + 1)}`, 'dev1'), { name: 'GatewayError' }, `at ${i}`);
  }
  for (const varied of [`${token}=`, `${token}A`, ` ${token}`, `${token}\n`, token.slice(0, -1), token.replace('.', '..'), `${token}.`]) {
    assert.throws(() => verifier.verify(varied, 'dev1'), { name: 'GatewayError' });
  }
});

test('another key is another gateway', () => {
  const other = generateKeyPairSync('ed25519');
  assert.throws(() => at(now).verify(issueToken(request, 'gw-1', other.privateKey, now), 'dev1'), { code: 'token_signature' });
});

test('issuer and audience must be ours', () => {
  assert.throws(() => at(now).verify(forge(header, { ...claims, iss: 'gw-2' }), 'dev1'), { code: 'token_issuer' });
  assert.throws(() => at(now).verify(forge(header, { ...claims, aud: 'other' }), 'dev1'), { code: 'token_audience' });
});

test('the header chooses nothing', () => {
  const [, payload] = issue().split('.');
  const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'sluice+jwt' })).toString('base64url');
  assert.throws(() => at(now).verify(`${none}.${payload}.`, 'dev1'), { code: 'token_malformed' });
  // The classic confusion: the public key, which anyone may know, as the secret of a MAC.
  const hs = Buffer.from(JSON.stringify({ alg: 'HS256', typ: 'sluice+jwt' })).toString('base64url');
  const mac = createHmac('sha256', publicKey.export({ type: 'spki', format: 'pem' }))
    .update(`${hs}.${payload}`)
    .digest('base64url');
  assert.throws(() => at(now).verify(`${hs}.${payload}.${mac}`, 'dev1'), { code: 'token_malformed' });
  for (const wrong of [{ ...header, typ: 'JWT' }, { alg: 'EdDSA' }, { ...header, crit: ['x'] }, { ...header, jwk: {} }]) {
    assert.throws(() => at(now).verify(forge(wrong, claims), 'dev1'), { code: 'token_malformed' });
  }
});

test('a signed token with missing or odd claims is refused', () => {
  for (const [name, value] of [
    ['exp', undefined],
    ['exp', '9'],
    ['exp', 1e300],
    ['iat', null],
    ['nbf', -1],
    ['kind', 'root'],
    ['groups', 'dba'],
    ['groups', [1]],
    ['jti', ''],
    ['sub', 'a+b'],
    ['sub', 7],
  ] as const) {
    assert.throws(() => at(now).verify(forge(header, { ...claims, [name]: value }), 'dev1'), { code: 'token_malformed' }, name);
  }
  const signed = `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${Buffer.from('null').toString('base64url')}`;
  assert.throws(() => at(now).verify(`${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`, 'dev1'), {
    code: 'token_malformed',
  });
});

test('what is no token is refused quickly, whatever its size', () => {
  for (const text of ['', 'secret', '..', 'a.b', 'a.b.c.d', '.'.repeat(maxTokenBytes)]) {
    assert.throws(() => at(now).verify(text, 'dev1'), { code: 'token_malformed' });
  }
  assert.throws(() => at(now).verify(forge(header, { ...claims, groups: ['x'.repeat(maxTokenBytes)] }), 'dev1'), {
    code: 'token_malformed',
    publicMessage: 'the token is too long',
  });
});

test('only sound tokens are issued', () => {
  for (const change of [
    { user: '' },
    { user: 'a+b' },
    { user: 'a b' },
    { groups: ['a\nb'] },
    { ttlMs: 0 },
    { ttlMs: 400 * 86_400_000 },
    { ttlMs: Number.NaN },
    { groups: Array.from({ length: 900 }, (_, i) => `group-${i}`) },
  ]) {
    assert.throws(() => issueToken({ ...request, ...change }, 'gw-1', privateKey, now), RangeError, JSON.stringify(change).slice(0, 40));
  }
});

test('the key is made once, for its owner alone', () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-key-'));
  try {
    const first = tokenKey(dir);
    const second = tokenKey(dir);
    assert.ok(first.publicKey.equals(second.publicKey));
    const path = join(dir, 'keys', 'token.key');
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(join(dir, 'keys')), ['token.key']);
    const token = issueToken(request, 'gw-1', first.privateKey, now);
    assert.equal(new LocalTokenVerifier('gw-1', second.publicKey, () => now).verify(token, 'dev1').name, 'dev1');
    chmodSync(path, 0o644);
    assert.throws(() => tokenKey(dir), { code: 'token_key_unusable' });
    chmodSync(path, 0o600);
    writeFileSync(path, 'not a key');
    assert.throws(() => tokenKey(dir), { code: 'token_key_unusable' });
  } finally {
    rmSync(dir, { recursive: true });
  }
});

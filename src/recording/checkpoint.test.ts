import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CheckpointSigner, openCheckpoint, openSigner, parseVerifierKeys } from './checkpoint.ts';
import { TempDir } from './testing.ts';

const ROOT = 'ab'.repeat(32);

/** The key of RFC 8032, section 7.1, test 1: its public key and any signature by it are known beforehand. */
const RFC_8032 = createPrivateKey({
  key: Buffer.concat([
    Buffer.from('302e020100300506032b657004220420', 'hex'),
    Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex'),
  ]),
  format: 'der',
  type: 'pkcs8',
});

test('a checkpoint has the form of C2SP tlog-checkpoint, and its key the form of C2SP signed-note', () => {
  const signer = new CheckpointSigner('gw-1/record', RFC_8032);
  const note = signer.sign(42, ROOT);
  const [origin, size, root, empty, signature, end] = note.split('\n');
  assert.deepEqual([origin, size, root, empty, end], ['gw-1/record', '42', Buffer.from(ROOT, 'hex').toString('base64'), '', '']);
  assert.match(signature as string, /^\u2014 gw-1\/record [A-Za-z0-9+/]{91}=$/);
  const key = signer.verifierKey();
  assert.match(key, /^gw-1\/record\+[0-9a-f]{8}\+/);
  const data = Buffer.from(key.split('+').slice(2).join('+'), 'base64');
  assert.equal(data.toString('hex'), '01d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
  assert.deepEqual(openCheckpoint(note, parseVerifierKeys(key)), { origin: 'gw-1/record', size: 42, root: ROOT });
});

test('a checkpoint that was touched, or is signed by another key, does not open', () => {
  const signer = new CheckpointSigner('gw-1/record', RFC_8032);
  const keys = parseVerifierKeys(signer.verifierKey());
  const note = signer.sign(42, ROOT);
  const other = new CheckpointSigner('gw-1/record', generateKeyPairSync('ed25519').privateKey);
  const named = new CheckpointSigner('gw-2/record', RFC_8032);
  for (const bad of [
    note.replace('\n42\n', '\n43\n'),
    note.replace('\n42\n', '\n042\n'),
    note.replace('\n\n', '\n'),
    note.slice(0, -1),
    `${note}\n`,
    note.replace(/\u2014.*\n/, ''),
    other.sign(42, ROOT),
    named.sign(42, ROOT),
    '',
  ]) {
    assert.equal(typeof openCheckpoint(bad, keys), 'string', JSON.stringify(bad));
  }
  // A further signature, by a witness, does not disturb ours.
  const witness = new CheckpointSigner('witness', generateKeyPairSync('ed25519').privateKey).sign(42, ROOT).split('\n')[4];
  assert.equal(typeof openCheckpoint(`${note}${witness}\n`, keys), 'object');
});

test('a verifier key whose hash, name or kind is wrong is refused', () => {
  const key = new CheckpointSigner('gw-1/record', RFC_8032).verifierKey();
  for (const bad of [key.replace('gw-1', 'gw-2'), key.slice(0, -8), 'x', key.replace(/\+[0-9a-f]{8}\+/, '+00000000+')]) {
    assert.throws(() => parseVerifierKeys(bad), bad);
  }
});

test('the key is made once, for its owner only, and each chain has its line', () => {
  const dir = new TempDir();
  const first = openSigner(dir.path, 'gw-1/record');
  assert.equal(openSigner(dir.path, 'gw-1/record').verifierKey(), first.verifierKey());
  const second = openSigner(dir.path, 'gw-2/record');
  assert.equal(statSync(join(dir.path, 'keys/record.key')).mode & 0o777, 0o600);
  assert.equal(readFileSync(join(dir.path, 'keys/record.pub'), 'utf8'), `${first.verifierKey()}\n${second.verifierKey()}\n`);
  dir.remove();
});

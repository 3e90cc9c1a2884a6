import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { createKey, keyFile, readKey } from './key.ts';

const unusable = { code: 'store_key_unusable' };
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-key-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test('a key is made once, for its owner alone', () => {
  assert.equal(readKey(dir, {}), null);
  const key = createKey(dir);
  assert.equal(key.length, 32);
  assert.deepEqual(createKey(dir), key, 'who comes second takes what is there');
  assert.deepEqual(readKey(dir, {}), key);
  assert.equal(statSync(keyFile(dir)).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(join(dir, 'keys')), ['store.key']);
});

test('a key that others can read is refused', () => {
  createKey(dir);
  chmodSync(keyFile(dir), 0o640);
  assert.throws(() => readKey(dir, {}), unusable);
});

test('the variable comes before the file, and may refer to another one', () => {
  createKey(dir);
  const key = Buffer.alloc(32, 9);
  assert.deepEqual(readKey(dir, { SLUICE_STORE_KEY: key.toString('base64') }), key);
  const file = join(dir, 'mounted');
  writeFileSync(file, `${key.toString('base64')}\n`, { mode: 0o600 });
  assert.deepEqual(readKey(dir, { SLUICE_STORE_KEY: `file:${file}` }), key);
});

test('what is not 32 bytes of base64 is no key, and is not quoted', () => {
  for (const text of ['secret', 'c2hvcnQ=', `${Buffer.alloc(32).toString('base64')}!`, Buffer.alloc(33).toString('base64')]) {
    assert.throws(
      () => readKey(dir, { SLUICE_STORE_KEY: text }),
      (error: Error) => {
        assert.equal((error as Error & { code: string }).code, 'store_key_unusable');
        assert.ok(!error.message.includes(text));
        return true;
      },
    );
  }
});

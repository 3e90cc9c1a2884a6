import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { secret } from './secrets.ts';
import { formatDuration, formatSize, nearest, parseAddress, parseDuration, parseSize } from './values.ts';

test('sizes', () => {
  for (const [text, bytes] of [
    ['0', 0],
    ['8MB', 8_388_608],
    ['64 kB', 65_536],
    ['1gb', 2 ** 30],
    ['12b', 12],
    ['8M', null],
    ['-1', null],
    ['1.5MB', null],
    ['', null],
    ['9999999GB', null],
  ] as const) {
    assert.equal(parseSize(text), bytes, text);
  }
});

test('durations', () => {
  for (const [text, ms] of [
    ['8h', 28_800_000],
    ['90s', 90_000],
    ['15m', 900_000],
    ['1d', 86_400_000],
    ['0s', null],
    ['8', null],
    ['h', null],
    ['1w', null],
  ] as const) {
    assert.equal(parseDuration(text), ms, text);
  }
});

test('durations are written as they can be read', () => {
  for (const text of ['90s', '90m', '12h', '366d', '1s']) assert.equal(formatDuration((parseDuration(text) ?? 0) / 1000), text);
});

test('sizes are written as they can be read', () => {
  for (const text of ['0', '64KB', '8MB', '4GB', '1073741823']) assert.equal(formatSize(parseSize(text) ?? -1), text);
});

test('addresses', () => {
  assert.deepEqual(parseAddress('db.example:5000'), { host: 'db.example', port: 5000 });
  assert.deepEqual(parseAddress('[::1]:22'), { host: '::1', port: 22 });
  assert.deepEqual(parseAddress('db', 7), { host: 'db', port: 7 });
  for (const text of ['db', 'db:', ':22', 'db:65536', '::1:22', 'a b:1', 'db:1x', 'h/p:1']) assert.equal(parseAddress(text), null, text);
});

test('the nearest word, and none when nothing is near', () => {
  assert.equal(nearest('verfy-full', ['disable', 'verify-full']), 'verify-full');
  assert.equal(nearest('Datadir', ['name', 'data_dir']), 'data_dir');
  assert.equal(nearest('zzzzz', ['name', 'data_dir']), null);
  assert.equal(nearest('tsl', ['ca', 'tls']), 'tls', 'two letters swapped are one slip');
  assert.equal(nearest('on', ['none', 'full']), null);
  assert.equal(nearest('host', ['name', 'port', 'cost']), 'cost');
  assert.equal(nearest('host', ['name', 'ports']), null);
});

test('a secret comes from the environment, a file or stands for itself', () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-secret-'));
  const source = { env: { A: 'from-env', EMPTY: '' }, dir };
  try {
    writeFileSync(join(dir, 's'), 'from file \r\n');
    writeFileSync(join(dir, 'empty'), '\n');
    assert.equal(secret('env:A', source), 'from-env');
    assert.equal(secret('file:s', source), 'from file ');
    assert.equal(secret('plain', source), 'plain');
    for (const reference of ['env:B', 'env:EMPTY', 'file:none', 'file:empty']) {
      assert.throws(() => secret(reference, source), { code: 'secret_missing' }, reference);
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});

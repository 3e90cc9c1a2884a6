import { randomBytes } from 'node:crypto';
import { chmodSync, closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isReference, secret } from '../config/secrets.ts';
import type { GatewayError } from '../errors.ts';
import { storeInvalid } from './errors.ts';

const KEY_BYTES = 32;
/** The variable that holds the key, or a reference to it (`file:PATH`), where several gateways share a store. */
export const KEY_VARIABLE = 'SLUICE_STORE_KEY';

export function keyFile(dataDir: string): string {
  return join(dataDir, 'keys', 'store.key');
}

/** The key of the store from the environment or its file; null when there is neither. Throws GatewayError `store_key_unusable`. */
export function readKey(dataDir: string, env: Readonly<Record<string, string | undefined>>): Buffer | null {
  const value = env[KEY_VARIABLE];
  if (value !== undefined && value !== '') {
    const text = isReference(value) ? secret(value, { env, dir: process.cwd() }) : value;
    return decode(text, `the value of ${KEY_VARIABLE}`);
  }
  const path = keyFile(dataDir);
  try {
    // Whoever can read the key can open what is sealed with it.
    if ((statSync(path).mode & 0o077) !== 0) throw unusable(`${path} can be read by others`, 'make it mode 0600');
    return decode(readFileSync(path, 'utf8').trim(), path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Makes the key's file. Two processes may do so at once: both end up with the one that came first. */
export function createKey(dataDir: string): Buffer {
  const path = keyFile(dataDir);
  const draft = `${path}.${process.pid}.${randomBytes(6).toString('hex')}`;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  chmodSync(dirname(path), 0o700);
  const file = openSync(draft, 'wx', 0o600);
  try {
    writeSync(file, `${randomBytes(KEY_BYTES).toString('base64')}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  try {
    // link, unlike rename, does not replace what is there already.
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    unlinkSync(draft);
  }
  const key = readKey(dataDir, {});
  if (key === null) throw unusable(`${path} cannot be read back`, 'look at the file system');
  return key;
}

function decode(text: string, where: string): Buffer {
  const key = Buffer.from(text, 'base64');
  if (key.length !== KEY_BYTES || !/^[A-Za-z0-9+/_-]+={0,2}$/.test(text))
    throw unusable(`${where} is not a key of the store`, 'write 32 random bytes as base64, e.g. from: openssl rand -base64 32');
  return key;
}

function unusable(message: string, hint: string): GatewayError {
  return storeInvalid('store_key_unusable', message, hint);
}

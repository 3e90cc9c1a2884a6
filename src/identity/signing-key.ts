import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { chmodSync, closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { GatewayError } from '../errors.ts';

export interface SigningKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/**
 * The Ed25519 key that signs local tokens, made on first use. Two processes may start at once: the file appears complete or
 * not at all, and both end up with the one that came first. Throws GatewayError `token_key_unusable`.
 */
export function tokenKey(dataDir: string): SigningKey {
  const path = join(dataDir, 'keys', 'token.key');
  const pem = read(path) ?? create(path);
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(pem);
  } catch (cause) {
    throw unusable(`${path} is not a private key`, cause);
  }
  if (privateKey.asymmetricKeyType !== 'ed25519') throw unusable(`${path} is not an Ed25519 key`);
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

function read(path: string): Buffer | null {
  let pem: Buffer;
  try {
    const { mode } = statSync(path);
    // Whoever can read the key can be anybody.
    if ((mode & 0o077) !== 0) throw unusable(`${path} can be read by others; make it mode 0600`);
    pem = readFileSync(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    if (cause instanceof GatewayError) throw cause;
    throw unusable(`${path} cannot be read`, cause);
  }
  return pem;
}

function create(path: string): Buffer {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const draft = `${path}.${process.pid}.${randomBytes(6).toString('hex')}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    chmodSync(dirname(path), 0o700);
    const fd = openSync(draft, 'wx', 0o600);
    try {
      writeSync(fd, pem);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    try {
      // link, unlike rename, does not replace the key of a process that was faster.
      linkSync(draft, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      unlinkSync(draft);
    }
  } catch (cause) {
    throw unusable(`${path} cannot be created`, cause);
  }
  const stored = read(path);
  if (stored === null) throw unusable(`${path} cannot be read back`);
  return stored;
}

function unusable(publicMessage: string, cause?: unknown): GatewayError {
  return new GatewayError({
    code: 'token_key_unusable',
    source: 'gateway',
    phase: 'config',
    publicMessage,
    ...(cause === undefined ? {} : { cause }),
  });
}

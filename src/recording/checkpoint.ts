/**
 * Checkpoints in the form of C2SP tlog-checkpoint: a signed note whose text is origin, tree size and tree root. The key's
 * name is the origin, so one Ed25519 key of a data directory has one verifier line per chain in `record.pub`.
 */

import type { KeyObject } from 'node:crypto';
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { existsSync, linkSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makePrivateDirectory, syncDirectory } from './files.ts';

/** Signature type byte of Ed25519 in C2SP signed-note. */
const ED25519 = 1;
/** What DER puts before the 32 bytes of an Ed25519 public key (RFC 8410). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/** A public key under a name: `<name>+<key id, 8 hex>+<base64 of 0x01 and the key>`. */
export interface VerifierKey {
  readonly name: string;
  readonly id: Buffer;
  readonly key: KeyObject;
}

export interface CheckpointText {
  readonly origin: string;
  readonly size: number;
  /** Hex. */
  readonly root: string;
}

/** Signs the checkpoints of one chain. */
export class CheckpointSigner {
  readonly origin: string;
  readonly #key: KeyObject;
  readonly #id: Buffer;

  constructor(origin: string, key: KeyObject) {
    this.origin = origin;
    this.#key = key;
    this.#id = keyId(origin, rawPublicKey(key));
  }

  /** The signed note: text, empty line, signature line. */
  sign(size: number, rootHex: string): string {
    const text = `${this.origin}\n${size}\n${Buffer.from(rootHex, 'hex').toString('base64')}\n`;
    const signature = Buffer.concat([this.#id, sign(null, Buffer.from(text), this.#key)]);
    return `${text}\n\u2014 ${this.origin} ${signature.toString('base64')}\n`;
  }

  verifierKey(): string {
    return formatVerifierKey(this.origin, rawPublicKey(this.#key));
  }
}

/** Opens `<data_dir>/keys/record.key`, making it on the first start, and adds the chain's line to `record.pub`. */
export function openSigner(dataDir: string, origin: string): CheckpointSigner {
  const directory = join(dataDir, 'keys');
  const path = join(directory, 'record.key');
  makePrivateDirectory(directory);
  if (!existsSync(path)) {
    const fresh = `${path}.${randomBytes(6).toString('hex')}`;
    const { privateKey } = generateKeyPairSync('ed25519');
    writeFileSync(fresh, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flush: true });
    try {
      // Two first starts at once: the first link wins, and both read that file.
      linkSync(fresh, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      unlinkSync(fresh);
    }
  }
  const signer = new CheckpointSigner(origin, createPrivateKey(readFileSync(path)));
  const published = join(directory, 'record.pub');
  const line = signer.verifierKey();
  if (!existsSync(published) || !readFileSync(published, 'utf8').split('\n').includes(line)) {
    writeFileSync(published, `${line}\n`, { mode: 0o644, flag: 'a', flush: true });
    syncDirectory(directory);
  }
  return signer;
}

/** Reads verifier keys, one a line. Throws on a line that is none. */
export function parseVerifierKeys(text: string): VerifierKey[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map(parseVerifierKey);
}

function parseVerifierKey(line: string): VerifierKey {
  const match = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(line.trim());
  const [, name, id, data] = match ?? [];
  const raw = Buffer.from(data ?? '', 'base64');
  if (name === undefined || id === undefined || raw.length !== 33 || raw[0] !== ED25519) {
    throw new Error(`not an Ed25519 verifier key of the form name+hash+key: ${line.slice(0, 80)}`);
  }
  const publicKey = raw.subarray(1);
  const expected = keyId(name, publicKey);
  if (expected.toString('hex') !== id) throw new Error(`verifier key of ${name}: the hash does not match name and key`);
  return { name, id: expected, key: createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' }) };
}

/** Checks a note against the key of its origin. Returns its text, or the reason why it does not hold. */
export function openCheckpoint(note: string, keys: readonly VerifierKey[]): CheckpointText | string {
  const match = /^(([^\n]+)\n(0|[1-9]\d*)\n([A-Za-z0-9+/=]{44})\n)\n((?:\u2014 \S+ \S+\n)+)$/.exec(note);
  if (match === null) return 'the checkpoint is not a signed note';
  const [, text = '', origin = '', size = '', root = '', signatures = ''] = match;
  const key = keys.find((candidate) => candidate.name === origin);
  if (key === undefined) return `no key is known for origin ${origin}`;
  for (const line of signatures.trimEnd().split('\n')) {
    const [, name, data = ''] = line.split(' ');
    const bytes = Buffer.from(data, 'base64');
    if (name !== origin || bytes.length !== 68 || !bytes.subarray(0, 4).equals(key.id)) continue;
    if (verify(null, Buffer.from(text), key.key, bytes.subarray(4))) {
      return { origin, size: Number(size), root: Buffer.from(root, 'base64').toString('hex') };
    }
    return 'the signature does not match the checkpoint';
  }
  return `no signature by the key of ${origin}`;
}

function rawPublicKey(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: 'spki', format: 'der' }).subarray(SPKI_PREFIX.length);
}

function formatVerifierKey(name: string, publicKey: Buffer): string {
  const data = Buffer.concat([Buffer.of(ED25519), publicKey]).toString('base64');
  return `${name}+${keyId(name, publicKey).toString('hex')}+${data}`;
}

function keyId(name: string, publicKey: Buffer): Buffer {
  return createHash('sha256').update(`${name}\n`).update(Buffer.of(ED25519)).update(publicKey).digest().subarray(0, 4);
}

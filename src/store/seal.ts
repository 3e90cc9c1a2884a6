import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { GatewayError } from '../errors.ts';

const VERSION = 1;
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** What the store may keep of secrets: sealed, to be had back, or a keyed digest, to be compared. One key each, both from the store's key. */
export class Seal {
  readonly #sealing: Buffer;
  readonly #digesting: Buffer;

  constructor(key: Uint8Array) {
    this.#sealing = derive(key, 'sluice store seal v1');
    this.#digesting = derive(key, 'sluice store digest v1');
  }

  /** Version, nonce, tag, ciphertext (AES-256-GCM). `context` is authenticated: what was sealed for one place opens in no other. */
  seal(secret: Uint8Array, context: string): Buffer {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#sealing, iv);
    cipher.setAAD(Buffer.from(context, 'utf8'));
    const sealed = Buffer.concat([cipher.update(secret), cipher.final()]);
    return Buffer.concat([Buffer.of(VERSION), iv, cipher.getAuthTag(), sealed]);
  }

  /** Throws GatewayError `seal_broken` when it was sealed with another key or for another context, or was changed. */
  open(sealed: Uint8Array, context: string): Buffer {
    const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
    try {
      if (bytes.length < 1 + IV_BYTES + TAG_BYTES || bytes[0] !== VERSION) throw new Error('not a sealed value');
      const decipher = createDecipheriv('aes-256-gcm', this.#sealing, bytes.subarray(1, 1 + IV_BYTES), { authTagLength: TAG_BYTES });
      decipher.setAAD(Buffer.from(context, 'utf8'));
      decipher.setAuthTag(bytes.subarray(1 + IV_BYTES, 1 + IV_BYTES + TAG_BYTES));
      return Buffer.concat([decipher.update(bytes.subarray(1 + IV_BYTES + TAG_BYTES)), decipher.final()]);
    } catch (cause) {
      throw new GatewayError({
        code: 'seal_broken',
        source: 'gateway',
        phase: 'decide',
        publicMessage: 'a sealed value of the store cannot be opened',
        hint: 'it was sealed with another key, or changed',
        cause,
      });
    }
  }

  /** Each part is preceded by its length, so that no two lists of parts are one text. */
  digest(parts: readonly Uint8Array[], context: string): Buffer {
    const hmac = createHmac('sha256', this.#digesting);
    const length = Buffer.alloc(8);
    for (const part of [Buffer.from(context, 'utf8'), ...parts]) {
      length.writeBigUInt64BE(BigInt(part.byteLength));
      hmac.update(length).update(part);
    }
    return hmac.digest();
  }
}

function derive(key: Uint8Array, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, '', purpose, 32));
}

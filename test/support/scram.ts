import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

/** The client's side of SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677), for direct logins to a server. */
export class ScramClient {
  private readonly password: string;
  private readonly nonce = randomBytes(18).toString('base64');
  private serverSignature = '';

  constructor(password: string) {
    this.password = password;
  }

  /** client-first-message. PostgreSQL takes the user from the startup packet and ignores `n`. */
  first(): string {
    return `n,,${this.firstBare()}`;
  }

  /** client-final-message for the server's first. */
  final(serverFirst: string): string {
    const { r: nonce = '', s: salt = '', i: iterations = '' } = attributes(serverFirst);
    if (!nonce.startsWith(this.nonce)) throw new Error('SCRAM: the server answered with a nonce that is not ours');
    const salted = pbkdf2Sync(this.password.normalize('NFKC'), Buffer.from(salt, 'base64'), Number(iterations), 32, 'sha256');
    const clientKey = hmac(salted, 'Client Key');
    const withoutProof = `c=${Buffer.from('n,,').toString('base64')},r=${nonce}`;
    const message = `${this.firstBare()},${serverFirst},${withoutProof}`;
    const signature = hmac(createHash('sha256').update(clientKey).digest(), message);
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (signature[index] ?? 0)));
    this.serverSignature = hmac(hmac(salted, 'Server Key'), message).toString('base64');
    return `${withoutProof},p=${proof.toString('base64')}`;
  }

  /** Throws when the server does not know the password either. */
  verify(serverFinal: string): void {
    if (attributes(serverFinal)['v'] !== this.serverSignature)
      throw new Error('SCRAM: the server could not prove that it knows the password');
  }

  private firstBare(): string {
    return `n=,r=${this.nonce}`;
  }
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function attributes(message: string): Record<string, string> {
  return Object.fromEntries(message.split(',').map((part) => [part.charAt(0), part.slice(2)]));
}

import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual, type X509Certificate } from 'node:crypto';
import { promisify } from 'node:util';
import { GatewayError } from '../../errors.ts';

const deriveKey = promisify(pbkdf2);

/** More iterations than this is a server that wants to keep us busy. */
const MAX_ITERATIONS = 1_000_000;

const refuse = (message: string): GatewayError =>
  new GatewayError({ code: 'upstream_auth_failed', source: 'upstream', phase: 'connect', publicMessage: message });

/** Signature algorithms (DER of their object identifiers, hex) by hash: sha384WithRSAEncryption, ecdsa-with-SHA384; sha512 likewise. */
const SHA384 = new Set(['2a864886f70d01010c', '2a8648ce3d040303']);
const SHA512 = new Set(['2a864886f70d01010d', '2a8648ce3d040304']);

/** RFC 5280: Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OID ... }, ... }. */
function signatureOid(der: Uint8Array): string {
  const header = (at: number): { body: number; end: number } => {
    const first = der[at + 1] ?? 0;
    if (first < 0x80) return { body: at + 2, end: at + 2 + first };
    let length = 0;
    for (let i = 0; i < (first & 0x7f); i++) length = length * 256 + (der[at + 2 + i] ?? 0);
    const body = at + 2 + (first & 0x7f);
    return { body, end: body + length };
  };
  const tbs = header(header(0).body);
  const oid = header(header(tbs.end).body);
  return Buffer.from(der.subarray(oid.body, oid.end)).toString('hex');
}

/** RFC 5929 section 4.1: the hash of the server certificate, by its signature's own hash, MD5 and SHA-1 raised to SHA-256. */
export function tlsServerEndPoint(certificate: X509Certificate): Buffer {
  const algorithm = signatureOid(certificate.raw);
  const hash = SHA512.has(algorithm) ? 'sha512' : SHA384.has(algorithm) ? 'sha384' : 'sha256';
  return createHash(hash).update(certificate.raw).digest();
}

const hmac = (key: Uint8Array, text: string | Uint8Array): Buffer => createHmac('sha256', key).update(text).digest();

/** The client's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677). */
export class ScramClient {
  readonly mechanism: 'SCRAM-SHA-256' | 'SCRAM-SHA-256-PLUS';
  readonly #nonce: string;
  readonly #header: string;
  readonly #binding: Uint8Array;
  #serverSignature: Buffer | null = null;

  /**
   * @param offered the mechanisms that the server offers.
   * @param endPoint tls-server-end-point data when the connection is TLS, else null.
   */
  constructor(offered: readonly string[], endPoint: Uint8Array | null, nonce: string = randomBytes(18).toString('base64')) {
    this.#nonce = nonce;
    if (endPoint !== null && offered.includes('SCRAM-SHA-256-PLUS')) {
      this.mechanism = 'SCRAM-SHA-256-PLUS';
      this.#header = 'p=tls-server-end-point,,';
      this.#binding = endPoint;
    } else if (offered.includes('SCRAM-SHA-256')) {
      this.mechanism = 'SCRAM-SHA-256';
      // "y": we could bind and believe that the server cannot; a server that can then knows that somebody stripped the offer.
      this.#header = endPoint === null ? 'n,,' : 'y,,';
      this.#binding = new Uint8Array(0);
    } else {
      throw refuse('the target offers no SASL mechanism that the gateway knows');
    }
  }

  clientFirst(): string {
    return `${this.#header}n=,r=${this.#nonce}`;
  }

  /** Answers the server's first message. The password is used as it is when it is ASCII, else normalised (NFKC, as SASLprep does). */
  async clientFinal(serverFirst: string, password: string): Promise<string> {
    const fields = new Map(serverFirst.split(',').map((part) => [part.slice(0, 1), part.slice(2)]));
    const nonce = fields.get('r') ?? '';
    const salt = Buffer.from(fields.get('s') ?? '', 'base64');
    const iterations = Number(fields.get('i'));
    if (!nonce.startsWith(this.#nonce) || nonce.length <= this.#nonce.length || salt.length === 0)
      throw refuse('the target broke the SCRAM exchange');
    if (!Number.isInteger(iterations) || iterations < 1 || iterations > MAX_ITERATIONS)
      throw refuse('the target asks for an unreasonable SCRAM iteration count');
    const salted = await deriveKey(password.normalize('NFKC'), salt, iterations, 32, 'sha256');
    const clientKey = hmac(salted, 'Client Key');
    const storedKey = createHash('sha256').update(clientKey).digest();
    const channel = Buffer.concat([Buffer.from(this.#header), this.#binding]).toString('base64');
    const withoutProof = `c=${channel},r=${nonce}`;
    const authMessage = `n=,r=${this.#nonce},${serverFirst},${withoutProof}`;
    const signature = hmac(storedKey, authMessage);
    const proof = Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] ?? 0)));
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), authMessage);
    return `${withoutProof},p=${proof.toString('base64')}`;
  }

  /** Checks that the server knows the password too. */
  verify(serverFinal: string): void {
    const given = Buffer.from(/^v=([^,]+)/.exec(serverFinal)?.[1] ?? '', 'base64');
    if (this.#serverSignature === null || given.length !== this.#serverSignature.length || !timingSafeEqual(given, this.#serverSignature)) {
      throw refuse('the target did not prove that it knows the password');
    }
  }
}

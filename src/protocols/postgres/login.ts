import { isIP, type Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import { GatewayError } from '../../errors.ts';
import { ByteReader } from '../../io/byte-reader.ts';
import { authenticationCleartextPassword, Front, int32, message } from './messages.ts';
import { PROTOCOL_3_0, PROTOCOL_3_2, parseStartup, type StartupPacket, startupLength } from './startup.ts';
import { isLoopback } from './upstream.ts';

/** A client that has said who it wants to be, and not yet proved it. */
export interface ClientConnection {
  readonly socket: Socket;
  readonly secure: boolean;
  /** Bytes read and not used. Filled when the log-in is over. */
  rest: Buffer;
}

/** What a connection turned out to want. */
export type Arrival =
  | { readonly kind: 'cancel'; readonly pid: number; readonly secret: Buffer }
  | { readonly kind: 'session'; readonly login: ClientLogin };

const refuse = (code: string, publicMessage: string, hint?: string): GatewayError =>
  new GatewayError({ code, source: 'client', phase: 'login', publicMessage, ...(hint === undefined ? {} : { hint }) });

/** Longest password message: a token, and what surrounds it. */
const MAX_PASSWORD_BYTES = 20 * 1024;

/** The client's side of the log-in, step by step. `fail` may be called at any time and makes the pending step reject. */
export class ClientLogin implements ClientConnection {
  socket: Socket;
  secure = false;
  /** A byte has come. */
  spoke = false;
  rest: Buffer = Buffer.alloc(0);
  parameters: ReadonlyMap<string, string> = new Map();
  /** Minor version agreed on: 0 or 2. */
  minor = 0;
  unsupportedOptions: readonly string[] = [];
  requestedVersion = PROTOCOL_3_0;
  #reader: ByteReader;

  constructor(socket: Socket) {
    this.socket = socket;
    this.#reader = new ByteReader(socket);
  }

  fail(error: Error): void {
    this.#reader.abort(error);
  }

  /** From the first byte to the start-up packet: direct TLS, SSLRequest, GSSENCRequest, cancel requests. */
  async arrive(context: SecureContext, plaintextLoopback: boolean): Promise<Arrival> {
    // A TLS record starts with 0x16, which no start-up packet does: its length would be past all bounds.
    const [first] = await this.#reader.peek(1);
    this.spoke = true;
    if (first === 0x16) await this.#startTls(context, true);
    let asked = false;
    for (;;) {
      const packet = await this.#packet();
      switch (packet.kind) {
        case 'ssl':
          if (this.secure || asked) throw refuse('frame_invalid', 'TLS was asked for twice');
          asked = true;
          await this.#reply('S');
          await this.#startTls(context, false);
          break;
        case 'gssenc':
          if (this.secure) throw refuse('frame_invalid', 'GSSAPI encryption was asked for inside TLS');
          await this.#reply('N');
          break;
        case 'cancel':
          return packet;
        case 'invalid':
          throw refuse('frame_invalid', packet.message);
        case 'startup':
          this.#startup(packet);
          if (!this.secure && !(plaintextLoopback && isLoopback(this.socket.remoteAddress ?? ''))) {
            throw refuse('plaintext_refused', 'the gateway takes logins only over TLS', 'connect with sslmode=require or better');
          }
          return { kind: 'session', login: this };
      }
    }
  }

  /** Asks for the password and returns it. */
  async password(): Promise<string> {
    const body = await this.ask(authenticationCleartextPassword());
    if (body.indexOf(0) !== body.length - 1) throw refuse('frame_invalid', 'invalid password message');
    return body.toString('utf8', 0, body.length - 1);
  }

  /** Sends an authentication request and returns the body of the answer: all answers share one message type. */
  async ask(request: Uint8Array): Promise<Buffer> {
    this.socket.write(request);
    const head = await this.#reader.read(5);
    const length = head.readUInt32BE(1);
    if (head[0] !== Front.Password || length < 5 || length > MAX_PASSWORD_BYTES)
      throw refuse('frame_invalid', 'expected a password message');
    return this.#reader.read(length - 4);
  }

  /** Gives the socket up for pumping. */
  release(): void {
    this.rest = this.#reader.detach();
  }

  /** NegotiateProtocolVersion, when the client asked for more than we speak. */
  negotiation(): Buffer | null {
    if (this.requestedVersion <= PROTOCOL_3_2 && this.unsupportedOptions.length === 0) return null;
    const names = this.unsupportedOptions.map((name) => `${name}\0`).join('');
    return message(0x76, int32(PROTOCOL_3_0 + this.minor), int32(this.unsupportedOptions.length), names);
  }

  async #packet(): Promise<StartupPacket> {
    const head = await this.#reader.read(4);
    const length = startupLength(head, 0);
    if (length === -1) throw refuse('frame_invalid', `invalid length of startup packet: ${head.readUInt32BE(0)}`);
    return parseStartup(Buffer.concat([head, await this.#reader.read(length - 4)]));
  }

  #startup(packet: StartupPacket & { kind: 'startup' }): void {
    this.requestedVersion = packet.version;
    // 3.1 never existed; it is treated as 3.0, as the server does.
    this.minor = packet.version >= PROTOCOL_3_2 ? 2 : 0;
    this.parameters = packet.parameters;
    this.unsupportedOptions = [...packet.parameters.keys()].filter((name) => name.startsWith('_pq_.'));
  }

  #reply(byte: 'S' | 'N'): Promise<void> {
    return new Promise((resolve, reject) => this.socket.write(byte, (error) => (error ? reject(error) : resolve())));
  }

  async #startTls(context: SecureContext, direct: boolean): Promise<void> {
    const rest = this.#reader.detach();
    if (rest.length > 0) {
      // After SSLRequest nothing may come before our answer (CVE-2021-23222); with direct TLS the first flight is here already.
      if (!direct) throw refuse('frame_invalid', 'cleartext was sent after the request for TLS');
      this.socket.unshift(rest);
    }
    const secure = new TLSSocket(this.socket, {
      isServer: true,
      secureContext: context,
      ...(direct ? { ALPNProtocols: ['postgresql'] } : {}),
    });
    await new Promise<void>((resolve, reject) => {
      const gone = (): void => reject(refuse('login_failed', 'the TLS handshake failed'));
      secure.once('secure', () => {
        secure.off('close', gone);
        resolve();
      });
      secure.on('error', gone);
      secure.once('close', gone);
    });
    secure.removeAllListeners('error');
    this.socket = secure;
    this.secure = true;
    this.#reader = new ByteReader(secure);
    // Without it another protocol's client could be led here and its bytes taken for ours (ALPACA).
    if (direct && secure.alpnProtocol !== 'postgresql')
      throw refuse('login_failed', 'direct TLS needs the application protocol "postgresql"');
  }
}

/** `1.2.3.4:5678`, an IPv6 address in brackets. */
export function sourceAddress(socket: Socket): string {
  const address = socket.remoteAddress ?? 'unknown';
  return `${isIP(address) === 6 ? `[${address}]` : address}:${socket.remotePort ?? 0}`;
}

import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect as netConnect, type Socket } from 'node:net';
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { serialize } from 'pg-protocol';
import type { Resource } from '../../config/model.ts';
import { GatewayError } from '../../errors.ts';
import { ByteReader } from '../../io/byte-reader.ts';
import { Back, cstringEnd, parseErrorFields } from './messages.ts';
import { ScramClient, tlsServerEndPoint } from './scram.ts';
import { PROTOCOL_3_0, sslRequest, startupMessage } from './startup.ts';

/** Longest message of the log-in phase: nothing the server has to say there is longer. */
const MAX_LOGIN_MESSAGE = 64 * 1024;
/** All messages of the log-in phase together: settings that are reported are kept. */
const MAX_LOGIN_BYTES = 1024 * 1024;

/** A connection to the target that has logged in and is ready for its first query. */
export interface Upstream {
  readonly socket: Socket;
  readonly secure: boolean;
  /** Bytes that came after ReadyForQuery. */
  readonly rest: Buffer;
  readonly parameters: ReadonlyMap<string, string>;
  readonly pid: number;
  readonly secret: Buffer;
}

export interface UpstreamLogin {
  readonly resource: Resource;
  readonly user: string;
  readonly password: string;
  /** Run-time parameters for the start-up packet, besides user and database. */
  readonly settings: ReadonlyMap<string, string>;
  readonly timeoutMs: number;
}

const failed = (code: string, publicMessage: string, cause?: unknown): GatewayError =>
  new GatewayError({ code, source: 'upstream', phase: 'connect', retryable: code === 'upstream_unreachable', publicMessage, cause });

/** The raw connection: TCP, and TLS by SSLRequest when the resource asks for it. Also used for cancel requests. */
export async function dial(resource: Resource, timeoutMs: number): Promise<{ socket: Socket; tls: TLSSocket | null }> {
  const socket = await new Promise<Socket>((resolve, reject) => {
    const attempt = netConnect({ host: resource.host, port: resource.port, noDelay: true });
    const timer = setTimeout(() => attempt.destroy(new Error('timed out')), timeoutMs);
    attempt.once('connect', () => {
      clearTimeout(timer);
      attempt.removeAllListeners('error');
      resolve(attempt);
    });
    attempt.once('error', (cause) => {
      clearTimeout(timer);
      reject(failed('upstream_unreachable', `target "${resource.name}" cannot be reached`, cause));
    });
  });
  if (resource.tls === 'disable') return { socket, tls: null };
  const reader = new ByteReader(socket);
  const timer = setTimeout(() => reader.abort(new Error('timed out')), timeoutMs);
  try {
    socket.write(sslRequest());
    const answer = await reader.read(1);
    const rest = reader.detach();
    if (answer[0] !== 0x53)
      throw failed('upstream_tls_refused', `target "${resource.name}" offers no TLS, and its tls setting is ${resource.tls}`);
    // Bytes behind the answer would be believed as if they had come encrypted (CVE-2021-23222).
    if (rest.length > 0) throw failed('upstream_protocol', `target "${resource.name}" sent cleartext after it agreed to TLS`);
    return { socket, tls: await startTls(socket, resource) };
  } catch (error) {
    socket.destroy();
    throw error instanceof GatewayError ? error : failed('upstream_unreachable', `target "${resource.name}" closed the connection`, error);
  } finally {
    clearTimeout(timer);
  }
}

function startTls(socket: Socket, resource: Resource): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const options: ConnectionOptions = { socket, ALPNProtocols: ['postgresql'], rejectUnauthorized: resource.tls === 'verify-full' };
    if (!/^[\d.]+$|:/.test(resource.host)) options.servername = resource.host;
    if (resource.ca !== null) options.ca = readFileSync(resource.ca);
    // Node matches the certificate against `host` when there is no server name to send (an address).
    options.host = resource.host;
    const secure = tlsConnect(options);
    secure.once('secureConnect', () => {
      secure.removeAllListeners('error');
      resolve(secure);
    });
    secure.once('error', (cause) =>
      reject(failed('upstream_tls_failed', `TLS to target "${resource.name}" failed: ${cause.message}`, cause)),
    );
  });
}

/** Connects and logs in. Rejects with a GatewayError of phase `connect`. */
export async function connectUpstream(login: UpstreamLogin): Promise<Upstream> {
  const { socket, tls } = await dial(login.resource, login.timeoutMs);
  const stream = tls ?? socket;
  const reader = new ByteReader(stream);
  const timer = setTimeout(() => reader.abort(new Error('timed out')), login.timeoutMs);
  try {
    const parameters = new Map([['user', login.user], ['database', login.resource.database], ...login.settings]);
    stream.write(startupMessage(PROTOCOL_3_0, parameters));
    const session = await new LoginPhase(reader, stream, tls, login).run();
    return { socket: stream, secure: tls !== null, rest: reader.detach(), ...session };
  } catch (error) {
    stream.destroy();
    throw error instanceof GatewayError
      ? error
      : failed('upstream_unreachable', `target "${login.resource.name}" closed the connection during log-in`, error);
  } finally {
    clearTimeout(timer);
  }
}

class LoginPhase {
  readonly #reader: ByteReader;
  readonly #stream: Socket;
  readonly #tls: TLSSocket | null;
  readonly #login: UpstreamLogin;
  #scram: ScramClient | null = null;
  #proved = false;

  constructor(reader: ByteReader, stream: Socket, tls: TLSSocket | null, login: UpstreamLogin) {
    this.#reader = reader;
    this.#stream = stream;
    this.#tls = tls;
    this.#login = login;
  }

  async run(): Promise<{ parameters: Map<string, string>; pid: number; secret: Buffer }> {
    const parameters = new Map<string, string>();
    let pid = 0;
    let taken = 0;
    let secret: Buffer = Buffer.alloc(4);
    for (;;) {
      const head = await this.#reader.read(5);
      const length = head.readInt32BE(1) - 4;
      taken += 5 + length;
      if (length < 0 || length > MAX_LOGIN_MESSAGE || taken > MAX_LOGIN_BYTES)
        throw failed('upstream_protocol', `target "${this.#login.resource.name}" does not speak the protocol expected of it`);
      const body = length === 0 ? Buffer.alloc(0) : await this.#reader.read(length);
      switch (head[0]) {
        case Back.Authentication:
          await this.#authenticate(body);
          break;
        case Back.ParameterStatus: {
          const end = cstringEnd(body, 0, body.length);
          parameters.set(body.toString('utf8', 0, end), body.toString('utf8', end + 1, body.length - 1));
          break;
        }
        case Back.BackendKeyData:
          pid = body.readUInt32BE(0);
          secret = Buffer.from(body.subarray(4));
          break;
        case Back.ErrorResponse: {
          const fields = parseErrorFields(body, 0, body.length);
          // The server's text may name the account; the user is told only the code, the log gets the rest as the cause.
          throw failed(
            'upstream_refused',
            `target "${this.#login.resource.name}" refused the connection (SQLSTATE ${fields.get('C') ?? '?'})`,
            new Error(fields.get('M') ?? ''),
          );
        }
        case Back.NoticeResponse:
        case Back.NegotiateProtocolVersion:
          break;
        case Back.ReadyForQuery:
          return { parameters, pid, secret };
        default:
          throw failed('upstream_protocol', `target "${this.#login.resource.name}" sent an unexpected message during log-in`);
      }
    }
  }

  async #authenticate(body: Buffer): Promise<void> {
    const { password, user } = this.#login;
    switch (body.readInt32BE(0)) {
      case 0:
        if (this.#scram !== null && !this.#proved)
          throw failed('upstream_auth_failed', 'the target did not prove that it knows the password');
        return;
      case 3:
        if (this.#tls === null && !isLoopback(this.#login.resource.host)) {
          throw failed('upstream_auth_failed', `target "${this.#login.resource.name}" asks for a cleartext password without TLS`);
        }
        this.#stream.write(serialize.password(password));
        return;
      case 5: {
        const inner = createHash('md5')
          .update(password + user)
          .digest('hex');
        const outer = createHash('md5').update(inner).update(body.subarray(4, 8)).digest('hex');
        this.#stream.write(serialize.password(`md5${outer}`));
        return;
      }
      case 10: {
        const offered = body
          .toString('utf8', 4)
          .split('\0')
          .filter((name) => name !== '');
        const certificate = this.#tls?.getPeerCertificate().raw;
        const endPoint = certificate === undefined ? null : tlsServerEndPoint(new X509Certificate(certificate));
        this.#scram = new ScramClient(offered, endPoint);
        this.#stream.write(serialize.sendSASLInitialResponseMessage(this.#scram.mechanism, this.#scram.clientFirst()));
        return;
      }
      case 11:
        if (this.#scram === null) break;
        this.#stream.write(serialize.sendSCRAMClientFinalMessage(await this.#scram.clientFinal(body.toString('utf8', 4), password)));
        return;
      case 12:
        if (this.#scram === null) break;
        this.#scram.verify(body.toString('utf8', 4));
        this.#proved = true;
        return;
    }
    throw failed(
      'upstream_auth_failed',
      `target "${this.#login.resource.name}" asks for a way of authentication that the gateway does not know`,
    );
  }
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '::ffff:127.0.0.1' || /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(host);
}

import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { ScramClient } from './scram.ts';
import { decode, encode, type Field, type Message } from './wire-messages.ts';

/** A PostgreSQL v3 client for tests: shows every message and every byte, hides nothing, and can send what no driver would. */

export type { Field, Message } from './wire-messages.ts';

export interface WireOptions {
  readonly host?: string;
  readonly port: number;
  /** A unix socket to use instead of host and port. */
  readonly path?: string;
  readonly user?: string;
  readonly database?: string;
  /** Sent as asked for: cleartext (towards the gateway it is the token) or by SCRAM-SHA-256. */
  readonly password?: string;
  /** `ssl-request`: asks first and upgrades. `direct`: TLS from the first byte, with ALPN. Absent: no TLS. */
  readonly tls?: 'ssl-request' | 'direct';
  /** PEM of the CA to verify against. Absent: any certificate is taken. */
  readonly ca?: string;
  /** Further parameters of the startup packet. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** 3.0 when absent. */
  readonly protocol?: { readonly major: number; readonly minor: number };
}

/** The outcome of one cycle up to ReadyForQuery. */
export interface Cycle {
  /** Rows in text, null for NULL, in the order of arrival, of all result sets of the cycle. */
  readonly rows: (string | null)[][];
  readonly columns: string[];
  readonly tags: string[];
  readonly copied: string;
  readonly errors: Record<string, string>[];
  readonly notices: Record<string, string>[];
  /** `I`, `T` or `E`; `` when the connection ended instead. */
  readonly status: string;
  readonly messages: Message[];
}

/** Type byte and length field. */
const HEADER = 5;

export class Wire {
  readonly socket: Socket | TLSSocket;
  /** Every byte received since the start, or since the last `forget`. */
  private received: Buffer[] = [];
  /** From BackendKeyData; the key is 4 bytes in protocol 3.0 and up to 256 in 3.2. */
  backendKey: { pid: number; key: Buffer } | null = null;
  readonly parameters = new Map<string, string>();
  private readonly options: WireOptions;
  private pieces: Buffer[] = [];
  private gathered = 0;
  private needed = HEADER;
  private readonly queue: Message[] = [];
  private waiter: (() => void) | null = null;
  private closed: Error | true | null = null;

  private constructor(socket: Socket | TLSSocket, options: WireOptions) {
    this.socket = socket;
    this.options = options;
    socket.on('data', (chunk: Buffer) => this.take(chunk));
    socket.on('error', (error) => this.close(error));
    socket.on('close', () => this.close(true));
  }

  /** Opens the socket, TLS included, and sends nothing of PostgreSQL's own yet. */
  static async open(options: WireOptions): Promise<Wire> {
    const host = options.host ?? '127.0.0.1';
    const tls = options.ca === undefined ? { rejectUnauthorized: false } : { ca: options.ca };
    if (options.tls === 'direct') {
      const socket = connectTls({ host, port: options.port, servername: 'localhost', ALPNProtocols: ['postgresql'], ...tls });
      await opened(socket, 'secureConnect');
      return new Wire(socket, options);
    }
    const plain = options.path === undefined ? connectTcp({ host, port: options.port, noDelay: true }) : connectTcp({ path: options.path });
    await opened(plain, 'connect');
    if (options.tls === undefined) return new Wire(plain, options);
    plain.write(encode.sslRequest());
    const answer = await new Promise<Buffer>((resolve, reject) => {
      plain
        .once('data', resolve)
        .once('error', reject)
        .once('close', () => reject(new Error('closed instead of an answer to SSLRequest')));
    });
    plain.removeAllListeners('data').removeAllListeners('close').removeAllListeners('error');
    if (answer.toString('latin1') !== 'S') throw new Error(`SSLRequest was answered by ${JSON.stringify(answer.toString('latin1'))}`);
    const socket = connectTls({ socket: plain, servername: 'localhost', ...tls });
    await opened(socket, 'secureConnect');
    return new Wire(socket, options);
  }

  /** Opens and logs in. Throws WireError when the login is refused. */
  static async connect(options: WireOptions): Promise<Wire> {
    const wire = await Wire.open(options);
    try {
      await wire.login();
    } catch (error) {
      wire.destroy();
      throw error;
    }
    return wire;
  }

  async login(): Promise<void> {
    const { user = 'postgres', database, parameters, protocol } = this.options;
    this.send(encode.startup({ user, ...(database === undefined ? {} : { database }), ...parameters }, protocol));
    const scram = new ScramClient(this.options.password ?? '');
    for (;;) {
      const message = await this.next();
      if (message.name === 'ErrorResponse') throw new WireError(message.error);
      if (message.name === 'Authentication') {
        const method = message.body.readInt32BE(0);
        if (method === 3) this.send(encode.password(this.options.password ?? ''));
        else if (method === 10) this.send(encode.saslInitial('SCRAM-SHA-256', scram.first()));
        else if (method === 11) this.send(encode.saslResponse(scram.final(message.body.toString('utf8', 4))));
        else if (method === 12) scram.verify(message.body.toString('utf8', 4));
        else if (method !== 0) throw new Error(`authentication method ${method} is not one this client has`);
      } else if (message.name === 'BackendKeyData') {
        this.backendKey = { pid: message.body.readInt32BE(0), key: Buffer.from(message.body.subarray(4)) };
      } else if (message.name === 'ReadyForQuery') {
        return;
      }
    }
  }

  /** Sends bytes as they are, in one write. */
  send(...messages: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(messages));
  }

  /** The next backend message. Rejects when the connection ends first. */
  async next(): Promise<Message> {
    for (;;) {
      const message = this.queue.shift();
      if (message !== undefined) return message;
      if (this.closed !== null) throw this.closed === true ? new Error('the connection was closed') : this.closed;
      await new Promise<void>((resolve) => {
        this.waiter = resolve;
      });
    }
  }

  /** Reads up to the next ReadyForQuery, or the end of the connection (`status` is then empty). */
  async cycle(): Promise<Cycle> {
    const cycle = { rows: [], columns: [], tags: [], copied: '', errors: [], notices: [], status: '', messages: [] } as Cycle & {
      copied: string;
      status: string;
      columns: string[];
    };
    const copied: Buffer[] = [];
    for (;;) {
      let message: Message;
      try {
        message = await this.next();
      } catch {
        break;
      }
      cycle.messages.push(message);
      if (message.name === 'RowDescription') cycle.columns = message.fields.map((field: Field) => field.name);
      else if (message.name === 'DataRow') cycle.rows.push(message.values.map((value) => value?.toString('utf8') ?? null));
      else if (message.name === 'CommandComplete') cycle.tags.push(message.tag);
      else if (message.name === 'CopyData') copied.push(message.body);
      else if (message.name === 'ErrorResponse') cycle.errors.push(message.error);
      else if (message.name === 'NoticeResponse') cycle.notices.push(message.error);
      else if (message.name === 'ReadyForQuery') {
        cycle.status = message.body.toString('latin1');
        break;
      }
    }
    cycle.copied = Buffer.concat(copied).toString('utf8');
    return cycle;
  }

  /** The simple protocol. */
  query(text: string): Promise<Cycle> {
    this.send(encode.query(text));
    return this.cycle();
  }

  /** The extended protocol in one write: Parse, Bind, Describe, Execute, Sync on the unnamed statement and portal. */
  extended(text: string, values: readonly (string | null)[] = [], options: { readonly binary?: boolean } = {}): Promise<Cycle> {
    this.send(
      encode.parse({ text }),
      encode.bind({ values, resultFormats: options.binary ? [1] : [] }),
      encode.describe('P', ''),
      encode.execute(),
      encode.sync(),
    );
    return this.cycle();
  }

  /** COPY ... FROM STDIN with the given pieces as CopyData messages. */
  copyIn(text: string, pieces: readonly (string | Uint8Array)[]): Promise<Cycle> {
    this.send(encode.query(text), ...pieces.map((piece) => encode.copyData(piece)), encode.copyDone());
    return this.cycle();
  }

  /** Asks, over a connection of its own, to cancel what this one runs. */
  async cancel(): Promise<void> {
    if (this.backendKey === null) throw new Error('no BackendKeyData to cancel with');
    const other = await Wire.open(this.options);
    other.send(encode.cancelRequest(this.backendKey.pid, this.backendKey.key));
    await other.ended();
  }

  /** Every byte received since the last call. */
  forget(): Buffer {
    const bytes = Buffer.concat(this.received);
    this.received = [];
    return bytes;
  }

  /** Resolves when the peer has closed. */
  async ended(): Promise<void> {
    while (this.closed === null) {
      await new Promise<void>((resolve) => {
        this.waiter = resolve;
      });
    }
  }

  /** Terminate, then the end of the socket. */
  async end(): Promise<void> {
    if (this.closed !== null) return;
    this.socket.end(encode.terminate());
    await this.ended();
  }

  destroy(): void {
    this.socket.destroy();
  }

  private take(chunk: Buffer): void {
    this.received.push(chunk);
    this.pieces.push(chunk);
    this.gathered += chunk.length;
    // Pieces are joined only once a message is whole: joining at every chunk would make one long message quadratic.
    if (this.gathered < this.needed) return;
    const bytes = this.pieces.length === 1 ? chunk : Buffer.concat(this.pieces);
    let offset = 0;
    this.needed = HEADER;
    while (bytes.length - offset >= HEADER) {
      const length = 1 + bytes.readInt32BE(offset + 1);
      if (length < HEADER) {
        this.close(new Error(`a backend message with length ${length - 1}`));
        return;
      }
      if (bytes.length - offset < length) {
        this.needed = length;
        break;
      }
      const message = decode(Buffer.from(bytes.subarray(offset, offset + length)));
      if (message.name === 'ParameterStatus') this.parameters.set(message.parameter[0], message.parameter[1]);
      this.queue.push(message);
      offset += length;
    }
    this.pieces = offset === bytes.length ? [] : [bytes.subarray(offset)];
    this.gathered = bytes.length - offset;
    this.wake();
  }

  private close(reason: Error | true): void {
    this.closed ??= reason;
    this.wake();
  }

  private wake(): void {
    const waiter = this.waiter;
    this.waiter = null;
    waiter?.();
  }
}

/** An ErrorResponse during login; `fields` by their letters. */
export class WireError extends Error {
  readonly fields: Record<string, string>;

  constructor(fields: Record<string, string>) {
    super(`${fields['S'] ?? ''} ${fields['C'] ?? ''}: ${fields['M'] ?? ''}`);
    this.fields = fields;
  }
}

function opened(socket: Socket, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(error);
    socket.once(event, () => {
      socket.removeListener('error', failed);
      resolve();
    });
    socket.once('error', failed);
  });
}

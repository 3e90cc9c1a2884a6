import { serialize } from 'pg-protocol';
import { GatewayError } from '../../errors.ts';
import { ReplyReader, type Row } from './catalog-reply.ts';
import { connectUpstream, type UpstreamLogin } from './upstream.ts';

/** One query under way. */
interface Running {
  readonly resolve: (rows: Row[]) => void;
  readonly reject: (error: Error) => void;
}

const lost = (cause: unknown): GatewayError =>
  new GatewayError({
    code: 'upstream_lost',
    source: 'upstream',
    phase: 'classify',
    retryable: true,
    publicMessage: 'the target could not be asked for its catalog',
    cause,
  });

/** The gateway's own connection to a target, for catalog look-ups. One query at a time; connects when it has to. */
export class CatalogClient {
  readonly #login: UpstreamLogin;
  #connection: Promise<Connection> | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(login: UpstreamLogin) {
    this.#login = login;
  }

  /** Rows of a query, each value as text. Rejects with a GatewayError when the target cannot be asked. */
  query(text: string): Promise<Row[]> {
    const result = this.#last.then(() => this.#run(text));
    this.#last = result.catch(() => {});
    return result;
  }

  close(): void {
    this.#connection?.then(
      (connection) => connection.end(),
      () => {},
    );
    this.#connection = null;
  }

  async #run(text: string): Promise<Row[]> {
    const connection = this.#connection ?? this.#open();
    try {
      return await (await connection).query(text, this.#login.timeoutMs);
    } catch (error) {
      if (this.#connection === connection) this.#connection = null;
      connection.then(
        (open) => open.destroy(),
        () => {},
      );
      throw error;
    }
  }

  #open(): Promise<Connection> {
    const connection = Connection.open(this.#login, () => {
      // By then another one may have taken its place.
      if (this.#connection === connection) this.#connection = null;
    });
    this.#connection = connection;
    return connection;
  }
}

class Connection {
  readonly #socket: Awaited<ReturnType<typeof connectUpstream>>['socket'];
  readonly #reader = new ReplyReader();
  #running: Running | null = null;

  private constructor(socket: Awaited<ReturnType<typeof connectUpstream>>['socket'], onClose: () => void) {
    this.#socket = socket;
    const closed = (): void => {
      onClose();
      this.#fail(lost(new Error('connection closed')));
    };
    socket.on('close', closed);
    socket.on('error', closed);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    // The log-in left it paused, which a listener alone does not undo.
    socket.resume();
    // Idle, it must not keep a process alive that has nothing else to do.
    socket.unref();
  }

  static async open(login: UpstreamLogin, onClose: () => void): Promise<Connection> {
    const { socket, rest } = await connectUpstream(login);
    if (rest.length > 0) socket.unshift(rest);
    return new Connection(socket, onClose);
  }

  /** A target that has gone silent, or never comes to an end, fails the query after `timeoutMs`: log-ins and statements wait for it. */
  query(text: string, timeoutMs: number): Promise<Row[]> {
    const timer = setTimeout(() => this.#fail(lost(new Error('timed out'))), timeoutMs);
    return new Promise<Row[]>((resolve, reject) => {
      this.#running = { resolve, reject };
      this.#reader.begin();
      this.#socket.ref();
      this.#socket.write(serialize.query(text));
    }).finally(() => clearTimeout(timer));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  end(): void {
    this.#socket.end(serialize.end());
  }

  #take(chunk: Buffer): void {
    if (this.#socket.destroyed) return;
    try {
      const reply = this.#reader.take(chunk);
      if (reply === null) return;
      if (reply.rows === null) this.#fail(lost(new Error(reply.error)));
      else this.#settle()?.resolve(reply.rows);
    } catch (error) {
      this.#fail(error instanceof GatewayError ? error : lost(error));
      // What follows on this connection means nothing any more.
      this.#socket.destroy();
    }
  }

  #fail(error: GatewayError): void {
    this.#settle()?.reject(error);
  }

  #settle(): Running | null {
    const running = this.#running;
    this.#running = null;
    if (running !== null) this.#socket.unref();
    return running;
  }
}

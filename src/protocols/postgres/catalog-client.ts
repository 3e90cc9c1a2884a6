import { parse, serialize } from 'pg-protocol';
import { GatewayError } from '../../errors.ts';
import { connectUpstream, type UpstreamLogin } from './upstream.ts';

/** The messages of a reply that are of interest here. */
interface ReplyMessage {
  readonly name: string;
  readonly fields?: readonly (string | null)[];
  readonly message?: string;
}

/** One query under way. */
interface Running {
  readonly rows: (string | null)[][];
  failure: string | null;
  readonly resolve: (rows: (string | null)[][]) => void;
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
  query(text: string): Promise<(string | null)[][]> {
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

  async #run(text: string): Promise<(string | null)[][]> {
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
  #running: Running | null = null;

  private constructor(socket: Awaited<ReturnType<typeof connectUpstream>>['socket'], onClose: () => void) {
    this.#socket = socket;
    const closed = (): void => {
      onClose();
      this.#settle(lost(new Error('connection closed')));
    };
    socket.on('close', closed);
    socket.on('error', closed);
    // Rejects when the stream breaks, which `close` has told already.
    parse(socket, (message) => this.#onMessage(message as unknown as ReplyMessage)).catch(() => {});
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

  /** A target that has gone silent fails the query after `timeoutMs`: log-ins and statements wait for it. */
  query(text: string, timeoutMs: number): Promise<(string | null)[][]> {
    const timer = setTimeout(() => this.#settle(lost(new Error('timed out'))), timeoutMs);
    return new Promise<(string | null)[][]>((resolve, reject) => {
      this.#running = { rows: [], failure: null, resolve, reject };
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

  #onMessage(message: ReplyMessage): void {
    const running = this.#running;
    if (running === null) return;
    if (message.name === 'dataRow') running.rows.push([...(message.fields ?? [])]);
    else if (message.name === 'error') running.failure = message.message ?? 'unknown error';
    else if (message.name === 'readyForQuery') this.#settle(running.failure === null ? null : lost(new Error(running.failure)));
  }

  #settle(error: GatewayError | null): void {
    const running = this.#running;
    if (running === null) return;
    this.#running = null;
    this.#socket.unref();
    if (error === null) running.resolve(running.rows);
    else running.reject(error);
  }
}

import { parse, serialize } from 'pg-protocol';
import { GatewayError } from '../../errors.ts';
import { connectUpstream, type Upstream, type UpstreamLogin } from './upstream.ts';

/** The messages of a reply that are of interest here. */
interface ReplyMessage {
  readonly name: string;
  readonly fields?: readonly (string | null)[];
  readonly code?: string;
  readonly parameterCount?: number;
}

type Rows = (string | null)[][];

interface Running {
  readonly rows: Rows;
  parameters: number;
  executed: boolean;
  failure: string | null;
  readonly resolve: (rows: Rows) => void;
  readonly reject: (error: Error) => void;
}

/** A short-lived connection of the gateway's own to a target, for single statements one after the other. */
export class TargetQueries {
  readonly #upstream: Upstream;
  readonly #timer: NodeJS.Timeout;
  #running: Running | null = null;

  private constructor(upstream: Upstream, timeoutMs: number) {
    this.#upstream = upstream;
    const { socket, rest } = upstream;
    // The server has a limit of its own for each statement; this one is for a server that has gone silent.
    this.#timer = setTimeout(() => socket.destroy(), 2 * timeoutMs);
    if (rest.length > 0) socket.unshift(rest);
    socket.on('close', () => this.#settle(failed('the connection was lost')));
    socket.on('error', () => {});
    // Rejects when the stream breaks, which `close` tells as well.
    parse(socket, (message) => this.#take(message as unknown as ReplyMessage)).catch(() => socket.destroy());
    socket.resume();
  }

  /** Rejects with a GatewayError of phase `connect`. */
  static async open(login: UpstreamLogin): Promise<TargetQueries> {
    return new TargetQueries(await connectUpstream(login), login.timeoutMs);
  }

  /** 16 for 16.4. */
  get serverMajor(): number {
    return Number.parseInt(this.#upstream.parameters.get('server_version') ?? '0', 10);
  }

  /** Rows as text. By the extended protocol, which takes one statement and no more. Parameters, where it has any, are NULL. */
  query(text: string): Promise<Rows> {
    return new Promise((resolve, reject) => {
      if (this.#upstream.socket.destroyed) return reject(failed('the connection was lost'));
      this.#running = { rows: [], parameters: 0, executed: false, failure: null, resolve, reject };
      this.#send(serialize.parse({ text }), serialize.describe({ type: 'S' }), serialize.flush());
    });
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#upstream.socket.end(serialize.end());
    this.#upstream.socket.unref();
  }

  #take(message: ReplyMessage): void {
    const running = this.#running;
    if (running === null) return;
    switch (message.name) {
      case 'parameterDescription':
        running.parameters = message.parameterCount ?? 0;
        break;
      case 'rowDescription':
      case 'noData':
        this.#execute(running, serialize.bind({ values: Array.from({ length: running.parameters }, () => null) }), serialize.execute({}));
        break;
      case 'dataRow':
        running.rows.push([...(message.fields ?? [])]);
        break;
      case 'error':
        // Not its words: they may quote the statement.
        running.failure = `the target refused to plan it (SQLSTATE ${message.code ?? '?'})`;
        this.#execute(running);
        break;
      case 'readyForQuery':
        this.#settle(running.failure === null ? null : failed(running.failure));
        break;
    }
  }

  /** What comes after the description, once; after an error Sync alone. */
  #execute(running: Running, ...messages: readonly Buffer[]): void {
    if (running.executed) return;
    running.executed = true;
    this.#send(...messages, serialize.sync());
  }

  #send(...messages: readonly Buffer[]): void {
    this.#upstream.socket.write(Buffer.concat(messages));
  }

  #settle(error: GatewayError | null): void {
    const running = this.#running;
    this.#running = null;
    if (error === null) running?.resolve(running.rows);
    else running?.reject(error);
  }
}

const failed = (publicMessage: string): GatewayError =>
  new GatewayError({ code: 'upstream_lost', source: 'upstream', phase: 'decide', publicMessage });

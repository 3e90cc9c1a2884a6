import { Parser, serialize } from 'pg-protocol';
import { GatewayError } from '../../errors.ts';
import { connectUpstream, type Upstream, type UpstreamLogin } from './upstream.ts';

/** The messages of the reply that are of interest here. */
interface ReplyMessage {
  readonly name: string;
  readonly fields?: readonly (string | null)[];
  readonly message?: string;
}

/** The gateway's own connection to a target, for catalog look-ups. One query at a time; connects when it has to. */
export class CatalogClient {
  readonly #login: UpstreamLogin;
  #upstream: Promise<Upstream> | null = null;
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
    this.#upstream?.then(
      ({ socket }) => socket.end(serialize.end()),
      () => {},
    );
    this.#upstream = null;
  }

  async #run(text: string): Promise<(string | null)[][]> {
    this.#upstream ??= connectUpstream(this.#login);
    let upstream: Upstream;
    try {
      upstream = await this.#upstream;
    } catch (error) {
      this.#upstream = null;
      throw error;
    }
    const { socket } = upstream;
    return new Promise((resolve, reject) => {
      const rows: (string | null)[][] = [];
      let failure: string | null = null;
      const parser = new Parser();
      const finish = (error: GatewayError | null): void => {
        socket.off('data', onData);
        socket.off('close', onClose);
        socket.off('error', onClose);
        // Idle, the connection must not keep a process alive that has nothing else to do.
        socket.unref();
        if (error === null) resolve(rows);
        else reject(error);
      };
      const lost = (cause: unknown): GatewayError =>
        new GatewayError({ code: 'upstream_lost', source: 'upstream', phase: 'classify', retryable: true, publicMessage: 'the target could not be asked for its catalog', cause });
      const onClose = (): void => {
        this.#upstream = null;
        finish(lost(new Error('connection closed')));
      };
      const onData = (chunk: Buffer): void => {
        parser.parse(chunk, (raw) => {
          const message = raw as unknown as ReplyMessage;
          if (message.name === 'dataRow') rows.push([...(message.fields ?? [])]);
          else if (message.name === 'error') failure = message.message ?? 'unknown error';
          else if (message.name === 'readyForQuery') finish(failure === null ? null : lost(new Error(failure)));
        });
      };
      socket.ref();
      socket.on('data', onData);
      socket.on('close', onClose);
      socket.on('error', onClose);
      socket.resume();
      socket.write(serialize.query(text));
    });
  }
}

import type { Socket } from 'node:net';

/** Reads exact numbers of bytes from a socket while a connection is being set up; hands over the left-over afterwards. */
export class ByteReader {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #length = 0;
  #waiting: { need: number; resolve: (bytes: Buffer) => void; reject: (error: Error) => void } | null = null;
  #error: Error | null = null;
  readonly #onData = (chunk: Buffer): void => {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    this.#serve();
    // What nobody waits for stays in the system's buffers: a peer cannot fill ours before it has logged in.
    if (this.#waiting === null) this.#socket.pause();
  };
  readonly #onEnd = (): void => this.#fail(new Error('connection closed by peer'));
  readonly #onError = (error: Error): void => this.#fail(error);

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('close', this.#onEnd);
    socket.on('error', this.#onError);
    socket.pause();
  }

  /** Resolves with the next `need` bytes; rejects when the peer leaves first. */
  read(need: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { need, resolve, reject };
      this.#serve();
      if (this.#waiting !== null) {
        if (this.#error !== null) this.#fail(this.#error);
        else this.#socket.resume();
      }
    });
  }

  /** The next bytes without taking them. */
  async peek(need: number): Promise<Buffer> {
    const bytes = await this.read(need);
    this.unread(bytes);
    return bytes;
  }

  unread(bytes: Buffer): void {
    this.#chunks.unshift(bytes);
    this.#length += bytes.length;
  }

  /** Makes a pending or later read fail with `error` (a time-out). */
  abort(error: Error): void {
    this.#fail(error);
  }

  /** Stops reading and returns what came and was not read. */
  detach(): Buffer {
    this.#socket.pause();
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('close', this.#onEnd);
    this.#socket.off('error', this.#onError);
    // A paused stream goes on reading up to its high-water mark: what it holds would be lost with it.
    for (let chunk = this.#socket.read() as Buffer | null; chunk !== null; chunk = this.#socket.read() as Buffer | null)
      this.#chunks.push(chunk);
    const rest = Buffer.concat(this.#chunks);
    this.#chunks = [];
    this.#length = 0;
    return rest;
  }

  #serve(): void {
    const waiting = this.#waiting;
    if (waiting === null || this.#length < waiting.need) return;
    const all = this.#chunks.length === 1 && this.#chunks[0] !== undefined ? this.#chunks[0] : Buffer.concat(this.#chunks);
    const bytes = all.subarray(0, waiting.need);
    const rest = all.subarray(waiting.need);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#length = rest.length;
    this.#waiting = null;
    waiting.resolve(bytes);
  }

  #fail(error: Error): void {
    this.#error ??= error;
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.reject(this.#error);
  }
}

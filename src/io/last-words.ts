import type { Socket } from 'node:net';

/** How long somebody may go on sending who has been told that it is over. */
export interface Patience {
  /** Without a byte, or the end, from them. */
  readonly silenceMs: number;
  readonly totalMs: number;
  readonly bytes: number;
}

/** For who has logged in: a statement that was refused for its length is on its way still. */
export const PATIENCE: Patience = { silenceMs: 2000, totalMs: 30_000, bytes: 256 * 1024 * 1024 };
/** For who has not. */
const SHORT_PATIENCE: Patience = { silenceMs: 1000, totalMs: 5000, bytes: 1024 * 1024 };

/**
 * Bounds what is read only to be thrown away. A socket that is closed with bytes unread answers with a reset, which takes the
 * last words from a peer that has not read them yet: so its bytes are taken until it has ended, or has had its time.
 */
export class Discarding {
  readonly #patience: Patience;
  readonly #destroy: () => void;
  readonly #until: number;
  readonly #timer: NodeJS.Timeout;
  #bytes = 0;

  constructor(patience: Patience, destroy: () => void) {
    this.#patience = patience;
    this.#destroy = destroy;
    this.#until = Date.now() + patience.totalMs;
    this.#timer = setTimeout(destroy, patience.silenceMs).unref();
  }

  /** So many bytes were thrown away. */
  took(count: number): void {
    this.#bytes += count;
    if (this.#bytes > this.#patience.bytes || Date.now() > this.#until) this.#destroy();
    else this.#timer.refresh();
  }

  /** The connection is closed. */
  over(): void {
    clearTimeout(this.#timer);
  }
}

/** Sends somebody's last words before they have logged in, and closes when they have taken them. Nobody else reads the socket any more. */
export function endWith(socket: Socket, words: Uint8Array | null): void {
  socket.removeAllListeners('data');
  // There is nobody left to tell.
  socket.on('error', () => {});
  const discarding = new Discarding(SHORT_PATIENCE, () => socket.destroy());
  socket.on('data', (chunk: Buffer) => discarding.took(chunk.length));
  socket.once('close', () => discarding.over());
  if (words === null) socket.end();
  else socket.end(words);
  socket.resume();
}

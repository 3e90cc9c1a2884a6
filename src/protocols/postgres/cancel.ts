import { randomBytes, timingSafeEqual } from 'node:crypto';

/** What a cancel key stands for. */
export interface Cancellable {
  cancel(source: string): void;
}

/** Keys that the gateway gives to clients in place of the server's own: a client never learns a key that the server would take. */
export class CancelKeys {
  readonly #sessions = new Map<number, { secret: Buffer; session: Cancellable }>();
  #next = 1;

  /** @param secretBytes 4 for protocol 3.0, up to 256 for 3.2. */
  register(session: Cancellable, secretBytes: number): { pid: number; secret: Buffer } {
    let pid = this.#next;
    while (this.#sessions.has(pid)) pid = (pid % 0x7fff_fffe) + 1;
    this.#next = (pid % 0x7fff_fffe) + 1;
    const secret = randomBytes(secretBytes);
    this.#sessions.set(pid, { secret, session });
    return { pid, secret };
  }

  find(pid: number, secret: Uint8Array): Cancellable | null {
    const found = this.#sessions.get(pid);
    if (found === undefined || found.secret.length !== secret.length || !timingSafeEqual(found.secret, secret)) return null;
    return found.session;
  }

  remove(pid: number): void {
    this.#sessions.delete(pid);
  }
}

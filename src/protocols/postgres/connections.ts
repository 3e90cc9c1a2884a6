import type { Socket } from 'node:net';
import { Arrivals, type Place } from './arrivals.ts';

/** A connection on which no session has begun yet. */
export interface Connection {
  /** Who it is has been proved: it takes no place among those that have not any more. */
  proved(): void;
  /** Its session is being opened, and counts as one. */
  opening(): void;
  /** Its session has begun. */
  begun(): void;
  /**
   * It is refused, or has got what it came for, and is to go. Whether it may take its time: as long as it is there it holds a place, and
   * there may be none.
   */
  leaving(): boolean;
}

/** The connections of a listener that have no session, each of which holds a descriptor: how many there are is bounded wherever they stand. */
export class Connections {
  readonly #arrivals: Arrivals;
  readonly #most: number;
  readonly #arriving = new Set<Socket>();
  #opening = 0;
  /** Those that hold no place among the arrivals and have not gone yet. */
  #leaving = 0;

  /** @param most that have not logged in, and as many that are going. @param tell see Arrivals. */
  constructor(most: number, tell: (source: string, refused: number) => void) {
    this.#most = most;
    this.#arrivals = new Arrivals(most, tell);
  }

  /** Sessions that are being opened. */
  get opening(): number {
    return this.#opening;
  }

  /** Lets a connection in; null: there are too many. It holds its place until it is closed, whatever becomes of it, or has logged in. */
  enter(socket: Socket, source: string): Connection | null {
    const place = this.#arrivals.enter(socket.remoteAddress ?? '', source);
    if (place === null) return null;
    this.#arriving.add(socket);
    socket.once('close', () => {
      this.#arriving.delete(socket);
      place.leave();
    });
    return this.#connection(socket, place);
  }

  /** A connection without a place is told to go: whether it may take its time. */
  turnAway(socket: Socket): boolean {
    if (this.#leaving >= this.#most) return false;
    this.#leaving++;
    socket.once('close', () => this.#leaving--);
    return true;
  }

  /** Ends those that have not been answered yet. */
  close(): void {
    for (const socket of this.#arriving) socket.destroy();
    this.#arrivals.close();
  }

  #connection(socket: Socket, place: Place): Connection {
    let placed = true;
    let opening = 0;
    const settle = (): void => {
      this.#arriving.delete(socket);
      this.#opening -= opening;
      opening = 0;
    };
    return {
      proved: () => {
        placed = false;
        place.leave();
      },
      opening: () => {
        opening = 1;
        this.#opening++;
      },
      begun: settle,
      leaving: () => {
        settle();
        return placed || socket.destroyed || this.turnAway(socket);
      },
    };
  }
}

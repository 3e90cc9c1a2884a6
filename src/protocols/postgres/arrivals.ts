import { isIPv6 } from 'node:net';

/** Refusals are told of at once, and those that follow within this time together at its end. */
const TELL_EVERY_MS = 10_000;

/** What a connection holds until it has logged in or ended. */
export interface Place {
  /** Gives it up. May be called again. */
  leave(): void;
}

/**
 * Bounds the connections that have not logged in: each costs memory, and whoever opens many proves nothing by it. One address gets half of
 * the places, so that it alone cannot take them all; an address of IPv6 counts by its network of 64 bits, which is what one host has.
 */
export class Arrivals {
  readonly #limit: number;
  readonly #limitOfOne: number;
  readonly #tell: (source: string, refused: number) => void;
  readonly #byHost = new Map<string, number>();
  #count = 0;
  /** Refused since it was last told, and the last of them. */
  #refused = 0;
  #lastRefused = '';
  #timer: NodeJS.Timeout | null = null;

  /** @param tell told how many were refused since it was told last, and where the last of them came from. */
  constructor(limit: number, tell: (source: string, refused: number) => void) {
    this.#limit = limit;
    this.#limitOfOne = Math.ceil(limit / 2);
    this.#tell = tell;
  }

  /** Lets a connection in; null: there are too many. @param source what is told when it is refused. */
  enter(address: string, source: string): Place | null {
    const host = hostOf(address);
    const ofHost = this.#byHost.get(host) ?? 0;
    if (this.#count >= this.#limit || ofHost >= this.#limitOfOne) {
      this.#refused++;
      this.#lastRefused = source;
      if (this.#timer === null) this.#tellNow();
      return null;
    }
    this.#count++;
    this.#byHost.set(host, ofHost + 1);
    let inside = true;
    const leave = (): void => {
      if (!inside) return;
      inside = false;
      this.#count--;
      const left = (this.#byHost.get(host) ?? 1) - 1;
      if (left === 0) this.#byHost.delete(host);
      else this.#byHost.set(host, left);
    };
    return { leave };
  }

  /** Tells of what has not been told yet. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#refused > 0) this.#tell(this.#lastRefused, this.#refused);
    this.#refused = 0;
  }

  #tellNow(): void {
    this.#timer = null;
    if (this.#refused === 0) return;
    const refused = this.#refused;
    this.#refused = 0;
    this.#timer = setTimeout(() => this.#tellNow(), TELL_EVERY_MS).unref();
    this.#tell(this.#lastRefused, refused);
  }
}

/** Who an address counts as: itself, or its network. */
function hostOf(address: string): string {
  if (!isIPv6(address)) return address;
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = '', tail] = address.toLowerCase().split('%', 1).join('').split('::');
  const groups = head === '' ? [] : head.split(':');
  // What `::` leaves out are zeros; a tail is counted from the end, and reaches into the network only when it is long.
  const rest = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups.length - rest.length);
  return `${[...groups, ...new Array<string>(zeros).fill('0'), ...rest]
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`;
}

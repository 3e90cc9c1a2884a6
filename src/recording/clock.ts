/** Time as the record writes it: RFC 3339 in UTC, microseconds. */

/** The source of time. Injected, so that tests can hold it still. */
export interface Clock {
  /** Microseconds since 1970-01-01T00:00:00Z. */
  micros(): number;
}

/** Furthest that the interpolated time may be from the system clock, milliseconds. */
const DRIFT = 2;

/**
 * The system clock, which Node gives in whole milliseconds, with the microseconds taken from the monotonic clock. The
 * offset between the two is taken anew whenever they have moved apart, so a correction of the system clock shows at once.
 */
export function systemClock(): Clock {
  let offset = performance.timeOrigin;
  return {
    micros(): number {
      const monotonic = performance.now();
      const wall = Date.now();
      const now = offset + monotonic;
      // `wall` is cut to a whole millisecond, so the true time is up to one more.
      if (now - wall > 1 + DRIFT || wall - now > DRIFT) {
        offset = wall + 0.5 - monotonic;
        return Math.floor((wall + 0.5) * 1000);
      }
      return Math.floor(now * 1000);
    },
  };
}

const THOUSAND: readonly string[] = Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, '0'));

/** Formats times, keeping the text of the current second. */
export class TimeFormat {
  #second = Number.NaN;
  #prefix = '';

  /** E.g. `2026-02-28T23:59:59.000017Z`. */
  format(micros: number): string {
    const second = Math.floor(micros / 1_000_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#prefix = new Date(second * 1000).toISOString().slice(0, 20);
    }
    const rest = micros - second * 1_000_000;
    const milli = Math.floor(rest / 1000);
    return `${this.#prefix}${THOUSAND[milli]}${THOUSAND[rest - milli * 1000]}Z`;
  }
}

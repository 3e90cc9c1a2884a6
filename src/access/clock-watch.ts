import { sql } from 'kysely';
import type { Store } from '../store/model.ts';
import type { AccessLog } from './audit.ts';

/** So far apart clocks may be, ms. */
const APART_MS = 1_000;

/** Compares the clock of this gateway with that of the shared store, by which those of all gateways are compared with each other. */
export class ClockWatch {
  readonly #store: Store;
  readonly #now: () => number;
  readonly #log: AccessLog;
  #apart = false;

  constructor(store: Store, now: () => number, log: AccessLog) {
    this.#store = store;
    this.#now = now;
    this.#log = log;
  }

  /** Says once when they have come apart, and once when they are together again. */
  async look(): Promise<void> {
    const from = this.#now();
    const { rows } = await sql<{ at: number }>`select (extract(epoch from clock_timestamp()) * 1000)::int8 as at`.execute(this.#store.db);
    const to = this.#now();
    const at = rows[0]?.at ?? from;
    // Somewhere within the time that the answer took.
    const ahead = at < from ? from - at : at > to ? to - at : 0;
    const apart = Math.abs(ahead) > APART_MS;
    if (apart && !this.#apart)
      this.#log.error('the clock of this gateway and that of the control store are apart: keep both by NTP', {
        aheadMs: Math.round(ahead),
      });
    if (!apart && this.#apart) this.#log.info('the clock of this gateway and that of the control store agree again');
    this.#apart = apart;
  }
}

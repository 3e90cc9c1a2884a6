import type { Store } from '../store/model.ts';
import type { AccessLog } from './audit.ts';
import type { AlertLog, Events, LiveEvent } from './model.ts';

export interface StoreAlertLogOptions {
  readonly store: Store;
  readonly events: Events;
  readonly gateway: string;
  readonly log: AccessLog;
}

/** How many are shown, and how many wait at most for a store that is away. The record has all. */
const SHOWN = 200;
/** How many of each gateway the store keeps. */
const KEPT = 1_000;

/** The latest alerts of all gateways of a store. */
export class StoreAlertLog implements AlertLog {
  readonly #options: StoreAlertLogOptions;
  readonly #stop: (() => void)[];
  /** Not in the store yet, oldest first. */
  #waiting: LiveEvent[] = [];
  #writing: Promise<void> | null = null;

  constructor(options: StoreAlertLogOptions) {
    this.#options = options;
    const { events, store } = options;
    this.#stop = [
      events.listen((event) => {
        if (isAlert(event)) this.#add(event);
      }),
      // It was away, and is back.
      store.listen('alerts', () => void this.#write()),
    ];
  }

  async latest(): Promise<{ readonly alerts: readonly LiveEvent[]; readonly complete: boolean }> {
    const { store, log } = this.#options;
    try {
      await this.#write();
      const rows = await store.db.selectFrom('alerts').select('event').orderBy('at', 'desc').orderBy('id', 'desc').limit(SHOWN).execute();
      return { alerts: rows.map(({ event }) => JSON.parse(event) as LiveEvent), complete: this.#waiting.length === 0 };
    } catch (error) {
      log.warn('the alerts of the gateways could not be read', { error: String(error) });
      return { alerts: this.#waiting.toReversed(), complete: false };
    }
  }

  /** Those older than the record keeps. */
  async prune(before: number): Promise<void> {
    await this.#options.store.db.deleteFrom('alerts').where('at', '<', before).execute();
  }

  async close(): Promise<void> {
    for (const stop of this.#stop) stop();
    await this.#write();
  }

  #add(event: LiveEvent): void {
    this.#waiting.push(event);
    if (this.#waiting.length > SHOWN) this.#waiting.shift();
    void this.#write();
  }

  /** Resolves when what waits is in the store, or cannot be now. */
  #write(): Promise<void> {
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = null;
    });
    return this.#writing;
  }

  async #writeAll(): Promise<void> {
    const { store, gateway, log } = this.#options;
    try {
      while (this.#waiting.length > 0 && store.downSince === null) {
        const events = this.#waiting;
        this.#waiting = [];
        try {
          await store.db
            .insertInto('alerts')
            .values(events.map((event) => ({ gateway, at: event.at, event: JSON.stringify(event) })))
            .execute();
        } catch (error) {
          this.#waiting = [...events, ...this.#waiting].slice(-SHOWN);
          throw error;
        }
        await this.#trim();
      }
    } catch (error) {
      log.warn('alerts could not be put where the other gateways show them', { error: String(error) });
    }
  }

  async #trim(): Promise<void> {
    const { store, gateway } = this.#options;
    await store.db
      .deleteFrom('alerts')
      .where('gateway', '=', gateway)
      .where('id', '<=', (db) =>
        db.selectFrom('alerts').select('id').where('gateway', '=', gateway).orderBy('id', 'desc').offset(KEPT).limit(1),
      )
      .execute();
  }
}

/** The latest alerts of this process, where there is no store. */
export class LocalAlertLog implements AlertLog {
  readonly #alerts: LiveEvent[] = [];

  constructor(events: Events) {
    events.listen((event) => {
      if (!isAlert(event)) return;
      this.#alerts.unshift(event);
      if (this.#alerts.length > SHOWN) this.#alerts.pop();
    });
  }

  latest(): Promise<{ readonly alerts: readonly LiveEvent[]; readonly complete: boolean }> {
    return Promise.resolve({ alerts: [...this.#alerts], complete: true });
  }
}

function isAlert({ type }: LiveEvent): boolean {
  return type === 'alert' || type === 'control.failed';
}

import type { Events, LiveEvent } from './model.ts';

/** Hands each event to whoever listens, in the order in which they came. */
export class EventBus implements Events {
  readonly #gateway: string;
  readonly #now: () => number;
  readonly #onError: (error: unknown) => void;
  readonly #listeners = new Set<(event: LiveEvent) => void>();

  /** @param now ms since the epoch. @param onError is told of a listener that threw; the others are not kept from the event. */
  constructor(gateway: string, now: () => number, onError: (error: unknown) => void) {
    this.#gateway = gateway;
    this.#now = now;
    this.#onError = onError;
  }

  emit(event: Omit<LiveEvent, 'at' | 'gateway'>): void {
    if (this.#listeners.size === 0) return;
    const whole: LiveEvent = { ...event, at: this.#now(), gateway: this.#gateway };
    for (const listener of this.#listeners) {
      try {
        listener(whole);
      } catch (error) {
        this.#onError(error);
      }
    }
  }

  listen(listener: (event: LiveEvent) => void): () => void {
    // Its own identity: the same function may listen twice.
    const own = (event: LiveEvent): void => listener(event);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }
}

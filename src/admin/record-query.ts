/** Reading the record on a thread of its own: a record of months takes longer than sessions could wait for the event loop. */
import { Worker } from 'node:worker_threads';

import { GatewayError } from '../errors.ts';
import type { SearchMatch, SearchQuery } from '../recording/search.ts';
import type { SessionDetail, SessionSummary } from '../recording/sessions.ts';

export type RecordQuestion =
  | { readonly kind: 'sessions'; readonly path: string; readonly limit: number }
  | { readonly kind: 'session'; readonly path: string; readonly sid: string }
  | { readonly kind: 'search'; readonly path: string; readonly query: SearchQuery; readonly limit: number };

export interface RecordAnswers {
  readonly sessions: readonly SessionSummary[];
  readonly session: SessionDetail | null;
  readonly search: { readonly matches: readonly SearchMatch[]; readonly more: boolean };
}

const MAX_MS = 60_000;
/** Each reads the disk and a core: more would only wait for each other. */
const MOST = 2;

/** Asks the record, at most two at once. */
export class RecordReader {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  async ask<K extends RecordQuestion['kind']>(question: Extract<RecordQuestion, { kind: K }>): Promise<RecordAnswers[K]> {
    if (this.#running >= MOST) {
      if (this.#waiting.length >= 50) throw busy();
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#running++;
    try {
      return (await run(question)) as RecordAnswers[K];
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }
}

function run(question: RecordQuestion): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./record-worker.ts', import.meta.url), { workerData: question });
    const timer = setTimeout(() => finish(() => reject(busy())), MAX_MS);
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      settle();
      void worker.terminate();
    };
    worker.once('message', (answer: unknown) => finish(() => resolve(answer)));
    worker.once('error', (cause) => finish(() => reject(cause)));
    worker.once('exit', () => finish(() => reject(new Error('the reader of the record ended without an answer'))));
  });
}

function busy(): GatewayError {
  return new GatewayError({
    code: 'record_busy',
    source: 'gateway',
    phase: 'record',
    retryable: true,
    publicMessage: 'the record takes too long to be read',
    hint: 'ask for less, or later',
  });
}

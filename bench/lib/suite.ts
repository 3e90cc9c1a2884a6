import { Bench, type FnOptions } from 'tinybench';
import { type Result, resultOf, type SuiteOutput } from './result.ts';

export interface SuiteOptions {
  /** Milliseconds that each bench runs. */
  readonly time: number;
  /** Only benches with this in their name; '' for all. */
  readonly filter: string;
}

/** A file of bench/micro: its default export. */
export type RunSuite = (suite: Suite) => Promise<void> | void;

export interface BenchOptions {
  /** Runs before each call, untimed: puts back what the call changes. */
  readonly before?: () => void;
  /** Bytes that one operation works on. */
  readonly bytes?: number;
  /** Operations that one call does. */
  readonly batch?: number;
}

/** Collects what the benches of one file find. Each call is timed by itself, so that p99 is that of calls. */
export class Suite {
  readonly name: string;
  readonly time: number;
  readonly #filter: string;
  readonly #results: Result[] = [];
  readonly #notes: string[] = [];

  constructor(name: string, options: SuiteOptions) {
    this.name = name;
    this.time = options.time;
    this.#filter = options.filter;
  }

  wants(what: string): boolean {
    return `${this.name}/${what}`.includes(this.#filter);
  }

  note(text: string): void {
    this.#notes.push(text);
  }

  /** Adds times that the bench took itself, nanoseconds per operation. */
  add(what: string, nanoseconds: readonly number[], options: BenchOptions = {}): void {
    this.#results.push(resultOf(`${this.name}/${what}`, nanoseconds, options));
  }

  sync(what: string, fn: () => void, options: BenchOptions = {}): void {
    if (!this.wants(what)) return;
    const bench = this.#bench();
    bench.add(what, fn, { ...hooks(options), async: false });
    bench.runSync();
    this.#take(bench, what, options);
  }

  async async(what: string, fn: () => Promise<void>, options: BenchOptions = {}): Promise<void> {
    if (!this.wants(what)) return;
    const bench = this.#bench();
    bench.add(what, fn, { ...hooks(options), async: true });
    await bench.run();
    this.#take(bench, what, options);
  }

  output(): SuiteOutput {
    return { results: this.#results, notes: this.#notes };
  }

  #bench(): Bench {
    const { time } = this;
    return new Bench({
      time,
      warmupTime: time,
      warmupIterations: 8,
      iterations: 16,
      timestampProvider: 'hrtimeNow',
      // Reading the clock costs about as much as masking a short row.
      subtractTimerOverhead: true,
      retainSamples: true,
      throws: true,
    });
  }

  #take(bench: Bench, what: string, options: BenchOptions): void {
    const result = bench.tasks[0]?.result;
    if (result?.state !== 'completed' || result.latency.samples === undefined) throw new Error(`${what}: no samples`);
    const { batch = 1 } = options;
    this.add(
      what,
      result.latency.samples.map((milliseconds) => (milliseconds * 1e6) / batch),
      options,
    );
  }
}

function hooks({ before }: BenchOptions): FnOptions {
  return before === undefined ? {} : { beforeEach: before };
}

import { availableParallelism } from 'node:os';
import { Piscina } from 'piscina';
import type { AnalyzeJob, AnalyzeResult, MaskJob, MaskJobResult } from './mask-worker.ts';

/** Worker threads that mask shared memory. Started at once, so that the first large reply does not wait for them. */
export class MaskPool {
  readonly size: number;
  readonly #piscina: Piscina;

  constructor(count: number | 'auto') {
    // One core stays with the event loop.
    this.size = count === 'auto' ? Math.max(1, availableParallelism() - 1) : count;
    this.#piscina = new Piscina({
      filename: new URL('./mask-worker.ts', import.meta.url).href,
      minThreads: this.size,
      maxThreads: this.size,
      recordTiming: false,
    });
  }

  run(job: MaskJob): Promise<MaskJobResult> {
    return this.#piscina.run(job) as Promise<MaskJobResult>;
  }

  /** Analyzes a long statement text. */
  analyze(job: AnalyzeJob): Promise<AnalyzeResult> {
    return this.#piscina.run(job, { name: 'analyze' }) as Promise<AnalyzeResult>;
  }

  /** Jobs that wait for a thread. */
  get queued(): number {
    return this.#piscina.queueSize;
  }

  async close(): Promise<void> {
    await this.#piscina.destroy();
  }
}

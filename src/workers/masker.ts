import { compileRules, maskCopy, maskRows, maskText, ruleNames } from '../../native/binding/index.js';
import { type DispatchMode, DispatchPolicy } from './dispatch.ts';
import type { MaskJob, MaskJobResult } from './mask-worker.ts';
import type { MaskPool } from './pool.ts';

export interface MaskRulesSpec {
  readonly keepLast: number;
  readonly keepFirst: 0 | 6 | 8;
  readonly optIn: readonly string[];
  readonly patterns: readonly { readonly id: string; readonly regex: string; readonly keepLast: number }[];
}

/** The scanner with its rules, inline on this thread or on the pool. One per gateway; stateless but for its counters. */
export class Masker {
  /** Native id of the rule set. */
  readonly rules: number;
  /** Names by index of the counts; one more count stands for values masked because of their column. */
  readonly ruleNames: readonly string[];
  readonly dispatch: DispatchPolicy;
  readonly counters = { inlineCalls: 0, inlineBytes: 0, pooledCalls: 0, pooledBytes: 0 };
  readonly #pool: MaskPool | null;

  /** Throws when a pattern does not compile, naming it. @param pool null keeps everything inline. */
  constructor(spec: MaskRulesSpec, mode: DispatchMode, pool: MaskPool | null) {
    this.rules = compileRules(JSON.stringify(spec));
    this.ruleNames = ruleNames(this.rules);
    this.#pool = pool;
    this.dispatch = new DispatchPolicy(pool === null ? 'inline' : mode);
  }

  newCounts(): Uint32Array {
    return new Uint32Array(this.ruleNames.length + 1);
  }

  /** Masks free text in place; returns the number of spans. */
  text(bytes: Buffer, off: number, len: number, counts: Uint32Array): number {
    return len === 0 ? 0 : maskText(this.rules, bytes, off, len, counts);
  }

  /** A short string of a peer's, masked: names, addresses, messages. Its spans are not counted. */
  string(words: string): string {
    const bytes = Buffer.from(words, 'utf8');
    return this.text(bytes, 0, bytes.length, this.newCounts()) > 0 ? bytes.toString('utf8') : words;
  }

  /** Masks whole DataRow messages in place; returns the new length, -1 when the run is malformed. */
  rows(plan: number, bytes: Buffer, off: number, len: number, counts: Uint32Array): number {
    this.counters.inlineCalls++;
    this.counters.inlineBytes += len;
    return maskRows(this.rules, plan, bytes, off, len, counts);
  }

  /** Masks whole CopyData messages in place; as `rows`, and -2 when the run ends inside a row. */
  copy(plan: number, format: number, first: boolean, bytes: Buffer, off: number, len: number, counts: Uint32Array): number {
    this.counters.inlineCalls++;
    this.counters.inlineBytes += len;
    return maskCopy(this.rules, plan, format, first, bytes, off, len, counts);
  }

  /** Whether `len` bytes are worth a round trip to the pool. */
  goesToPool(len: number): boolean {
    return this.#pool !== null && this.dispatch.goesToPool(len);
  }

  /** Masks on the pool. The bytes belong to the worker until the promise settles. */
  async rowsOnPool(plan: number, bytes: Buffer, off: number, len: number, counts: Uint32Array): Promise<number> {
    if (this.#pool === null) return this.rows(plan, bytes, off, len, counts);
    this.counters.pooledCalls++;
    this.counters.pooledBytes += len;
    const job: MaskJob = {
      memory: bytes.buffer as SharedArrayBuffer,
      offset: bytes.byteOffset + off,
      length: len,
      rules: this.rules,
      plan,
      counts: counts.length,
    };
    const result: MaskJobResult = await this.#pool.run(job);
    for (let i = 0; i < counts.length; i++) counts[i] = (counts[i] ?? 0) + (result.counts[i] ?? 0);
    return result.length;
  }
}

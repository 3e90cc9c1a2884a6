import { analyzeSql, lineage, maskRows } from '../../native/binding/index.js';

/** Shared memory and native ids only: nothing of the data is copied to a worker. */
export interface MaskJob {
  readonly memory: SharedArrayBuffer;
  readonly offset: number;
  readonly length: number;
  readonly rules: number;
  readonly plan: number;
  /** Size of the counts array. */
  readonly counts: number;
}

export interface MaskJobResult {
  readonly length: number;
  readonly counts: Uint32Array;
}

export default function mask(job: MaskJob): MaskJobResult {
  const counts = new Uint32Array(job.counts);
  if (job.length === 0) return { length: 0, counts };
  const bytes = Buffer.from(job.memory, job.offset, job.length);
  return { length: maskRows(job.rules, job.plan, bytes, 0, job.length, counts), counts };
}

export interface AnalyzeJob {
  readonly memory: SharedArrayBuffer;
  readonly length: number;
  /** Native id of the catalog that lineage is read under. */
  readonly catalog: number;
}

/** Both as the native side gives them: JSON. */
export interface AnalyzeResult {
  readonly analysis: string;
  readonly lineage: string;
}

/** Parses a statement text that is too long for the event loop. */
export function analyze(job: AnalyzeJob): AnalyzeResult {
  const bytes = Buffer.from(job.memory, 0, job.length);
  return { analysis: analyzeSql(bytes, 0, job.length), lineage: lineage(job.catalog, bytes, 0, job.length) };
}

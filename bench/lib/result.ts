/** What one bench found. Times are nanoseconds per operation. */
export interface Result {
  /** `suite/what`, unique. */
  readonly name: string;
  readonly samples: number;
  readonly median: number;
  readonly p99: number;
  /** Operations that one sample covers: from 2 on, p99 is that of batches and not of single operations. */
  readonly batch: number;
  /** Bytes that one operation works on; 0 when a speed in bytes says nothing. */
  readonly bytes: number;
}

export interface SuiteOutput {
  readonly results: readonly Result[];
  /** Findings that are no times: counts, the crossover, what was asserted. */
  readonly notes: readonly string[];
}

/** What `--json` writes. */
export interface BenchFile extends SuiteOutput {
  readonly date: string;
  readonly machine: Machine;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  readonly platform: string;
  /** One-minute load average before and after the run. */
  readonly loadBefore: number;
  readonly loadAfter: number;
}

/** The value below which the fraction `q` of the sorted samples lies. */
export function quantile(sorted: readonly number[], q: number): number {
  if (sorted.length === 0) throw new Error('no samples');
  const at = (sorted.length - 1) * q;
  const low = sorted[Math.floor(at)] ?? 0;
  const high = sorted[Math.ceil(at)] ?? low;
  return low + (high - low) * (at - Math.floor(at));
}

export function resultOf(name: string, nanoseconds: readonly number[], options: { bytes?: number; batch?: number } = {}): Result {
  const sorted = [...nanoseconds].sort((a, b) => a - b);
  const { bytes = 0, batch = 1 } = options;
  return { name, samples: sorted.length, median: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), batch, bytes };
}

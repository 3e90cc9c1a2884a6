/** `auto` measures and chooses; the others pin the choice. */
export type DispatchMode = 'auto' | 'inline' | 'pool';

export interface Calibration {
  /** Nanoseconds the scanner needs for a byte, inline. */
  readonly scanNsPerByte: number;
  /** Nanoseconds from handing a job to the pool to having its result, idle. */
  readonly roundTripNs: number;
}

/** Even when measured as cheaper, a hand-off of less than this is not worth the wake-up of another core. */
const LEAST_POOL_BYTES = 16 * 1024;

/**
 * Decides for each chunk whether the pool pays: scanning it inline would hold the event loop longer than a round trip takes.
 * Until `calibrate` has run, `auto` stays inline.
 */
export class DispatchPolicy {
  readonly mode: DispatchMode;
  #threshold = Number.POSITIVE_INFINITY;
  #calibration: Calibration | null = null;

  constructor(mode: DispatchMode) {
    this.mode = mode;
    if (mode === 'pool') this.#threshold = 0;
  }

  /** Bytes from which a chunk goes to the pool. */
  get threshold(): number {
    return this.#threshold;
  }

  get calibration(): Calibration | null {
    return this.#calibration;
  }

  goesToPool(bytes: number): boolean {
    return bytes >= this.#threshold;
  }

  apply(calibration: Calibration): void {
    this.#calibration = calibration;
    if (this.mode !== 'auto') return;
    this.#threshold = Math.max(LEAST_POOL_BYTES, Math.ceil(calibration.roundTripNs / calibration.scanNsPerByte));
  }
}

/**
 * Measures both ways in this process.
 * @param scan masks a sample of `sampleBytes` bytes inline. @param roundTrip hands an empty job to the pool.
 * @param now nanoseconds of a monotonic clock.
 */
export async function calibrate(
  scan: () => void,
  sampleBytes: number,
  roundTrip: () => Promise<unknown>,
  now: () => bigint,
): Promise<Calibration> {
  const scans: number[] = [];
  for (let i = 0; i < 32; i++) {
    const from = now();
    scan();
    scans.push(Number(now() - from));
  }
  const trips: number[] = [];
  for (let i = 0; i < 32; i++) {
    const from = now();
    await roundTrip();
    trips.push(Number(now() - from));
  }
  return { scanNsPerByte: Math.max(0.01, median(scans) / sampleBytes), roundTripNs: median(trips) };
}

function median(values: number[]): number {
  values.sort((a, b) => a - b);
  return values[values.length >> 1] ?? 0;
}

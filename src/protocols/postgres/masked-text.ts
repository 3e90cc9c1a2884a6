import { jsonBytes } from '../../recording/json.ts';
import type { Masker } from '../../workers/masker.ts';

/** Texts up to this length are masked in memory that is used again and again. */
const SCRATCH_BYTES = 1024;
/** Up to this length bytes are copied one by one: `set` needs a view of its source, which costs more. */
const NEAR = 48;

/** Bytes of the client's as JSON strings for the record, masked in a copy: what is forwarded stays as it is. */
export class MaskedText {
  readonly #masker: Masker;
  readonly #counts: Uint32Array;
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

  /** @param counts are left as they were found: what is masked for the record is not masked for the client. All 0. */
  constructor(masker: Masker, counts: Uint32Array) {
    this.#masker = masker;
    this.#counts = counts;
  }

  /** `[from, to)` as a JSON string. @param cover what changes the copy before it is masked. */
  json(bytes: Uint8Array, from: number, to: number, cover?: (copy: Uint8Array) => void): string {
    const length = to - from;
    const copy = length <= SCRATCH_BYTES ? this.#scratch : Buffer.allocUnsafe(length);
    if (length <= NEAR) for (let i = 0; i < length; i++) copy[i] = bytes[from + i] ?? 0;
    else copy.set(bytes.subarray(from, to));
    cover?.(copy.subarray(0, length));
    if (this.#masker.text(copy, 0, length, this.#counts) > 0) this.#counts.fill(0);
    return jsonBytes(copy, 0, length);
  }
}

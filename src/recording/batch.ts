/** The lines of one write, collected in one buffer. */
import type { RecordWaiter } from './model.ts';

/** Larger buffers are not kept once they are written. */
const KEPT_BYTES = 4 << 20;
const INITIAL_BYTES = 256 << 10;

/** UTF-8 bytes that a UTF-16 unit can become at most. */
const BYTES_PER_UNIT = 3;

export class Batch {
  buf: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  used = 0;
  lines = 0;
  waiters: RecordWaiter[] = [];
  /** The batch starts a new segment, whose header is its first line. */
  startsSegment = false;

  /** Adds text at the end of the batch. */
  text(text: string): void {
    if (this.buf.length - this.used < text.length * BYTES_PER_UNIT) this.#reserve(Buffer.byteLength(text));
    this.used += this.buf.write(text, this.used);
  }

  /** Adds bytes as base64. */
  base64(bytes: Uint8Array, off: number, len: number): void {
    const whole = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const text = whole.toString('base64', off, off + len);
    if (this.buf.length - this.used < text.length) this.#reserve(text.length);
    this.used += this.buf.write(text, this.used, 'latin1');
  }

  /** Makes it empty for another round. The waiters must have been taken. */
  reset(): void {
    if (this.buf.length > KEPT_BYTES) this.buf = Buffer.allocUnsafeSlow(INITIAL_BYTES);
    this.used = 0;
    this.lines = 0;
    this.waiters = [];
    this.startsSegment = false;
  }

  #reserve(bytes: number): void {
    if (this.buf.length - this.used >= bytes) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.buf.length * 2, this.used + bytes));
    this.buf.copy(larger, 0, 0, this.used);
    this.buf = larger;
  }
}

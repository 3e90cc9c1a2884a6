import { GatewayError } from '../../errors.ts';
import type { Channel, ChannelHandler } from '../../io/channel.ts';
import { Outbox } from '../../io/outbox.ts';
import { Back } from './messages.ts';
import type { RowStream } from './row-stream.ts';
import type { ServerMessages } from './server-messages.ts';
import type { SessionState } from './session-state.ts';

/** Above this much waiting for the client, the target is not read any further: a slow client slows only itself. */
const CLIENT_HIGH_WATER = 1024 * 1024;
/** Rows beyond this are masked as a stream instead of in one piece. */
const WHOLE_ROW_BYTES = 1024 * 1024;
/** Any other message of the server is refused beyond this. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
/** A COPY row that spans messages is gathered up to this. */
const MAX_COPY_ROW = 4 * 1024 * 1024;

/** Server to client: frames what came, masks rows in place, records what the user sees, and passes it on. */
export class ServerPump implements ChannelHandler {
  readonly #state: SessionState;
  readonly #messages: ServerMessages;
  readonly #onGone: (error: Error | null) => void;
  readonly #onProgress: () => void;
  /** A row too large to hold, while it passes. */
  #stream: RowStream | null = null;
  /** A worker owns part of the slab: nothing may be taken until it is done. */
  #busy = false;

  constructor(state: SessionState, messages: ServerMessages, onProgress: () => void, onGone: (error: Error | null) => void) {
    this.#state = state;
    this.#messages = messages;
    this.#onProgress = onProgress;
    this.#onGone = onGone;
  }

  onBytes(channel: Channel): boolean {
    if (this.#busy || this.#state.ended) return false;
    channel.want = 0;
    const out = new Outbox(channel.slab);
    const before = this.#state.replies.length;
    const copying = this.#state.copyIn;
    this.#messages.beginPass();
    try {
      try {
        this.#take(channel, out);
      } finally {
        // What was masked before a failure is the client's.
        this.#send(out);
      }
    } catch (error) {
      this.#messages.fail(error);
      return false;
    }
    if ((before > 0 && this.#state.replies.length === 0) || this.#state.copyIn !== copying) this.#onProgress();
    return !this.#busy && this.#flowing();
  }

  onDrain(): void {
    this.#onProgress();
  }

  /** The client or the record can take more. */
  resume(): void {
    if (!this.#busy && this.#flowing()) this.#state.upstream.resume();
  }

  onEnd(channel: Channel): void {
    channel.finish();
  }

  onClose(_channel: Channel, error: Error | null): void {
    this.#stream = null;
    this.#onGone(error);
  }

  #flowing(): boolean {
    const { client, services } = this.#state;
    if (client.queued > CLIENT_HIGH_WATER) return false;
    const { recorder } = services;
    if (recorder.pendingBytes <= recorder.highWater) return true;
    recorder.onceDrained(() => this.resume());
    return false;
  }

  #take(channel: Channel, out: Outbox): void {
    const { bytes } = channel.slab;
    while (channel.end - channel.start >= 5) {
      if (this.#stream !== null) {
        if (!this.#feed(channel, out)) return;
        continue;
      }
      const type = bytes[channel.start] ?? 0;
      const length = bytes.readUInt32BE(channel.start + 1);
      if (length < 4) throw broken('a message with an impossible length');
      const total = length + 1;
      const row = type === Back.DataRow || type === Back.CopyData;
      if (channel.end - channel.start < total) {
        if (row && total > WHOLE_ROW_BYTES) {
          this.#stream = this.#messages.openStream(type, total - 5);
          out.pass(channel.start, channel.start + 5);
          channel.start += 5;
          continue;
        }
        if (total > MAX_MESSAGE_BYTES) throw broken(`a message of ${total} bytes`);
        channel.want = total;
        return;
      }
      if (row) {
        if (!this.#rows(channel, type, out)) return;
      } else {
        this.#messages.take(type, bytes, channel.start, channel.start + total, out);
        channel.start += total;
      }
    }
    if (this.#stream !== null && channel.end > channel.start) this.#feed(channel, out);
  }

  /** Masks the run of whole messages of one type that begins at `start`. False when it has to wait. */
  #rows(channel: Channel, type: number, out: Outbox): boolean {
    const { bytes } = channel.slab;
    const from = channel.start;
    let to = from;
    let count = 0;
    while (channel.end - to >= 5 && bytes[to] === type) {
      const next = to + 1 + bytes.readUInt32BE(to + 1);
      if (next > channel.end || next <= to + 4) break;
      to = next;
      count++;
    }
    const { masker } = this.#state.services;
    if (type === Back.DataRow && masker.goesToPool(to - from)) {
      this.#onPool(channel, from, to, count, out);
      return false;
    }
    const length = this.#messages.maskRun(type, bytes, from, to, count);
    if (length === -2) {
      // A COPY row that goes on in a later message.
      if (to - from > MAX_COPY_ROW)
        throw new GatewayError({
          code: 'mask_failed',
          source: 'upstream',
          phase: 'mask',
          publicMessage: 'a COPY row is longer than the gateway can mask',
        });
      channel.want = to - from + 5;
      if (to < channel.end && bytes[to] !== type) throw broken('a COPY that ends inside a row');
      return false;
    }
    out.pass(from, from + length);
    channel.start = to;
    return true;
  }

  #onPool(channel: Channel, from: number, to: number, count: number, out: Outbox): void {
    const { slab } = channel;
    const { masker } = this.#state.services;
    const { plan, op } = this.#messages.rowTarget();
    this.#busy = true;
    slab.pin();
    channel.start = to;
    this.#send(out);
    masker.rowsOnPool(plan.id, slab.bytes, from, to - from, this.#state.counts).then(
      (length) => {
        this.#busy = false;
        try {
          this.#messages.countRows(op, plan, count, length, to - from);
          const done = new Outbox(slab);
          done.pass(from, from + length);
          this.#send(done);
        } catch (error) {
          this.#messages.fail(error);
        }
        slab.unpin();
        if (this.#flowing()) this.#state.upstream.resume();
      },
      (error: unknown) => {
        this.#busy = false;
        slab.unpin();
        this.#messages.fail(
          new GatewayError({
            code: 'mask_failed',
            source: 'gateway',
            phase: 'mask',
            cause: error,
            publicMessage: 'the reply could not be masked, so it was withheld',
          }),
        );
      },
    );
  }

  /** Moves a streamed row on; false when more bytes are needed. */
  #feed(channel: Channel, out: Outbox): boolean {
    const stream = this.#stream;
    if (stream === null) return true;
    const available = Math.min(channel.end - channel.start, stream.remaining);
    const final = stream.feed(channel.slab.bytes, channel.start, available);
    out.pass(channel.start, channel.start + final);
    channel.start += final;
    if (stream.remaining === 0) {
      this.#messages.closeStream(stream);
      this.#stream = null;
      return true;
    }
    return false;
  }

  #send(out: Outbox): void {
    this.#messages.recordPass(out);
    const { client } = this.#state;
    if (!out.empty && !client.closed) out.writeTo(client);
  }
}

export function broken(what: string): GatewayError {
  return new GatewayError({ code: 'upstream_protocol', source: 'upstream', phase: 'frame', publicMessage: `the target sent ${what}` });
}

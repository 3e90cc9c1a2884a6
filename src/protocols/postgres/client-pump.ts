import { formatSize } from '../../config/values.ts';
import { GatewayError } from '../../errors.ts';
import type { Channel, ChannelHandler } from '../../io/channel.ts';
import { Outbox } from '../../io/outbox.ts';
import type { RecordWaiter } from '../../recording/model.ts';
import { ClientGate } from './client-gate.ts';
import type { ClientMessages } from './client-messages.ts';
import { Front, message } from './messages.ts';
import type { SessionState } from './session-state.ts';

/** Above this much waiting for the target, the client is not read any further. */
const UPSTREAM_HIGH_WATER = 1024 * 1024;
/** More unanswered messages than this, and the client waits: each costs memory. */
const MAX_OUTSTANDING = 50_000;
/** Unprocessed bytes that may gather while the client has to wait. */
const STALLED_BYTES = 256 * 1024;

/** Client to server: frames what came, has it classified and recorded, and forwards it when the record is on disk. */
export class ClientPump implements ChannelHandler, RecordWaiter {
  readonly #state: SessionState;
  readonly #messages: ClientMessages;
  readonly #gate: ClientGate;
  /** Passes that wait for the record, oldest first. */
  readonly #waiting: Outbox[] = [];
  #stalled = false;
  /** Waits for the record to have written what it has. */
  #awaitsRecord = false;
  #ended = false;
  readonly #onGone: (error: Error | null) => void;

  constructor(state: SessionState, messages: ClientMessages, onGone: (error: Error | null) => void) {
    this.#state = state;
    this.#messages = messages;
    this.#gate = new ClientGate(state, (error) => messages.fail(error));
    this.#onGone = onGone;
  }

  onBytes(channel: Channel): boolean {
    const state = this.#state;
    if (state.ended) return false;
    state.lastActive = state.services.now();
    const { bytes } = channel.slab;
    const out = new Outbox(channel.slab);
    const { end } = channel;
    let at = channel.start;
    let recorded = false;
    channel.want = 0;
    this.#stalled = false;
    try {
      while (end - at >= 5) {
        const length = bytes.readUInt32BE(at + 1);
        const type = bytes[at] ?? 0;
        if (length < 4) throw invalid(`invalid length of message type ${type}`);
        // When it is refused, the rest of it is awaited.
        if (end - at <= length) channel.want = length + 1;
        if (length > state.limits.messageBytes) throw tooLong('message', length, 'message_bytes', state.limits.messageBytes);
        if ((type === Front.Query || type === Front.Parse) && length > state.limits.statementBytes + 8)
          throw tooLong('statement', length, 'statement_bytes', state.limits.statementBytes);
        const total = length + 1;
        if (end - at < total) break;
        if (this.#gate.mustWait(type, bytes, at, total)) {
          this.#stalled = true;
          // What waits for an answer must not wait for a flush that never comes.
          if (state.replies.length > 0) out.insert(message(Front.Flush));
          break;
        }
        recorded = this.#messages.take(type, bytes, at, total, out) || recorded;
        if (this.#messages.held) {
          this.#stalled = true;
          if (state.replies.length > 0) out.insert(message(Front.Flush));
          break;
        }
        at += total;
      }
      channel.start = at;
      if (!out.empty) this.#release(out, recorded);
      if (this.#ended && !this.#stalled) this.#finish();
    } catch (error) {
      channel.start = at;
      this.#messages.fail(error);
      return false;
    }
    if (this.#mustPause()) return false;
    return !this.#stalled || end - at < STALLED_BYTES;
  }

  /** Something that a stalled or stopped client waited for has happened. */
  proceed(): void {
    const { client, ended } = this.#state;
    if (ended || this.#mustPause()) return;
    if (this.#stalled) client.poke();
    client.resume();
  }

  /** Whether the target, its answers or the record are so far behind that the client must not be read; each of them calls `proceed`. */
  #mustPause(): boolean {
    const { upstream, replies, services } = this.#state;
    if (upstream.queued > UPSTREAM_HIGH_WATER || replies.length > MAX_OUTSTANDING) return true;
    const { recorder } = services;
    if (recorder.pendingBytes <= recorder.highWater) return false;
    if (!this.#awaitsRecord) {
      this.#awaitsRecord = true;
      recorder.onceDrained(() => {
        this.#awaitsRecord = false;
        this.proceed();
      });
    }
    return true;
  }

  /** `seq`s up to the oldest waiting pass are on disk, or the record has failed. */
  onRecorded(error: Error | null): void {
    const out = this.#waiting.shift();
    if (out === undefined) return;
    if (this.#state.ended) {
      // Its operations have got their results already: unknown.
    } else if (error === null) {
      this.#state.services.failpoints.hit('postgres.synced-not-forwarded');
      this.#forward(out);
      this.#state.services.failpoints.hit('postgres.forwarded');
    } else {
      this.#state.fail(
        error instanceof GatewayError
          ? error
          : new GatewayError({
              code: 'record_failed',
              source: 'gateway',
              phase: 'record',
              cause: error,
              publicMessage: 'the operation could not be recorded, so it was not forwarded',
            }),
      );
    }
    out.slab.unpin();
  }

  onEnd(): void {
    this.#ended = true;
    if (!this.#stalled) this.#finish();
  }

  onDrain(): void {
    this.#state.upstream.resume();
  }

  onClose(_channel: Channel, error: Error | null): void {
    this.#onGone(error);
  }

  #release(out: Outbox, recorded: boolean): void {
    if (!recorded && this.#waiting.length === 0) {
      this.#forward(out);
      return;
    }
    out.slab.pin();
    this.#waiting.push(out);
    this.#state.services.recorder.whenRecorded(this);
  }

  #forward(out: Outbox): void {
    const { upstream } = this.#state;
    if (!upstream.closed) out.writeTo(upstream);
  }

  /** The client sends nothing more: the server is told so once everything before it went out. */
  #finish(): void {
    this.#state.terminated = true;
    const out = new Outbox(this.#state.client.slab);
    out.insert(message(Front.Terminate));
    this.#release(out, false);
  }
}

function invalid(publicMessage: string): GatewayError {
  return new GatewayError({ code: 'frame_invalid', source: 'client', phase: 'frame', publicMessage });
}

function tooLong(what: string, length: number, key: string, limit: number): GatewayError {
  return new GatewayError({
    code: 'frame_too_large',
    source: 'client',
    phase: 'frame',
    publicMessage: `${what} of ${length} bytes is longer than the gateway takes`,
    hint: `the limit is ${formatSize(limit)}, limits.${key} in the gateway's configuration`,
  });
}

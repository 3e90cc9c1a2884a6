import { GatewayError } from '../errors.ts';
import type { Recorder } from '../recording/model.ts';
import type { Events, LiveEvent } from './model.ts';

/** Structured log; never a payload, never a secret. */
export interface AccessLog {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** What happened to whom: the parts that the record and the events share. */
export interface Happening {
  readonly type: 'approval' | 'grant' | 'revocation' | 'config';
  readonly event: string;
  readonly sid: string;
  readonly user: string;
  readonly resource: string;
}

/** Every change of who may do what, in the record and among the events. */
export class Audit {
  readonly #recorder: Recorder;
  readonly #events: Events;
  readonly #log: AccessLog;

  constructor(recorder: Recorder, events: Events, log: AccessLog) {
    this.#recorder = recorder;
    this.#events = events;
    this.#log = log;
  }

  /** Throws GatewayError `record_failed`: what could not be recorded must not be done. */
  check(): void {
    const { failure } = this.#recorder;
    if (failure === null) return;
    throw new GatewayError({
      code: 'record_failed',
      source: 'gateway',
      phase: 'record',
      publicMessage: 'the record has failed, so nothing can be changed',
      hint: 'tell whoever runs the gateway',
      cause: failure,
    });
  }

  /**
   * One line and one event. `line` are further members of the line, `detail` of the event; both are masked already. A line that the record
   * does not take is an error in the log: the change is in the store by then.
   */
  note(what: Happening, line: Readonly<Record<string, unknown>>, detail: LiveEvent['detail']): void {
    const type = what.type === 'approval' || what.type === 'grant' ? 'approval' : 'config';
    let seq = 0;
    try {
      const name = what.type === 'approval' || what.type === 'config' ? what.event : `${what.type}.${what.event}`;
      seq = this.#recorder.append(type, what.sid, JSON.stringify({ event: name, ...line }).slice(1, -1));
    } catch (error) {
      this.#log.error('a change of access could not be recorded', { event: `${what.type}.${what.event}`, error: String(error) });
    }
    this.#events.emit({
      type: what.type,
      sid: what.sid,
      user: what.user,
      resource: what.resource,
      line: seq,
      detail: { event: what.event, ...detail },
    });
  }

  /** Resolves when every line up to now is safe. Throws GatewayError `record_failed`. */
  recorded(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#recorder.whenRecorded({ onRecorded: (error) => (error === null ? resolve() : reject(error)) });
    });
  }
}

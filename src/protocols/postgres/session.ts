import { cardsOf } from '../../access/alerts.ts';
import type { ApprovalMode, LiveSession } from '../../access/model.ts';
import type { Resource } from '../../config/model.ts';
import { GatewayError } from '../../errors.ts';
import { Channel } from '../../io/channel.ts';
import type { Principal, Target } from '../../policy/model.ts';
import { jsonString } from '../../recording/json.ts';
import type { ProtocolServices } from '../protocol.ts';
import { ApprovalGate } from './approval-gate.ts';
import type { Cancellable } from './cancel.ts';
import type { Catalog } from './catalog.ts';
import type { Classifier } from './classifier.ts';
import { ClientMessages } from './client-messages.ts';
import { ClientPump } from './client-pump.ts';
import type { Estimator } from './estimate.ts';
import { PgLiveSession } from './live-session.ts';
import type { ClientConnection } from './login.ts';
import { terminate } from './messages.ts';
import { maskCounts } from './operation.ts';
import { ServerMessages } from './server-messages.ts';
import { ServerPump } from './server-pump.ts';
import { SessionState } from './session-state.ts';
import { cancelRequest } from './startup.ts';
import { dial, type Upstream } from './upstream.ts';
import { wireError } from './wire-error.ts';

export interface SessionOptions {
  readonly sid: string;
  readonly services: ProtocolServices;
  readonly principal: Principal;
  readonly target: Target;
  readonly resource: Resource;
  /** Where the client is. */
  readonly source: string;
  readonly approvalMode: ApprovalMode;
  /** What the session is for, masked; '' when the client did not say. */
  readonly reason: string;
  /** The search_path that the client asked for at its log-in; absent when it asked for none. */
  readonly pathAtStart?: string;
  /** Ids of the grants that it stands on. */
  readonly grants: readonly string[];
  /** How many rows something would touch, for approvers. */
  readonly estimator: Pick<Estimator, 'estimate'>;
  readonly classifier: () => Classifier;
  readonly catalog: Catalog;
  readonly connection: ClientConnection;
  readonly upstream: Upstream;
  readonly onEnd: (session: PgSession) => void;
}

/** One client on one target connection, from its start line in the record to its end line. */
export class PgSession implements Cancellable {
  readonly state: SessionState;
  readonly live: LiveSession;
  readonly #options: SessionOptions;
  readonly #clientPump: ClientPump;
  readonly #serverMessages: ServerMessages;
  readonly #approvals: ApprovalGate;
  readonly #startedAt: number;
  #ended = false;
  #draining = false;

  constructor(options: SessionOptions) {
    const { services, connection, upstream } = options;
    this.#options = options;
    this.#startedAt = services.now();
    this.state = new SessionState({ ...options, parameters: upstream.parameters, fail: (error) => this.fail(error) });
    const { state } = this;
    state.lastActive = this.#startedAt;
    this.#approvals = new ApprovalGate(
      state,
      (operation) => options.estimator.estimate(operation, state.parameters.get('search_path')),
      () => {
        state.client.poke();
        state.client.resume();
      },
    );
    this.live = new PgLiveSession(state, this.#approvals, Date.now(), options.grants, (error) => this.fail(error));
    this.#clientPump = new ClientPump(state, new ClientMessages(state, this.#approvals), (error) => this.#clientGone(error));
    this.#serverMessages = new ServerMessages(state);
    const serverPump = new ServerPump(
      state,
      this.#serverMessages,
      () => this.#progress(),
      (error) => this.#upstreamGone(error),
    );
    const { slabs, counters } = services;
    state.upstream = upstream.secure
      ? Channel.copying(upstream.socket, upstream.rest, slabs, counters, serverPump)
      : Channel.plain(upstream.socket, upstream.rest, slabs, counters, serverPump);
    const clientPump = this.#clientPump;
    const clientHandler = {
      onBytes: (channel: Channel) => clientPump.onBytes(channel),
      onEnd: () => {
        state.clientEnded = true;
        // Who is gone gets no answer: then nothing that waits may run.
        if (this.#approvals.waiting) this.#clientGone(null);
        else clientPump.onEnd();
      },
      onDrain: () => serverPump.resume(),
      onClose: (channel: Channel, error: Error | null) => clientPump.onClose(channel, error),
    };
    state.client = connection.secure
      ? Channel.copying(connection.socket, connection.rest, slabs, counters, clientHandler)
      : Channel.plain(connection.socket, connection.rest, slabs, counters, clientHandler);
  }

  /** Begins to pump. `greeting` (authentication, parameters, key, ready) goes out first. */
  open(greeting: Uint8Array): void {
    this.state.client.writeOwned(greeting);
    this.state.upstream.open();
    this.state.client.open();
  }

  /** Withdraws what waits for approval, else asks the server to cancel what runs, with the server's own key. Recorded first. */
  cancel(source: string): void {
    const { services, sid } = this.state;
    const { recorder } = services;
    const intent = recorder.append('intent', sid, `"kind":"cancel","source":${jsonString(source)}`);
    const result = (members: string): void => {
      if (recorder.failure === null) recorder.append('result', sid, `"intent":${intent},${members}`);
    };
    recorder.whenRecorded({
      onRecorded: (error) => {
        if (error !== null) return;
        // What has not reached the target cannot be cancelled there.
        if (this.#approvals.cancel()) result('"status":"ok"');
        else
          this.#cancelUpstream().then(
            () => result('"status":"ok"'),
            () => result('"status":"error","code":"upstream_unreachable"'),
          );
      },
    });
  }

  async #cancelUpstream(): Promise<void> {
    const { upstream, resource, services, sid } = this.#options;
    try {
      const { socket, tls } = await dial(resource, services.config.limits.loginSeconds * 1000);
      (tls ?? socket).end(cancelRequest(upstream.pid, upstream.secret));
    } catch (cause) {
      services.log.warn('cancel could not be delivered', { sid, error: String(cause) });
      throw cause;
    }
  }

  /** Ends the session with FATAL: after it, nothing of either side passes any more. */
  fail(error: GatewayError): void {
    if (this.#ended) return;
    const { services, sid, client } = this.state;
    services.log[error.code === 'shutting_down' ? 'info' : 'warn']('session ended by the gateway', {
      sid,
      code: error.code,
      phase: error.phase,
      error: error.cause === undefined ? error.message : `${error.message}: ${String(error.cause)}`,
    });
    if (!client.closed) client.writeOwned(wireError(error, 'FATAL'));
    // Whoever is thrown out leaves nothing running behind.
    if (this.state.replies.length > 0 && !this.state.upstream.closed) this.#cancelUpstream().catch(() => {});
    this.#end(error.code, error.source === 'gateway' ? 'aborted' : 'unknown');
  }

  /** Ends the session when nothing is in flight, at once when it is idle. */
  drain(): void {
    this.#draining = true;
    if (this.state.replies.length === 0) this.#shutDown();
  }

  kill(): void {
    this.#shutDown();
  }

  #shutDown(): void {
    this.fail(
      new GatewayError({ code: 'shutting_down', source: 'gateway', phase: 'shutdown', publicMessage: 'the gateway is shutting down' }),
    );
  }

  #progress(): void {
    if (this.#draining && this.state.replies.length === 0) this.#shutDown();
    else this.#clientPump.proceed();
  }

  #clientGone(error: Error | null): void {
    this.#end(error === null ? 'client-closed' : 'client-lost');
  }

  #upstreamGone(error: Error | null): void {
    if (this.#ended) return;
    const ending = this.#serverMessages.ending || this.state.client.closed;
    if (this.state.terminated) this.#end('client-closed');
    else if (ending || (error === null && !this.live.busy)) this.#end('upstream-closed');
    else
      this.fail(
        new GatewayError({
          code: 'upstream_lost',
          source: 'upstream',
          phase: 'forward',
          publicMessage: this.#approvals.waiting
            ? 'the connection to the target was lost; what waited for approval has not run'
            : 'the connection to the target was lost; the outcome of what was running is unknown',
        }),
      );
  }

  /** @param outcome of what was under way: `aborted` where it was the gateway that cut it short. */
  #end(reason: string, outcome: 'unknown' | 'aborted' = 'unknown'): void {
    if (this.#ended) return;
    this.#ended = true;
    this.state.ended = true;
    const { services, sid, client, upstream } = this.state;
    if (!upstream.closed) {
      upstream.writeOwned(terminate());
      upstream.finish();
    }
    // A client may still be sending what it was refused for: with that unread, a reset would take its last words.
    client.close();
    setTimeout(() => upstream.destroy(), 2000).unref();
    try {
      this.#recordEnd(reason, outcome);
    } catch (error) {
      // The record takes nothing more: the session is over all the same, and the others are not to suffer for it.
      services.log.error('the end of a session could not be recorded', { sid, error: String(error) });
    }
    this.#options.onEnd(this);
  }

  #recordEnd(reason: string, outcome: 'unknown' | 'aborted'): void {
    const { services, sid, replies, masked } = this.state;
    this.#approvals.lose();
    for (let reply = replies.shift(); reply !== undefined; reply = replies.shift()) {
      const { op } = reply;
      if (op?.settle(outcome, services.now()) === true && services.recorder.failure === null) {
        services.recorder.append('result', sid, op.resultMembers(services.masker.ruleNames));
      }
    }
    if (services.recorder.failure === null) {
      const seconds = Math.round(services.now() - this.#startedAt) / 1000;
      const line = services.recorder.append(
        'session',
        sid,
        `"event":"end","reason":${jsonString(reason)},"ops":${this.state.ops},"denied":${this.state.denied},"seconds":${seconds},"masked":${maskCounts(masked, services.masker.ruleNames)}`,
      );
      const { principal, target, ops, denied } = this.state;
      services.access.events.emit({
        type: 'session.end',
        sid,
        user: principal.name,
        resource: target.resource,
        line,
        detail: { reason, operations: ops, denied, seconds, issuer: principal.issuer, cards: cardsOf(this.live.masked) },
      });
    }
  }
}

import type { HttpRequest, HttpResponse, TemplatedApp, us_socket_context_t, WebSocket } from 'uWebSockets.js';

import type { LiveEvent } from '../access/model.ts';
import type { Authentication, Caller } from './authentication.ts';
import { questions } from './authorization.ts';
import type { ClientAddress } from './client-address.ts';
import { errorReply, refuse } from './errors.ts';
import { type ApiReply, copyRequest } from './http.ts';
import { type ApiServices, withGrants } from './services.ts';

/** Codes that a stream is closed with (RFC 6455, 7.4: 4000 and above are the application's own). */
export const closeCodes = { goingAway: 1001, noLongerAllowed: 4001, tooSlow: 4008 } as const;

/** Unsent bytes above which a reader counts as too slow. */
const MAX_UNSENT = 1 << 20;
const MAX_STREAMS = 200;
/** How often it is asked anew whether a reader still may read. */
const CHECK_MS = 5000;

interface Reader {
  readonly caller: Caller;
  readonly source: string;
  /** Types wanted; empty: all. */
  readonly types: ReadonlySet<string>;
}

/** The stream of live events over WebSocket. Whoever cannot follow is dropped: the gateway holds nothing back for them. */
export class EventStream {
  readonly #services: ApiServices;
  readonly #authentication: Authentication;
  readonly #origin: string;
  readonly #clientAddress: ClientAddress;
  readonly #open = new Set<WebSocket<Reader>>();
  readonly #forget: () => void;
  readonly #timer: NodeJS.Timeout;

  constructor(services: ApiServices, authentication: Authentication, origin: string, clientAddress: ClientAddress) {
    this.#services = services;
    this.#authentication = authentication;
    this.#origin = origin;
    this.#clientAddress = clientAddress;
    this.#forget = services.access.events.listen((event) => this.#send(event));
    this.#timer = setInterval(() => this.#check(), CHECK_MS);
    this.#timer.unref();
  }

  mount(app: TemplatedApp, path: string, refused: (res: HttpResponse, reply: ApiReply) => void): void {
    app.ws<Reader>(path, {
      maxPayloadLength: 1024,
      maxBackpressure: MAX_UNSENT * 2,
      idleTimeout: 60,
      upgrade: (res, req, context) => this.#upgrade(res, req, context, refused),
      open: (socket) => {
        this.#open.add(socket);
      },
      close: (socket) => {
        this.#open.delete(socket);
      },
    });
  }

  close(): void {
    clearInterval(this.#timer);
    this.#forget();
    for (const socket of [...this.#open]) this.#end(socket, closeCodes.goingAway, 'the gateway is going away');
  }

  #upgrade(res: HttpResponse, req: HttpRequest, context: us_socket_context_t, refused: (res: HttpResponse, reply: ApiReply) => void): void {
    // Of the request nothing may be used once this returns.
    const request = copyRequest(res, req, this.#clientAddress);
    let gone = false;
    res.onAborted(() => {
      gone = true;
    });
    const admit = async (): Promise<Reader> => {
      const caller = await this.#authentication.caller(request);
      if (caller === null) throw refuse('unauthenticated', 'log in first');
      // A page of somebody else can open a WebSocket, and the browser sends our cookie with it.
      if (caller.csrf !== '' && request.header('origin') !== this.#origin)
        throw refuse('csrf', 'the request did not come from a page of this gateway');
      questions(this.#services, caller.principal, request.source).must('events.read');
      if (this.#open.size >= MAX_STREAMS) throw refuse('conflict', 'too many streams are open');
      const types = new Set((request.query.get('type') ?? '').split(',').filter((type) => type !== ''));
      return { caller, source: request.source, types };
    };
    admit().then(
      (reader) => {
        if (gone) return;
        res.cork(() =>
          res.upgrade<Reader>(
            reader,
            request.header('sec-websocket-key'),
            request.header('sec-websocket-protocol'),
            request.header('sec-websocket-extensions'),
            context,
          ),
        );
      },
      (error: unknown) => {
        if (!gone) refused(res, errorReply(error, this.#services.log));
      },
    );
  }

  #send(event: LiveEvent): void {
    if (event.type === 'revocation' || event.type === 'grant') queueMicrotask(() => this.#check());
    if (this.#open.size === 0) return;
    const text = JSON.stringify(event);
    for (const socket of [...this.#open]) {
      const { types } = socket.getUserData();
      if (types.size > 0 && !types.has(event.type)) continue;
      if (socket.getBufferedAmount() > MAX_UNSENT) this.#end(socket, closeCodes.tooSlow, 'too slow: events were lost');
      else socket.send(text);
    }
  }

  /** A reader whose token expired, who was revoked, or whom policy no longer allows it, reads no further. */
  #check(): void {
    for (const socket of [...this.#open]) {
      const { caller, source } = socket.getUserData();
      try {
        this.#services.access.revocations.check(caller.bare);
        if (this.#services.now() >= caller.bare.credential.expiresAt) throw refuse('unauthenticated', 'expired');
        // With the grants of now: the one it began under may have ended.
        questions(this.#services, withGrants(caller.bare, this.#services.access), source).must('events.read');
      } catch {
        this.#end(socket, closeCodes.noLongerAllowed, 'no longer allowed');
      }
    }
  }

  #end(socket: WebSocket<Reader>, code: number, reason: string): void {
    this.#open.delete(socket);
    socket.end(code, reason);
  }
}

import { type HttpResponse, SSLApp, type us_listen_socket, us_listen_socket_close, us_socket_local_port } from 'uWebSockets.js';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { ListenAddress } from '../config/model.ts';
import { GatewayError } from '../errors.ts';
import { Authentication } from './authentication.ts';
import { clientAddress } from './client-address.ts';
import { Dispatch } from './dispatch.ts';
import { EventStream } from './events.ts';
import { exchange, writeReply } from './http.ts';
import { openapi } from './openapi.ts';
import { OwnCounts } from './own-counts.ts';
import { errorPage } from './pages/layout.ts';
import { pageRoutes } from './pages/routes.ts';
import type { Route } from './route.ts';
import { approvalRoutes } from './routes/approvals.ts';
import { credentialRoutes } from './routes/credentials.ts';
import { gatewayRoutes } from './routes/gateway.ts';
import { grantRoutes } from './routes/grants.ts';
import { loginRoutes } from './routes/login.ts';
import { recordRoutes } from './routes/record.ts';
import { sessionRoutes } from './routes/sessions.ts';
import type { ApiServices } from './services.ts';

export interface RunningApi {
  /** With the port that was really bound. */
  readonly address: ListenAddress;
  /** Every route of the document, for whoever checks it. */
  readonly routes: readonly Route[];
  /** Takes no more requests, lets those under way end, tells streams to go. */
  close(): Promise<void>;
}

/**
 * LIBUS_LISTEN_EXCLUSIVE_PORT. Without it a second gateway on the same port would get half of the connections and no error. The types
 * know the option only without a host.
 */
const EXCLUSIVE_PORT = 1;
type ListenWithOptions = (host: string, port: number, options: number, opened: (socket: us_listen_socket | false) => void) => void;

const eventsPath = '/api/v1/events';
/** How long requests under way may take when it closes. */
const GRACE_MS = 2000;

/**
 * Opens the API and its pages over TLS where `config.api` says. Throws GatewayError `listen_failed`, `tls_unusable`, and
 * `config_invalid` when the configuration has no such listener.
 */
export async function startApi(services: ApiServices): Promise<RunningApi> {
  const { config, access } = services;
  if (config.api === null) throw failure('config_invalid', 'there is no listener for the API: add https: host:port to listeners');
  const app = openApp(services);
  const { address } = config.api;
  const counts = new OwnCounts(access.events);
  const authentication = new Authentication(services);
  const sourceOf = clientAddress(config.api.trustedProxies);
  // The document is of the routes, and one of the routes.
  const routes: Route[] = [];
  let document: unknown;
  // Port 0 is known once it is bound, and nothing is answered before.
  let origin = new URL(config.api.url).origin;
  const under = new Set<Promise<unknown>>();
  let dispatch: Dispatch | null = null;

  app.any('/*', (res, req) =>
    exchange(res, req, sourceOf, (request) => {
      if (dispatch === null) return Promise.resolve(errorPage(503, null, ''));
      const answer = dispatch.handle(request);
      under.add(answer);
      void answer.finally(() => under.delete(answer));
      return answer;
    }),
  );
  const socket = await new Promise<us_listen_socket | false>((resolve) => {
    (app.listen as unknown as ListenWithOptions).call(app, address.host, address.port, EXCLUSIVE_PORT, resolve);
  });
  if (socket === false) {
    counts.close();
    // It would keep the process from ending.
    app.close();
    throw failure('listen_failed', `the API cannot listen on ${address.host}:${address.port}; is the port taken?`);
  }
  const port = us_socket_local_port(socket);
  if (address.port === 0) origin = origin.replace(/:0$/, `:${port}`);

  routes.push(
    ...gatewayRoutes({ counts, document: () => document }),
    ...loginRoutes(authentication, origin),
    ...approvalRoutes,
    ...grantRoutes,
    ...sessionRoutes,
    ...recordRoutes(),
    ...credentialRoutes,
  );
  document = openapi(routes, '1', origin);
  const stream = new EventStream(services, authentication, origin, sourceOf);
  stream.mount(app, eventsPath, (res: HttpResponse, reply) => void res.cork(() => writeReply(res, reply)));
  dispatch = new Dispatch({ services, authentication, origin, routes, pages: pageRoutes(authentication), errorPage });
  services.log.info('listening', { protocol: 'https', host: address.host, port });

  let closed: Promise<void> | null = null;
  return {
    address: { host: address.host, port },
    routes,
    close() {
      closed ??= (async () => {
        us_listen_socket_close(socket);
        stream.close();
        counts.close();
        let timer: NodeJS.Timeout | undefined;
        const late = new Promise<void>((resolve) => {
          timer = setTimeout(resolve, GRACE_MS);
        });
        await Promise.race([Promise.allSettled([...under]), late]);
        clearTimeout(timer);
        app.close();
      })();
      return closed;
    },
  };
}

/** The server wants files: the configured ones, or copies of what it was given beside the gateway's other keys. */
function openApp({ config, tls }: ApiServices): ReturnType<typeof SSLApp> {
  try {
    if (config.tls !== null) return SSLApp({ cert_file_name: config.tls.cert, key_file_name: config.tls.key });
    const directory = join(config.gateway.dataDir, 'keys');
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const files = { cert: join(directory, 'api.crt'), key: join(directory, 'api.key') };
    writeFileSync(files.cert, tls.cert, { mode: 0o644 });
    writeFileSync(files.key, tls.key, { mode: 0o600 });
    return SSLApp({ cert_file_name: files.cert, key_file_name: files.key });
  } catch (cause) {
    throw failure('tls_unusable', 'the certificate and key cannot be used for the API', cause);
  }
}

function failure(code: string, publicMessage: string, cause?: unknown): GatewayError {
  return new GatewayError({ code, source: 'gateway', phase: 'listen', publicMessage, ...(cause === undefined ? {} : { cause }) });
}

import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { chooseAccount, type OpenAccount, stillGranted } from '../../access/accounts.ts';
import type { ListenAddress, Resource } from '../../config/model.ts';
import { GatewayError } from '../../errors.ts';
import { endWith } from '../../io/last-words.ts';
import type { Operation, Principal } from '../../policy/model.ts';
import { jsonString } from '../../recording/json.ts';
import type { ProtocolListener, ProtocolServices } from '../protocol.ts';
import { CancelKeys } from './cancel.ts';
import { type Connection, Connections } from './connections.ts';
import { Estimator } from './estimate.ts';
import { IdleWatch } from './idle.ts';
import { ClientLogin, sourceAddress } from './login.ts';
import { loginError, recordCrowd, recordRefusal, recordStart, recordUnopened } from './login-record.ts';
import { authenticationOk, Back, int32, message, parameterStatus } from './messages.ts';
import { authenticateByOauth } from './oauthbearer.ts';
import { ResourcePool } from './resource-pool.ts';
import { PgSession } from './session.ts';
import { type StartupSettings, startupSettings } from './settings.ts';
import { connectUpstream } from './upstream.ts';
import { wireError } from './wire-error.ts';

/** Opens the listener. Resolves when it accepts connections. */
export async function listenPostgres(services: ProtocolServices, address: ListenAddress): Promise<ProtocolListener> {
  const listener = new PostgresListener(services);
  await listener.listen(address);
  return listener;
}

/** What is decided at log-in: whether the principal may use the account at all. */
export const CONNECT: Operation = {
  action: 'connect',
  objects: [],
  attributes: {
    statement: 'connect',
    tables: [],
    functions: [],
    objectTypes: [],
    settings: [],
    dynamicSettings: false,
    hasWhere: false,
    lockMode: '',
    touchesProtected: false,
  },
};

class PostgresListener implements ProtocolListener {
  readonly #services: ProtocolServices;
  readonly #server: Server;
  readonly #context: SecureContext;
  readonly #cancelKeys = new CancelKeys();
  readonly #pools = new Map<string, ResourcePool>();
  readonly #sessions = new Map<PgSession, { readonly pid: number; readonly forget: () => void }>();
  readonly #idle: IdleWatch;
  /** Those on which no session has begun yet. */
  readonly #connections: Connections;
  #draining = false;
  #onEmpty: (() => void) | null = null;

  constructor(services: ProtocolServices) {
    this.#services = services;
    this.#connections = new Connections(services.config.limits.pendingLogins, (source, refused) => recordCrowd(services, source, refused));
    this.#idle = new IdleWatch(services.config.identity.idleSeconds, services.now, () => this.#sessions.keys());
    this.#context = createSecureContext({ cert: services.tls.cert, key: services.tls.key, minVersion: 'TLSv1.2' });
    // Who waits for an approval may be silent for long, and gone without a word: the system asks now and then.
    const alive = { keepAlive: true, keepAliveInitialDelay: 60_000 };
    this.#server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true, ...alive }, (socket) => {
      this.#accept(socket);
    });
  }

  get address(): ListenAddress {
    const bound = this.#server.address();
    if (bound === null || typeof bound === 'string') throw new Error('not listening');
    return { host: bound.address, port: bound.port };
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  listen(address: ListenAddress): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) => {
        reject(
          new GatewayError({
            code: 'listen_failed',
            source: 'gateway',
            phase: 'listen',
            cause,
            publicMessage: `cannot listen on ${address.host}:${address.port}: ${cause.message}`,
          }),
        );
      });
      this.#server.listen(address.port, address.host, () => resolve());
    });
  }

  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    this.#server.close();
    this.#connections.close();
    for (const session of this.#sessions.keys()) session.drain();
    if (this.#sessions.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
        setTimeout(() => {
          for (const session of this.#sessions.keys()) session.kill();
          resolve();
        }, graceMs).unref();
      });
    }
    this.#idle.close();
    for (const pool of this.#pools.values()) pool.close();
  }

  #accept(socket: Socket): void {
    const source = sourceAddress(socket);
    const connection = this.#connections.enter(socket, source);
    if (connection === null) {
      this.#turnAway(socket);
      return;
    }
    const login = new ClientLogin(socket);
    const seconds = this.#services.config.limits.loginSeconds;
    const timer = setTimeout(() => {
      login.fail(
        new GatewayError({ code: 'login_timeout', source: 'client', phase: 'login', publicMessage: `login took longer than ${seconds} s` }),
      );
    }, seconds * 1000);
    this.#login(login, source, connection)
      .catch((error: unknown) => {
        this.#refused(login, source, error, connection.leaving());
      })
      .finally(() => clearTimeout(timer));
  }

  /** In clear and before it has said anything: to read it would cost what is short. libpq takes an error in place of the answer to SSLRequest. */
  #turnAway(socket: Socket): void {
    this.#services.counters.crowdedOut++;
    // Who does not go by itself is not waited for when there are many.
    if (this.#connections.turnAway(socket)) endWith(socket, CROWDED);
    else socket.destroy();
  }

  async #login(login: ClientLogin, source: string, connection: Connection): Promise<void> {
    const services = this.#services;
    const { config } = services;
    const arrival = await login.arrive(this.#context, config.allowPlaintextLoopback);
    if (arrival.kind === 'cancel') {
      const session = this.#cancelKeys.find(arrival.pid, arrival.secret);
      if (session === null) services.recorder.append('auth', '', `"ok":false,"code":"cancel_key_unknown","source":${jsonString(source)}`);
      else session.cancel(source);
      connection.leaving();
      services.recorder.whenRecorded({ onRecorded: () => endWith(login.socket, null) });
      return;
    }
    const user = login.parameters.get('user') ?? '';
    const database = login.parameters.get('database') ?? user;
    if (user === '') throw clientError('login_failed', 'no user name was given in the startup packet');
    if (this.#draining)
      throw new GatewayError({ code: 'shutting_down', source: 'gateway', phase: 'login', publicMessage: 'the gateway is shutting down' });
    const replication = (login.parameters.get('replication') ?? 'false').toLowerCase();
    if (!['false', 'off', 'no', '0'].includes(replication))
      throw clientError('unsupported', 'replication is not supported through the gateway');
    const settings = startupSettings(login.parameters);
    if (!settings.ok) throw clientError('setting_refused', settings.message);

    // The name is `user` or `user+account`.
    const plus = user.indexOf('+');
    const name = plus === -1 ? user : user.slice(0, plus);
    const { access } = services;
    const principal = await this.#authenticate(login, name, settings.own.auth);
    access.revocations.check(principal);
    connection.proved();
    const resource = config.resources.find((one) => one.name === database && one.kind === 'postgres');
    if (resource === undefined)
      throw clientError('resource_unknown', `there is no resource "${database}"`, 'the database name selects the resource');
    const chosen = chooseAccount(
      { principal, resource, connect: CONNECT, policy: services.policy(), grants: access.grants },
      plus === -1 ? null : user.slice(plus + 1),
    );
    if (this.#sessions.size + this.#connections.opening >= config.limits.sessions)
      throw new GatewayError({
        code: 'too_many_sessions',
        source: 'gateway',
        phase: 'login',
        retryable: true,
        publicMessage: 'too many sessions',
      });
    connection.opening();
    await this.#open(login, source, settings, resource, chosen);
    connection.begun();
  }

  async #open(
    login: ClientLogin,
    source: string,
    settings: StartupSettings & { ok: true },
    resource: Resource,
    chosen: OpenAccount,
  ): Promise<void> {
    const services = this.#services;
    const { config, access } = services;
    const { account, target } = chosen;
    const sid = services.newSessionId();
    const { applicationName: application } = settings;
    settings.settings.set('application_name', `sluice:${sid} ${application}`.trimEnd().slice(0, 63));
    const reason = services.masker.string(settings.own.reason);
    await recordStart(services, { sid, chosen, source, secure: login.secure, application, reason });
    const pool = this.#pool(resource);
    try {
      await pool.catalog.fresh();
      pool.warnOfMissing(services);
      const upstreamLogin = {
        resource,
        user: account.user,
        password: services.secret(account.password),
        settings: settings.settings,
        timeoutMs: config.limits.loginSeconds * 1000,
      };
      const upstream = await connectUpstream(upstreamLogin);
      if (login.socket.destroyed || this.#draining) {
        upstream.socket.destroy();
        throw new GatewayError({ code: 'client_lost', source: 'client', phase: 'login', publicMessage: 'the client left during log-in' });
      }
      login.release();
      const session = new PgSession({
        sid,
        services,
        principal: chosen.principal,
        target,
        resource,
        source,
        approvalMode: settings.own.approval,
        reason,
        pathAtStart: settings.settings.get('search_path') ?? '',
        grants: chosen.grants,
        estimator: new Estimator(services, upstreamLogin, sid, pool.estimates),
        classifier: () => pool.classifier(services.policy(), chosen.principal, target),
        catalog: pool.catalog,
        connection: login,
        upstream,
        onEnd: (ended) => this.#ended(ended),
      });
      const key = this.#cancelKeys.register(session, login.minor >= 2 ? 32 : 4);
      this.#sessions.set(session, { pid: key.pid, forget: access.live.add(session.live) });
      session.open(greeting(login, upstream.parameters, key, session));
      this.#recheck(session, chosen);
    } catch (error) {
      const code = error instanceof GatewayError ? error.code : 'internal';
      recordUnopened(services, sid, chosen, code);
      throw error;
    }
  }

  /** @param patient whether there is room to wait until the client has taken its last words. */
  #refused(login: ClientLogin, source: string, reason: unknown, patient: boolean): void {
    const error = loginError(reason);
    login.socket.on('error', () => {});
    // A health check or a port scan is nobody's log-in. Who stays and says nothing is no such thing.
    if (!login.spoke && error.code !== 'login_timeout') {
      this.#services.counters.silent++;
      this.#services.log.debug('a connection ended before a byte came', { source, code: error.code });
      endWith(login.socket, wireError(error, 'FATAL'));
      return;
    }
    // Who is refused learns it when the record has it, not before; when the record has failed, at once.
    recordRefusal(this.#services, login, source, error, () => {
      if (login.socket.destroyed) return;
      const words = wireError(publicForm(error), 'FATAL');
      if (patient) endWith(login.socket, words);
      else login.socket.end(words, () => login.socket.destroy());
    });
  }

  async #authenticate(login: ClientLogin, name: string, by: 'password' | 'oauth'): Promise<Principal> {
    const { authenticator, config } = this.#services;
    if (by === 'oauth') return authenticateByOauth(login, authenticator, config.identity, name);
    return authenticator.authenticate(await login.password(), name);
  }

  /** What was taken back while the session was being set up, when it could not be ended yet. */
  #recheck(session: PgSession, chosen: OpenAccount): void {
    const { revocations, grants } = this.#services.access;
    try {
      revocations.check(chosen.principal);
    } catch (error) {
      session.fail(loginError(error));
      return;
    }
    for (const grant of chosen.grants) grants.used(grant);
    if (stillGranted(chosen, grants)) return;
    session.fail(
      new GatewayError({
        code: 'grant_expired',
        source: 'gateway',
        phase: 'login',
        publicMessage: 'the grant that this session stands on has ended',
        hint: 'ask for another one to go on',
      }),
    );
  }

  #pool(resource: Resource): ResourcePool {
    let pool = this.#pools.get(resource.name);
    if (pool === undefined) {
      pool = new ResourcePool(resource, this.#services);
      this.#pools.set(resource.name, pool);
    }
    return pool;
  }

  #ended(session: PgSession): void {
    const open = this.#sessions.get(session);
    open?.forget();
    if (open !== undefined) this.#cancelKeys.remove(open.pid);
    this.#sessions.delete(session);
    if (this.#sessions.size === 0) this.#onEmpty?.();
  }
}

const CROWDED = wireError(
  new GatewayError({
    code: 'too_many_logins',
    source: 'gateway',
    phase: 'login',
    retryable: true,
    publicMessage: 'too many connections that have not logged in',
    hint: 'try again in a moment',
  }),
  'FATAL',
);

const clientError = (code: string, publicMessage: string, hint?: string): GatewayError =>
  new GatewayError({ code, source: 'client', phase: 'login', publicMessage, ...(hint === undefined ? {} : { hint }) });

/** Who presents a bad token learns that it is bad and, when it was good once, that it has expired: not which check it failed. */
function publicForm(error: GatewayError): GatewayError {
  if (!/^(oauth_)?token_/.test(error.code) || error.code.endsWith('token_expired')) return error;
  return new GatewayError({
    code: error.code,
    source: 'client',
    phase: 'login',
    publicMessage: 'the token was not accepted',
    hint: 'get a new one with: sluice login',
  });
}

/** What the client gets once it is in: the server's parameters, and a cancel key of ours. */
function greeting(
  login: ClientLogin,
  parameters: ReadonlyMap<string, string>,
  key: { pid: number; secret: Buffer },
  session: PgSession,
): Buffer {
  const { masker } = session.state.services;
  const parts: Buffer[] = [];
  const negotiation = login.negotiation();
  if (negotiation !== null) parts.push(negotiation);
  parts.push(authenticationOk());
  for (const [name, value] of parameters) {
    parts.push(parameterStatus(name, masker.string(value)));
  }
  parts.push(message(Back.BackendKeyData, int32(key.pid), key.secret), message(Back.ReadyForQuery, 'I'));
  return Buffer.concat(parts);
}

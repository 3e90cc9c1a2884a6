import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Alerts } from '../access/alerts.ts';
import { createAccess } from '../access/create.ts';
import { EventBus } from '../access/events.ts';
import { LocalSessions } from '../access/live.ts';
import type { Access, LiveEvent } from '../access/model.ts';
import { Webhook } from '../access/webhook.ts';
import { accessWithoutStore } from '../access/without-store.ts';
import { type RunningApi, startApi } from '../admin/server.ts';
import type { ApiServices } from '../admin/services.ts';
import type { Config, WebhookConfig } from '../config/model.ts';
import { isReference } from '../config/secrets.ts';
import { createIdentity } from '../identity/create.ts';
import type { Authenticator, Identity } from '../identity/model.ts';
import type { PolicyEngine } from '../policy/model.ts';
import type { ProtocolLog } from '../protocols/protocol.ts';
import type { FileRecorder } from '../recording/recorder.ts';
import type { Store } from '../store/model.ts';

export interface ControlOptions {
  readonly config: Config;
  readonly recorder: FileRecorder;
  readonly policy: () => PolicyEngine;
  readonly tokenKey: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  readonly secret: (reference: string) => string;
  /** Covers card data in a short text. */
  readonly mask: (text: string) => string;
  readonly log: ProtocolLog;
}

/** What the API needs of the data path, which is composed after the control side. */
export type DataPath = Pick<ApiServices, 'tls' | 'protocols' | 'listeners' | 'metrics' | 'health' | 'policies'>;

/** How often open sessions are looked at for alerts, ms. */
const WATCH_MS = 1000;

/** Identity, access, alerts and the API: everything beside the data path. */
export class Control {
  readonly access: Access;
  readonly authenticator: Authenticator;
  readonly store: Store | null;
  readonly #options: ControlOptions;
  readonly #identity: Identity;
  readonly #closing: (() => Promise<void> | void)[];
  /** Where approvers decide; known once the API is bound. */
  readonly #url: { value: string };

  private constructor(
    options: ControlOptions,
    store: Store | null,
    access: Access,
    identity: Identity,
    url: { value: string },
    closing: (() => Promise<void> | void)[],
  ) {
    this.#options = options;
    this.store = store;
    this.access = access;
    this.#identity = identity;
    this.authenticator = identity.authenticator;
    this.#url = url;
    this.#closing = closing;
  }

  /**
   * Opens what the configuration asks for. The store is opened where there is an API, a log-in or a shared store: without them
   * nobody could change anything in it. Throws GatewayError.
   */
  static async open(options: ControlOptions): Promise<Control> {
    const { config, recorder, policy, log, secret } = options;
    const closing: (() => Promise<void> | void)[] = [];
    try {
      const live = new LocalSessions(config.gateway.name);
      const events = new EventBus(config.gateway.name, Date.now, (error) =>
        log.error('a listener of events failed', { error: String(error) }),
      );
      const store = needsStore(config) ? await openControlStore(config, secret, log) : null;
      if (store !== null) closing.unshift(() => store.close());
      const url = { value: config.api?.url ?? '' };
      const process = store === null ? '' : processName(recorder.origin, config.gateway.dataDir);
      let access = accessWithoutStore(live, events);
      if (store !== null) {
        const shared = await createAccess({
          store,
          recorder,
          live,
          events,
          config,
          policy,
          gateway: config.gateway.name,
          process,
          url: () => url.value,
          now: Date.now,
          log,
        });
        closing.unshift(() => shared.close());
        access = shared;
      }
      const { revocations } = access;
      const identity = createIdentity({
        config: config.identity,
        gateway: config.gateway.name,
        process,
        tokenKey: options.tokenKey,
        store,
        recorder,
        mask: options.mask,
        reservedGroups: new Set(
          config.resources.flatMap(({ name, accounts }) => [...accounts.keys()].map((account) => `${name}/${account}`)),
        ),
        check: (principal) => revocations.check(principal),
        onRevoked: (name, issuer, why) => revocations.revokeUser(name, issuer, 'identity-provider', why),
        onReturned: (principal, why) => revocations.restoreUser(principal.name, principal.issuer, principal, why),
        onCredentialRevoked: (id, why, by) => revocations.revokeCredential(id, by, why),
        secret,
        now: Date.now,
        log,
      });
      closing.unshift(() => identity.close());
      await identity.start();
      closing.unshift(watch(options, access, live, store, url));
      return new Control(options, store, access, identity, url, closing);
    } catch (error) {
      for (const close of closing) await Promise.resolve(close()).catch(() => {});
      throw error;
    }
  }

  /** Opens the API, where the configuration has one. */
  async listen(data: DataPath): Promise<RunningApi | null> {
    const { config, recorder, policy, mask, log } = this.#options;
    const { store, access, authenticator } = this;
    if (config.api === null || store === null) return null;
    const { logins, tokens, serviceKeys } = this.#identity;
    const services = { config, store, access, authenticator, logins, tokens, serviceKeys, policy, recorder, mask, log, now: Date.now };
    const api = await startApi({ ...services, ...data });
    this.#closing.unshift(() => api.close());
    // Port 0 has become a real one.
    if (new URL(this.#url.value).port === '0') this.#url.value = this.#url.value.replace(/:0$/, `:${api.address.port}`);
    return api;
  }

  async close(): Promise<void> {
    for (const close of this.#closing.splice(0)) {
      // One part that cannot close must not keep the others, and the record behind them, open.
      await Promise.resolve()
        .then(close)
        .catch((error: unknown) => this.#options.log.error('a part could not be closed', { error: String(error) }));
    }
  }
}

/**
 * The chain, and whose: gateways of one name, and with one key for tokens, may share a store, each with a record of its own. The same
 * again after a restart.
 */
function processName(chain: string, dataDir: string): string {
  const key = createPublicKey(readFileSync(join(dataDir, 'keys', 'record.key'))).export({ type: 'spki', format: 'der' });
  return `${chain}@${createHash('sha256').update(key).digest('hex').slice(0, 16)}`;
}

function needsStore(config: Config): boolean {
  return config.api !== null || config.store !== 'embedded' || config.identity.oidc.length > 0 || config.identity.saml.length > 0;
}

async function openControlStore(config: Config, secret: (reference: string) => string, log: ProtocolLog): Promise<Store> {
  // Loaded only here: a gateway without a control side needs no database.
  const { openStore } = await import('../store/open.ts');
  const url = isReference(config.store) ? secret(config.store) : config.store;
  return await openStore({ url, dataDir: config.gateway.dataDir, log, now: Date.now });
}

/** Alerts and webhooks; the returned function ends them. */
function watch(
  options: ControlOptions,
  access: Access,
  live: LocalSessions,
  store: Store | null,
  url: { readonly value: string },
): () => Promise<void> {
  const { config, recorder, secret, log } = options;
  const alerts = new Alerts({
    config: config.access.alerts,
    events: access.events,
    sessions: () => live.list(),
    lastLine: () => recorder.lastSeq,
    record: ({ rule, user, resource, sid, count, threshold, windowSeconds, lines, message }) => {
      log.warn('alert', { rule, user, resource, message });
      if (recorder.failure !== null) return 0;
      const line = { event: 'alert', rule, user, resource, message, count, threshold, window: windowSeconds, lines };
      return recorder.append('config', sid, JSON.stringify(line).slice(1, -1));
    },
    now: Date.now,
  });
  const hook = (webhook: WebhookConfig | null, wanted: (event: LiveEvent) => boolean): (() => Promise<void>) => {
    if (webhook === null) return () => Promise.resolve();
    let failing = false;
    const sender = new Webhook({
      url: webhook.url,
      secret: secret(webhook.secret),
      link: () => url.value,
      now: Date.now,
      onFailure: (message) => {
        log.error('webhook', { message });
        // The alert about it goes to the same place: said once, not in circles.
        if (failing) return;
        failing = true;
        access.events.emit({ type: 'control.failed', sid: '', user: '', resource: '', line: 0, detail: { control: 'webhook', message } });
        failing = false;
      },
    });
    const forget = access.events.listen((event) => {
      if (wanted(event)) sender.post(event);
    });
    return () => {
      forget();
      return sender.close();
    };
  };
  const { approvals } = config.access;
  const closing = [
    hook(approvals.webhook, (event) => (event.type === 'approval' || event.type === 'grant') && event.detail['event'] !== 'used'),
    hook(config.access.alerts.webhook, (event) => event.type === 'alert' && !/webhook/.test(String(event.detail['message']))),
  ];
  const failing = new Set<string>();
  const control = (name: string, failed: boolean): void => {
    if (failed && !failing.has(name))
      access.events.emit({ type: 'control.failed', sid: '', user: '', resource: '', line: recorder.lastSeq, detail: { control: name } });
    if (failed) failing.add(name);
    else failing.delete(name);
  };
  const timer = setInterval(() => {
    alerts.poll();
    control('record', recorder.failure !== null);
    control('store', store !== null && store.downSince !== null);
  }, WATCH_MS);
  timer.unref();
  return async () => {
    clearInterval(timer);
    alerts.close();
    await Promise.all(closing.map((close) => close()));
  };
}

import type { Resource } from '../../config/model.ts';
import type { PolicyEngine, Principal, Target } from '../../policy/model.ts';
import { jsonString } from '../../recording/json.ts';
import type { MaskPool } from '../../workers/pool.ts';
import type { ProtocolServices } from '../protocol.ts';
import { Catalog } from './catalog.ts';
import { CatalogClient } from './catalog-client.ts';
import { Classifier } from './classifier.ts';
import { PINNED_SETTINGS } from './settings.ts';
import { Turns } from './turns.ts';

/** Catalogs are read again this often, for changes that did not come through the gateway. */
const REFRESH_MS = 30_000;
/** Classifiers (with their caches) kept per resource; the least recently used one goes first. */
const MAX_SCOPES = 256;

/** Connections that estimates for approvers may take of the target at once, and how many may wait for one. */
const ESTIMATES = 8;
const ESTIMATES_WAITING = 64;

/** What all sessions on one resource share: its catalog, and what was found out about statements per principal and account. */
export class ResourcePool {
  readonly resource: Resource;
  readonly catalog: Catalog;
  readonly estimates = new Turns(ESTIMATES, ESTIMATES_WAITING);
  readonly #pool: MaskPool | null;
  readonly #mask: (text: string) => string;
  readonly #scopes = new Map<string, Classifier>();
  #engine: PolicyEngine | null = null;
  readonly #timer: NodeJS.Timeout;
  #warned = '';

  constructor(resource: Resource, services: ProtocolServices) {
    this.resource = resource;
    this.#pool = services.pool;
    const { masker } = services;
    this.#mask = (words) => masker.string(words);
    const account = [...resource.accounts.values()][0];
    const client = new CatalogClient({
      resource,
      user: account?.user ?? '',
      password: account === undefined ? '' : services.secret(account.password),
      settings: new Map([...PINNED_SETTINGS, ['application_name', `sluice:catalog:${services.config.gateway.name}`], ['search_path', '']]),
      timeoutMs: services.config.limits.loginSeconds * 1000,
    });
    this.catalog = new Catalog(client, resource.protect, services.now);
    this.#timer = setInterval(() => this.catalog.refresh(), REFRESH_MS);
    this.#timer.unref();
  }

  /** The classifier for what policies look at of a principal, on an account: shared by sessions, new after a policy reload. */
  classifier(engine: PolicyEngine, principal: Principal, target: Target): Classifier {
    if (engine !== this.#engine) {
      // Decisions of policies that are no longer in force.
      for (const scope of this.#scopes.values()) scope.forget();
      this.#scopes.clear();
      this.#engine = engine;
    }
    const key = JSON.stringify([engine.scope(principal), principal.subject, target.account]);
    const known = this.#scopes.get(key);
    if (known !== undefined) {
      this.#scopes.delete(key);
      this.#scopes.set(key, known);
      return known;
    }
    const classifier = new Classifier(engine, principal, target, this.#pool, this.#mask, this.resource.computed === 'deny');
    this.#scopes.set(key, classifier);
    if (this.#scopes.size > MAX_SCOPES) {
      const [oldest] = this.#scopes;
      if (oldest !== undefined) {
        oldest[1].forget();
        this.#scopes.delete(oldest[0]);
      }
    }
    return classifier;
  }

  /** Says, once for each set of them, which configured columns the target does not have. */
  warnOfMissing(services: ProtocolServices): void {
    const missing = this.catalog.missing.join(', ');
    if (missing === this.#warned) return;
    this.#warned = missing;
    if (missing === '') return;
    services.log.warn('protected columns do not exist in the target', { resource: this.resource.name, columns: missing });
    services.recorder.append(
      'config',
      '',
      `"event":"protect-missing","resource":${jsonString(this.resource.name)},"columns":${jsonString(missing)}`,
    );
  }

  close(): void {
    clearInterval(this.#timer);
    this.catalog.close();
  }
}

import type { ClientHelp, ClientHelpRequest } from '../access/client-help.ts';
import type { Access } from '../access/model.ts';
import type { Config } from '../config/model.ts';
import type { Authenticator, IssuedTokens, LoginService, ServiceKeys } from '../identity/model.ts';
import type { Operation, PolicyEngine, Principal } from '../policy/model.ts';
import type { Recorder } from '../recording/model.ts';
import type { Store } from '../store/model.ts';

/** What the API stands on. Built once, by whoever composes the gateway. */
export interface ApiServices {
  readonly config: Config;
  /** Certificate and key of the listener, PEM. */
  readonly tls: { readonly cert: string; readonly key: string };
  readonly store: Store;
  readonly access: Access;
  readonly authenticator: Authenticator;
  readonly logins: LoginService;
  readonly tokens: IssuedTokens;
  readonly serviceKeys: ServiceKeys;
  /** The policy set in force: a new one after a reload. */
  readonly policy: () => PolicyEngine;
  /** The policies of that set, where whoever composes can tell them; else the snapshot's hash alone is shown. */
  readonly policies?: () => readonly PolicyInfo[];
  readonly recorder: Recorder;
  /** What clients of each kind of resource need, by the kind's name. */
  readonly protocols: ReadonlyMap<string, ApiProtocol>;
  /** Where each protocol listens, with the ports that were really bound, by protocol. */
  readonly listeners: () => ReadonlyMap<string, { readonly host: string; readonly port: number }>;
  /** Masks what may be card data in a text that a person typed. */
  readonly mask: (text: string) => string;
  /** Further metrics: those of the data path. */
  readonly metrics: () => readonly Metric[];
  /** Whether the gateway takes connections, and if not why. */
  readonly health: () => Health;
  readonly log: ApiLog;
  /** ms since the epoch. */
  readonly now: () => number;
}

/** Structured log; never a payload, never a secret. */
export interface ApiLog {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export interface Health {
  readonly ready: boolean;
  /** Each part by name: `ok`, or what is wrong, without details of the inside. */
  readonly parts: Readonly<Record<string, string>>;
}

export interface Metric {
  /** As Prometheus names it, e.g. `sluice_operations_total`. */
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly samples: readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[];
}

export interface PolicyInfo {
  readonly id: string;
  readonly effect: 'permit' | 'forbid';
  readonly file: string;
  readonly line: number;
  readonly hint: string;
}

/** The part of a protocol's definition that the API uses. */
export interface ApiProtocol {
  /** What a log-in asks of policy. */
  readonly connect: Operation;
  clientHelp(wanted: ClientHelpRequest): ClientHelp;
}

/** Who asks, with the groups that grants give at this moment. */
export function withGrants(principal: Principal, access: Access): Principal {
  const given = access.grants.groupsOf(principal).map(({ group }) => group);
  return given.length === 0 ? principal : { ...principal, groups: [...new Set([...principal.groups, ...given])] };
}

import { type Arrival, chooseAccount } from '../access/accounts.ts';
import type { ClientFile } from '../access/client-help.ts';
import { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';
import type { ApiServices } from './services.ts';

export interface ReachableResource {
  readonly name: string;
  readonly kind: string;
  readonly accounts: readonly ReachableAccount[];
}

export interface ReachableAccount {
  readonly account: string;
  readonly default: boolean;
  /** Now; another one may be had by a grant. */
  readonly reachable: boolean;
  /** The line to type. */
  readonly line: string;
  /** The same once `files` are written. */
  readonly short: string;
  readonly files: readonly ClientFile[];
}

/**
 * The resources of which the principal may reach an account, with all accounts of each: what is not reachable can be asked for.
 * `principal` is without the groups of grants: a session gets the one of its own account.
 */
export function reachable(services: ApiServices, principal: Principal): readonly ReachableResource[] {
  const { config, access } = services;
  const host = publicHost(config.api?.url ?? '');
  return config.resources.flatMap((resource) => {
    const protocol = services.protocols.get(resource.kind);
    const listener = services.listeners().get(resource.kind);
    if (protocol === undefined || listener === undefined) return [];
    const arrival = { principal, resource, connect: protocol.connect, policy: services.policy(), grants: access.grants };
    const usual = open(arrival, null);
    if (usual === null) return [];
    const accounts = [...resource.accounts.keys()].map((account): ReachableAccount => {
      const help = protocol.clientHelp({
        resource: resource.name,
        account: account === usual ? null : account,
        user: principal.name,
        host: host === '' ? listener.host : host,
        port: listener.port,
      });
      return { account, default: account === usual, reachable: open(arrival, account) !== null, ...help };
    });
    return [{ name: resource.name, kind: resource.kind, accounts }];
  });
}

/** Name of the account that a log-in would get, or null when it would be refused. */
function open(arrival: Arrival, wanted: string | null): string | null {
  try {
    return chooseAccount(arrival, wanted).name;
  } catch (error) {
    if (error instanceof GatewayError) return null;
    throw error;
  }
}

function publicHost(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : '';
}

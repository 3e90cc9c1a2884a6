import type { ClientFile } from '../access/client-help.ts';
import type { Account, Resource } from '../config/model.ts';
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

/** The resources of which the principal may reach an account, with all accounts of each: what is not reachable can be asked for. */
export function reachable(services: ApiServices, principal: Principal): readonly ReachableResource[] {
  const { config } = services;
  const host = publicHost(config.api?.url ?? '');
  return config.resources.flatMap((resource) => {
    const protocol = services.protocols.get(resource.kind);
    const listener = services.listeners().get(resource.kind);
    if (protocol === undefined || listener === undefined) return [];
    const accounts = [...resource.accounts].map(([account, settings], i): ReachableAccount => {
      const target = { resource: resource.name, kind: resource.kind, account, address: `${resource.host}:${resource.port}` };
      const help = protocol.clientHelp({
        resource: resource.name,
        account: i === 0 ? null : account,
        user: principal.name,
        host: host === '' ? listener.host : host,
        port: listener.port,
      });
      return {
        account,
        default: i === 0,
        reachable:
          mayUse(principal, resource, account, settings) && services.policy().decide(principal, target, protocol.connect).kind === 'allow',
        ...help,
      };
    });
    return accounts.some((account) => account.reachable) ? [{ name: resource.name, kind: resource.kind, accounts }] : [];
  });
}

/** An account may name the groups that it is for; a grant gives the group of the account itself. */
function mayUse(principal: Principal, resource: Resource, name: string, account: Account): boolean {
  return account.groups === null || [...account.groups, `${resource.name}/${name}`].some((group) => principal.groups.includes(group));
}

function publicHost(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : '';
}

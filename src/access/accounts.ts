import type { Account, Resource } from '../config/model.ts';
import { GatewayError } from '../errors.ts';
import type { Operation, PolicyEngine, Principal, Refusal, Target } from '../policy/model.ts';
import type { Grants } from './model.ts';

/** An account of a resource that a principal may use, now. */
export interface OpenAccount {
  readonly name: string;
  readonly account: Account;
  readonly target: Target;
  /** With the group that grants of this very account give: others make no difference to a session on it. */
  readonly principal: Principal;
  /** Ids of the grants of this account. The session ends with any of them: its policies were decided with their group. */
  readonly grants: readonly string[];
}

/** What is asked: who wants which resource, and what the protocol's log-in is in terms of policy. */
export interface Arrival {
  readonly principal: Principal;
  readonly resource: Resource;
  readonly connect: Operation;
  readonly policy: PolicyEngine;
  readonly grants: Pick<Grants, 'groupsOf'>;
}

/**
 * The account that a log-in gets: the one it names, else the first in the order of the file (the least privileged) that is open. Throws
 * GatewayError `account_unknown` or `denied`; the hint names the accounts that are open, and no other.
 */
export function chooseAccount(arrival: Arrival, wanted: string | null): OpenAccount {
  const { resource } = arrival;
  const open: OpenAccount[] = [];
  let refused: Refusal | null = null;
  for (const [name, account] of resource.accounts) {
    const candidate = asMember(arrival, name, account);
    if (candidate === null) continue;
    const decision = arrival.policy.decide(candidate.principal, candidate.target, arrival.connect);
    if (decision.kind === 'allow') {
      if (wanted === null || wanted === name) return candidate;
      open.push(candidate);
    } else if (wanted === null || wanted === name) refused ??= decision;
  }
  const names = open.length === 0 ? 'none of its accounts is open to you' : `open to you: ${open.map(({ name }) => name).join(', ')}`;
  if (refused !== null) {
    throw loginError(
      'denied',
      `denied: ${refused.message}`,
      open.length === 0 || wanted === null ? refused.hint : joined(refused.hint, names),
    );
  }
  if (wanted !== null)
    throw loginError('account_unknown', `resource "${resource.name}" has no account "${wanted}" that is open to you`, names);
  throw loginError('denied', `denied: no account of "${resource.name}" is open to you`, 'ask for a grant with: sluice request');
}

/** Whether grants that a session stands on are all still there. */
export function stillGranted(session: Pick<OpenAccount, 'grants' | 'principal'>, grants: Pick<Grants, 'groupsOf'>): boolean {
  if (session.grants.length === 0) return true;
  const now = new Set(grants.groupsOf(session.principal).map(({ grant }) => grant));
  return session.grants.every((grant) => now.has(grant));
}

/** Null when the account is for other groups. */
function asMember({ principal, resource, grants }: Arrival, name: string, account: Account): OpenAccount | null {
  const own = `${resource.name}/${name}`;
  const granted = grants.groupsOf(principal).filter(({ group }) => group === own);
  const groups = granted.length === 0 || principal.groups.includes(own) ? principal.groups : [...principal.groups, own];
  if (account.groups !== null && ![own, ...account.groups].some((group) => groups.includes(group))) return null;
  const target = { resource: resource.name, kind: resource.kind, account: name, address: `${resource.host}:${resource.port}` };
  return { name, account, target, principal: { ...principal, groups }, grants: granted.map(({ grant }) => grant) };
}

const joined = (...hints: readonly string[]): string => hints.filter((hint) => hint !== '').join('; ');

const loginError = (code: string, publicMessage: string, hint: string): GatewayError =>
  new GatewayError({ code, source: 'client', phase: 'login', publicMessage, ...(hint === '' ? {} : { hint }) });

import type { ApproverGroup, Decision, Operation, PolicyEngine, Principal, Target } from '../../policy/model.ts';
import type { StatementInfo } from './analysis.ts';
import { operationOf } from './policy-operation.ts';

/**
 * Decides all statements of a text. The first denial counts; else what any of them needs approval for is asked for the text as a whole.
 * An empty text is allowed: the server does nothing for it.
 * @param approvedBy groups that have approved this very text.
 */
export function decideStatements(
  engine: PolicyEngine,
  principal: Principal,
  target: Target,
  statements: readonly StatementInfo[],
  approvedBy: readonly string[] = [],
): Decision {
  return decideOperations(engine, principal, target, statements.map(operationOf), approvedBy);
}

/** The same for what the statements are in policy's terms. */
export function decideOperations(
  engine: PolicyEngine,
  principal: Principal,
  target: Target,
  operations: readonly Operation[],
  approvedBy: readonly string[] = [],
): Decision {
  let all: Decision | null = null;
  for (const operation of operations) {
    const decision = engine.decide(principal, target, operation, approvedBy);
    all = all === null ? decision : strictest(all, decision);
    if (all.kind === 'deny') return all;
  }
  return all ?? { kind: 'allow', policies: [], snapshot: engine.snapshot };
}

/** One decision for two that must both hold. */
export function strictest(a: Decision, b: Decision): Decision {
  if (a.kind === 'deny') return a;
  if (b.kind === 'deny') return b;
  if (a.kind === 'approve' && b.kind === 'approve') {
    return { ...a, policies: union(a.policies, b.policies), approvers: mostOf([...a.approvers, ...b.approvers]) };
  }
  if (a.kind === 'approve') return a;
  if (b.kind === 'approve') return b;
  return { ...a, policies: union(a.policies, b.policies) };
}

const union = (a: readonly string[], b: readonly string[]): readonly string[] => [...new Set([...a, ...b])];

/** Each group once, with the most that any of them asks for. */
function mostOf(groups: readonly ApproverGroup[]): ApproverGroup[] {
  const needed = new Map<string, number>();
  for (const { group, needed: n } of groups) needed.set(group, Math.max(n, needed.get(group) ?? 0));
  return [...needed].map(([group, n]) => ({ group, needed: n }));
}

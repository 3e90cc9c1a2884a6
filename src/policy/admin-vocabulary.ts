import type { Operation, Target } from './model.ts';
import type { AttributeType, ProtocolVocabulary } from './vocabulary.ts';

/** What can be done with the gateway itself, by the group of actions it is in. */
const groups = {
  'sluice.read-only': ['approval.list', 'grant.list', 'session.list', 'record.read', 'metrics.read', 'events.read', 'policy.read'],
  'sluice.admin': [
    'approval.decide',
    'grant.decide',
    'grant.revoke',
    'session.kill',
    'token.issue',
    'token.revoke',
    'user.revoke',
    'key.manage',
  ],
} as const;

/** Whoever works with the gateway may want it: in neither group. */
const request = 'grant.request';
const keys = 'key.manage';

export type AdminAction = (typeof groups)[keyof typeof groups][number] | typeof request;

/** What a grant would give, as policies see it. */
export interface GrantFacts {
  /** The account of the resource. */
  readonly role: string;
  readonly seconds: number;
  readonly breakGlass: boolean;
}

/** What a service key would carry, as policies see it; no groups where it is about no key in particular. */
export interface KeyFacts {
  readonly groups: readonly string[];
}

/**
 * The words that policies may use for the gateway's own API. The groups bear the name of the protocol, so that a permit for
 * another protocol's `admin` or `read` gives nothing here, and a forbid there takes nothing away.
 */
export const adminVocabulary: ProtocolVocabulary = {
  protocol: 'sluice',
  actions: {
    ...Object.fromEntries(Object.entries(groups).flatMap(([group, actions]) => actions.map((action) => [action, [group]]))),
    [request]: [],
  },
  objectTypes: [],
  context: {},
  actionContext: {
    [request]: { role: 'String', seconds: 'Long', breakGlass: 'Bool' } satisfies Record<keyof GrantFacts, AttributeType>,
    [keys]: { groups: 'Set<String>' } satisfies Record<keyof KeyFacts, AttributeType>,
  },
};

/** What the engine is asked about, and on what. */
export interface AdminQuestion {
  readonly target: Target;
  readonly operation: Operation;
}

/** The API's question to policy. `resource` is '' where it is about none; a request for a grant is about the account it asks for. */
export function adminQuestion(action: typeof keys, resource: '', facts: KeyFacts): AdminQuestion;
export function adminQuestion(action: Exclude<AdminAction, typeof request>, resource?: string): AdminQuestion;
export function adminQuestion(action: typeof request, resource: string, facts: GrantFacts): AdminQuestion;
export function adminQuestion(
  action: AdminAction,
  resource = '',
  facts: GrantFacts | KeyFacts | null = action === keys ? { groups: [] } : null,
): AdminQuestion {
  return {
    target: { resource, kind: adminVocabulary.protocol, account: facts !== null && 'role' in facts ? facts.role : '', address: '' },
    operation: { action, objects: [], attributes: { ...facts } },
  };
}

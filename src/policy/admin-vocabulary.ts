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

export type AdminAction = (typeof groups)[keyof typeof groups][number] | typeof request;

/** What a grant would give, as policies see it. */
export interface GrantFacts {
  /** The account of the resource. */
  readonly role: string;
  readonly seconds: number;
  readonly breakGlass: boolean;
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
  actionContext: { [request]: { role: 'String', seconds: 'Long', breakGlass: 'Bool' } satisfies Record<keyof GrantFacts, AttributeType> },
};

/** The API's question to policy. `resource` is '' where it is about none; a request for a grant is about the account it asks for. */
export function adminQuestion(
  action: Exclude<AdminAction, typeof request>,
  resource?: string,
): { readonly target: Target; readonly operation: Operation };
export function adminQuestion(
  action: typeof request,
  resource: string,
  facts: GrantFacts,
): { readonly target: Target; readonly operation: Operation };
export function adminQuestion(
  action: AdminAction,
  resource = '',
  facts?: GrantFacts,
): { readonly target: Target; readonly operation: Operation } {
  return {
    target: { resource, kind: adminVocabulary.protocol, account: facts?.role ?? '', address: '' },
    operation: { action, objects: [], attributes: facts === undefined ? {} : { ...facts } },
  };
}

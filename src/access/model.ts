import type { GatewayError } from '../errors.ts';
import type { ApproverGroup, Principal, Target } from '../policy/model.ts';

/** Who may do what beyond the policies, for how long, and who said so: the same for every protocol. */

/** `used`: an approved operation that has run. `lost`: the session or the gateway that waited is gone. */
export type ApprovalState = 'pending' | 'approved' | 'denied' | 'expired' | 'cancelled' | 'lost' | 'used';

/** `wait`: the operation is held until the decision. `retry`: it was refused, and runs once when sent again. */
export type ApprovalMode = 'wait' | 'retry';

/** What an operation that needs approval is asked with. Texts are masked already. */
export interface ApprovalQuestion {
  readonly sid: string;
  readonly principal: Principal;
  readonly target: Target;
  readonly source: string;
  readonly action: string;
  /** `action path`, e.g. `delete public.cards`. */
  readonly objects: readonly string[];
  readonly policies: readonly string[];
  readonly approvers: readonly ApproverGroup[];
  /** The statement, request or command line, with its literals masked where they may be protected. */
  readonly statement: string;
  /** Bind values, masked, as the record has them. */
  readonly params: readonly string[];
  /** What the approval is bound to: the exact text and binds. Only a keyed digest of it is kept. */
  readonly exact: readonly Uint8Array[];
  /** How many rows the target expects to be touched, where it could be asked safely; else why not. */
  readonly estimate: { readonly rows: number } | { readonly unavailable: string };
  readonly mode: ApprovalMode;
  /** Why, in the words of who asks, masked; '' when nothing was said. An approval is not bound to it. */
  readonly reason: string;
}

export interface ApprovalVote {
  readonly approver: string;
  readonly issuer: string;
  /** The groups in whose name it counts. */
  readonly groups: readonly string[];
  readonly decision: 'approve' | 'deny';
  readonly reason: string;
  /** ms since the epoch. */
  readonly at: number;
}

/** A request as approvers see it. */
export interface Approval {
  readonly id: string;
  readonly state: ApprovalState;
  readonly mode: ApprovalMode;
  readonly gateway: string;
  readonly sid: string;
  readonly requester: { readonly name: string; readonly issuer: string; readonly subject: string };
  readonly source: string;
  /** Why, in the words of who asks, masked; '' when nothing was said. */
  readonly reason: string;
  readonly resource: string;
  readonly account: string;
  readonly action: string;
  readonly objects: readonly string[];
  readonly policies: readonly string[];
  readonly approvers: readonly ApproverGroup[];
  readonly statement: string;
  readonly params: readonly string[];
  readonly estimate: ApprovalQuestion['estimate'];
  readonly rowBudget: number | null;
  readonly votes: readonly ApprovalVote[];
  /** ms since the epoch. */
  readonly createdAt: number;
  /** When a time-out denies it, or an approved retry lapses; null: never. */
  readonly expiresAt: number | null;
  readonly decidedAt: number | null;
}

/** How a request ended for the operation that waits for it. */
export type ApprovalOutcome =
  | { readonly state: 'approved'; readonly approval: Approval; readonly approvedBy: readonly string[] }
  | { readonly state: 'denied' | 'expired' | 'cancelled' | 'lost'; readonly approval: Approval };

export interface PendingApproval {
  readonly approval: Approval;
  /** Where approvers decide; '' when the gateway has no API listener. */
  readonly url: string;
  /**
   * Settles once and never rejects: an error of the store is `lost`. An approved request is `used` by the time it is here. Of a
   * request to `retry` it says `lost` at once, since nobody waits: only `claim` runs it.
   */
  readonly outcome: Promise<ApprovalOutcome>;
  /** `cancelled` by the client, or `lost` with its session. A request to `retry` outlives its session: only `cancelled` ends it. */
  end(state: 'cancelled' | 'lost'): void;
}

/** Requests for approval of single operations. Every change of state is an `approval` line in the record of the gateway that made it. */
export interface Approvals {
  /**
   * Asks. The request is in the store, recorded and announced when this resolves. Throws GatewayError `store_unavailable`,
   * `record_failed`, `approval_too_many` (of one person undecided at once).
   */
  ask(question: ApprovalQuestion): Promise<PendingApproval>;
  /** For `retry`: takes an approved request for exactly this operation, session's principal, resource and account; once. Null when there is none. */
  claim(question: ApprovalQuestion): Promise<ApprovalOutcome | null>;
  /**
   * Throws GatewayError: `approval_unknown`, `approval_decided`, `person_required` (no service decides), `approval_own` (a requester never
   * decides, nor whoever made a key of the service that asks), `approval_not_yours` (in none of the groups), `approval_voted`.
   */
  decide(id: string, by: Principal, decision: 'approve' | 'deny', reason: string, rowBudget?: number): Promise<Approval>;
  get(id: string): Promise<Approval | null>;
  /** Newest first. Long statements and parameters are cut short: `get` has them whole. */
  list(filter: { readonly state?: ApprovalState; readonly limit: number; readonly before?: number }): Promise<readonly Approval[]>;
}

export type GrantState = 'pending' | 'active' | 'denied' | 'expired' | 'revoked' | 'cancelled';

/** Membership in the group `<resource>/<role>` for the duration of a task. */
export interface Grant {
  readonly id: string;
  readonly state: GrantState;
  readonly user: { readonly name: string; readonly issuer: string; readonly subject: string };
  readonly resource: string;
  /** The account of the resource. */
  readonly role: string;
  readonly seconds: number;
  readonly reason: string;
  readonly ticket: string;
  /** Taken at once; `approvers` have to confirm it afterwards (their votes may come when it is over), and an alert goes out. */
  readonly breakGlass: boolean;
  readonly approvers: readonly ApproverGroup[];
  readonly votes: readonly ApprovalVote[];
  readonly createdAt: number;
  readonly startsAt: number | null;
  /** Of a pending one: when the request lapses. */
  readonly expiresAt: number | null;
  readonly lastUsedAt: number | null;
  /** Who revoked it or took the request back, and why; null: nobody. A vote that ended it is among the votes. */
  readonly ended: {
    readonly by: string;
    /** '' where the identity provider ended it. */
    readonly issuer: string;
    readonly reason: string;
    /** ms since the epoch. */
    readonly at: number;
  } | null;
}

export interface Grants {
  /**
   * Throws GatewayError `grant_resource`, `grant_role`, `grant_seconds`, `grant_reason`, `grant_denied`, `grant_too_many` (undecided at once),
   * `grant_unconfirmed` (by break-glass, while earlier ones await those who confirm them).
   */
  request(by: Principal, wanted: Pick<Grant, 'resource' | 'role' | 'seconds' | 'reason' | 'ticket' | 'breakGlass'>): Promise<Grant>;
  /** Errors as of Approvals.decide, with `grant_` for `approval_`. */
  decide(id: string, by: Principal, decision: 'approve' | 'deny', reason: string): Promise<Grant>;
  revoke(id: string, by: Principal, reason: string): Promise<Grant>;
  list(filter: {
    readonly state?: GrantState;
    readonly user?: string;
    readonly breakGlass?: boolean;
    readonly limit: number;
  }): Promise<readonly Grant[]>;
  get(id: string): Promise<Grant | null>;
  /** Groups that the principal has by active grants, now. From memory: every gateway keeps them current by notifications. */
  groupsOf(principal: Principal): readonly { readonly group: string; readonly grant: string; readonly expiresAt: number }[];
  /** Notes that a session began under it. */
  used(grant: string): void;
}

/** What has been taken back. From memory on the way of a log-in, kept current by notifications. */
export interface Revocations {
  /** Throws GatewayError `revoked` when the principal or its credential was revoked. */
  check(principal: Principal): void;
  revokeUser(name: string, issuer: string, by: Principal | 'identity-provider', reason: string): Promise<void>;
  revokeCredential(id: string, by: Principal | 'identity-provider', reason: string): Promise<void>;
  /** A user who came back: revocations of the user (not of credentials) end. */
  restoreUser(name: string, issuer: string, by: Principal, reason: string): Promise<void>;
  list(): Promise<
    readonly {
      readonly kind: 'user' | 'credential';
      readonly id: string;
      readonly by: string;
      readonly reason: string;
      readonly at: number;
    }[]
  >;
}

/** An open session of any protocol, as the live list shows it and as revocation, grants and idling end it. */
export interface LiveSession {
  readonly sid: string;
  readonly protocol: string;
  /** With the groups that were in force at its start, those of grants included. */
  readonly principal: Principal;
  readonly target: Target;
  readonly source: string;
  /** ms since the epoch. */
  readonly startedAt: number;
  /** Ids of the grants that it stands on. */
  readonly grants: readonly string[];
  /** ms of the monotonic clock at the last thing the client sent, and whether something is running or waiting. */
  readonly lastActive: number;
  readonly busy: boolean;
  readonly operations: number;
  readonly denied: number;
  /** Masked values by name of rule. */
  readonly masked: Readonly<Record<string, number>>;
  /** Ends it with an error in the protocol's own form; the record says why. */
  end(error: GatewayError): void;
}

/** An open session of whichever gateway, as it is shown. */
export interface SessionView {
  readonly gateway: string;
  readonly sid: string;
  readonly protocol: string;
  readonly user: string;
  readonly issuer: string;
  readonly subject: string;
  readonly kind: Principal['kind'];
  readonly groups: readonly string[];
  readonly resource: string;
  readonly account: string;
  readonly source: string;
  /** ms since the epoch. */
  readonly startedAt: number;
  readonly busy: boolean;
  readonly operations: number;
  readonly denied: number;
  readonly masked: Readonly<Record<string, number>>;
  readonly grants: readonly string[];
}

export interface AllSessions {
  readonly sessions: readonly SessionView[];
  /** Whether every gateway that is there was heard. */
  readonly complete: boolean;
  /** Names of those that did not answer in time. */
  readonly silent: readonly string[];
}

export interface LiveSessions {
  /** Takes note of a session; the returned function forgets it. */
  add(session: LiveSession): () => void;
  /** Those of this process. */
  list(): readonly LiveSession[];
  /** Those of all gateways of the store; never rejects. */
  listAll(): Promise<AllSessions>;
  /** One, on whichever gateway it is. Null when no gateway that answers has it. */
  find(sid: string): Promise<SessionView | null>;
  /** Ends one, on whichever gateway it is. False when no gateway that answers has it. @param resource of the session, for the record. */
  kill(sid: string, by: Principal, reason: string, resource?: string): Promise<boolean>;
}

/** Something that happened, for the event stream, the webhook and the alerts. No payloads. */
export interface LiveEvent {
  readonly type:
    | 'session.start'
    | 'session.end'
    | 'login.failed'
    | 'denied'
    | 'approval'
    | 'grant'
    | 'revocation'
    | 'config'
    | 'alert'
    | 'control.failed';
  /** ms since the epoch. */
  readonly at: number;
  readonly gateway: string;
  readonly sid: string;
  readonly user: string;
  readonly resource: string;
  /** `seq` of the record line that holds the whole of it; 0 when there is none. */
  readonly line: number;
  readonly detail: Readonly<Record<string, string | number | boolean | readonly string[]>>;
}

export interface Events {
  /** Emitting costs a loop over the listeners and nothing else. A listener that throws is logged and kept. */
  emit(event: Omit<LiveEvent, 'at' | 'gateway'>): void;
  listen(listener: (event: LiveEvent) => void): () => void;
}

/** Alerts and controls that failed, as they are looked at afterwards. */
export interface AlertLog {
  /** The latest of all gateways of the store, newest first; never rejects. Not complete while the store is away. */
  latest(): Promise<{ readonly alerts: readonly LiveEvent[]; readonly complete: boolean }>;
}

/** Everything above, as the session layer lends it to protocols and API. */
export interface Access {
  readonly approvals: Approvals;
  readonly grants: Grants;
  readonly revocations: Revocations;
  readonly live: LiveSessions;
  readonly events: Events;
  readonly alerts: AlertLog;
}

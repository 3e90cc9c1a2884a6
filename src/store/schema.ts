import type { ColumnType, Generated, JSONColumnType } from 'kysely';

/** Tables of the control store. Times are bigint milliseconds since the epoch, as the gateways' clocks give them. */
export interface ControlSchema {
  users: UserTable;
  revocations: RevocationTable;
  revoked_before: RevokedBeforeTable;
  service_keys: ServiceKeyTable;
  login_attempts: LoginAttemptTable;
  web_sessions: WebSessionTable;
  issued_tokens: IssuedTokenTable;
  approvals: ApprovalTable;
  approval_votes: VoteTable;
  grants: GrantTable;
  grant_votes: VoteTable;
  gateways: GatewayTable;
  token_keys: TokenKeyTable;
  session_answers: SessionAnswerTable;
  alerts: AlertTable;
  seal_check: SealCheckTable;
}

/** int8 comes as text from one driver and as bigint from another: the store gives numbers. */
type Milliseconds = ColumnType<number, number, number>;

/** Everybody who ever logged in, by issuer and subject (PCI DSS 8.2.1: one person, one id). */
export interface UserTable {
  issuer: string;
  subject: string;
  name: string;
  kind: 'user' | 'service';
  groups: JSONColumnType<string[]>;
  first_seen: Milliseconds;
  last_seen: Milliseconds;
}

export interface RevocationTable {
  kind: 'user' | 'credential';
  /** Credential id, or `issuer name` of a user. */
  id: string;
  revoked_by: string;
  reason: string;
  at: Milliseconds;
}

/** When each user was last revoked; stays when the user is restored. */
export interface RevokedBeforeTable {
  /** `issuer name` */
  id: string;
  at: Milliseconds;
}

/** Keys of service accounts. The secret itself is not kept: `digest` is keyed with the sealing key. */
export interface ServiceKeyTable {
  id: string;
  service: string;
  groups: JSONColumnType<string[]>;
  digest: Uint8Array;
  created_by: string;
  created_at: Milliseconds;
  expires_at: Milliseconds;
  last_used_at: Milliseconds | null;
  /** The key that takes its place: until `expires_at` both work. */
  replaced_by: string | null;
}

/** A log-in on its way: state, nonce and verifier of OIDC, RelayState of SAML, a device code, a code for the command line. Sealed. */
export interface LoginAttemptTable {
  id: string;
  kind: string;
  sealed: Uint8Array;
  created_at: Milliseconds;
  expires_at: Milliseconds;
}

/** Log-ins of browsers; the cookie itself is kept as a keyed digest. */
export interface WebSessionTable {
  digest: Uint8Array;
  principal: JSONColumnType<Record<string, unknown>>;
  csrf: string;
  created_at: Milliseconds;
  last_used_at: Milliseconds;
  expires_at: Milliseconds;
}

export interface IssuedTokenTable {
  id: string;
  issuer: string;
  subject: string;
  name: string;
  kind: 'user' | 'service';
  /** Name of the provider that vouched for it, `local` for the command line. */
  provider: string;
  /** What it is for alone; null: everything, as a log-in is. */
  audience: 'connect' | 'api' | null;
  /** Sealed refresh token of the identity provider, with which it is asked whether the user is still there; null: none. */
  refresh: Uint8Array | null;
  issued_at: Milliseconds;
  expires_at: Milliseconds;
  last_used_at: Milliseconds | null;
}

export interface ApprovalTable {
  id: string;
  state: string;
  mode: string;
  gateway: string;
  /** Which process of the gateway waits: a request whose process is gone is lost. */
  process: string;
  sid: string;
  reason: string;
  requester: JSONColumnType<{ name: string; issuer: string; subject: string }>;
  source: string;
  resource: string;
  account: string;
  action: string;
  objects: JSONColumnType<string[]>;
  policies: JSONColumnType<string[]>;
  approvers: JSONColumnType<{ group: string; needed: number }[]>;
  statement: string;
  params: JSONColumnType<string[]>;
  estimate: JSONColumnType<Record<string, unknown>>;
  /** Keyed digest of text and binds. */
  digest: Uint8Array;
  row_budget: number | null;
  created_at: Milliseconds;
  expires_at: Milliseconds | null;
  decided_at: Milliseconds | null;
}

/** One vote a person and a request. */
export interface VoteTable {
  request: string;
  approver: string;
  issuer: string;
  subject: string;
  groups: JSONColumnType<string[]>;
  decision: 'approve' | 'deny';
  reason: string;
  at: Milliseconds;
}

export interface GrantTable {
  id: string;
  state: string;
  user_name: string;
  user_issuer: string;
  user_subject: string;
  resource: string;
  role: string;
  seconds: number;
  reason: string;
  ticket: string;
  break_glass: boolean;
  approvers: JSONColumnType<{ group: string; needed: number }[]>;
  created_at: Milliseconds;
  starts_at: Milliseconds | null;
  expires_at: Milliseconds | null;
  last_used_at: Milliseconds | null;
  /** Who revoked or cancelled it, and why. */
  ended: ColumnType<GrantEnding | null, string | null | undefined, string | null>;
}

export interface GrantEnding {
  readonly by: string;
  /** '' where the identity provider ended it. */
  readonly issuer: string;
  readonly reason: string;
  readonly at: number;
}

/** Processes that are up: each renews its own row. */
export interface GatewayTable {
  process: string;
  gateway: string;
  started_at: Milliseconds;
  seen_at: Milliseconds;
}

/** With which key each gateway signs its tokens. */
export interface TokenKeyTable {
  /** `gateway.name` */
  issuer: string;
  /** Ed25519, SubjectPublicKeyInfo in DER. */
  public_key: Uint8Array;
  /** Keyed digest of issuer and key: a row that no gateway wrote has none that fits. */
  mac: Uint8Array;
  /** Who said last that it is in use. */
  process: string;
  published_at: Milliseconds;
  seen_at: Milliseconds;
}

/** What gateways answer to one that asks for their open sessions, until it has read it. */
export interface SessionAnswerTable {
  request: string;
  process: string;
  /** JSON. */
  sessions: string;
  at: Milliseconds;
}

/** The latest alerts of every gateway. */
export interface AlertTable {
  id: Generated<number>;
  gateway: string;
  at: Milliseconds;
  /** JSON. */
  event: string;
}

/** One row: a value sealed with the key of the store, by which a gateway with another key is found out. */
export interface SealCheckTable {
  id: number;
  sealed: Uint8Array;
}

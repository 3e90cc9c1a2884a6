/** The terms of a decision, the same for every protocol. Pure data: nothing here does I/O. */

/** Who acts. `issuer` and `subject` name one person or one service, never a shared account (PCI DSS 8.2.1). */
export interface Principal {
  readonly kind: 'user' | 'service';
  readonly name: string;
  readonly issuer: string;
  readonly subject: string;
  readonly groups: readonly string[];
  /** How the principal proved itself; never the secret. */
  readonly credential: {
    readonly kind: string;
    readonly id: string;
    readonly expiresAt: number;
    /** ms since the epoch. Without it the credential is refused once its user was ever revoked. */
    readonly issuedAt?: number;
    /** Ids of the credentials that this one was made from: revoked with any of them. */
    readonly parents?: readonly string[];
  };
  /** Identity provider evidence (acr, amr, auth_time ...), where there is any. */
  readonly claims: Readonly<Record<string, string | number | readonly string[]>>;
}

/** What is acted on: a registered resource and the account the gateway uses there. */
export interface Target {
  readonly resource: string;
  readonly kind: string;
  readonly account: string;
  readonly address: string;
}

/** One object an operation touches, e.g. `{ type: 'Table', path: 'public.cards', action: 'select' }`. */
export interface ObjectRef {
  readonly type: string;
  readonly path: string;
  readonly action: string;
}

/** A parsed operation: what policy decides on. */
export interface Operation {
  /** The main class, e.g. `select`, `drop`, `exec`, `get`. */
  readonly action: string;
  readonly objects: readonly ObjectRef[];
  /** Facts that policies may test, by the names of the Cedar schema. */
  readonly attributes: Readonly<Record<string, string | number | boolean | readonly string[]>>;
}

/** Denial is a value, not an exception. `policies` are ids; `snapshot` is the hash of the policy set that decided. */
export type Decision =
  | { readonly kind: 'allow'; readonly policies: readonly string[]; readonly snapshot: string }
  | {
      readonly kind: 'deny';
      readonly policies: readonly string[];
      readonly snapshot: string;
      readonly reason: 'no-permit' | 'forbidden' | 'unparsed' | 'unsupported' | 'error';
      readonly message: string;
      readonly hint: string;
      /** Character of the text, from 1, from which on it could not be understood. */
      readonly position?: number;
    }
  | {
      /** Only an approval by all of `approvers` would allow it. Whoever does not handle this must treat it as a denial. */
      readonly kind: 'approve';
      /** The forbids that ask for it. */
      readonly policies: readonly string[];
      readonly snapshot: string;
      readonly approvers: readonly ApproverGroup[];
      readonly message: string;
      readonly hint: string;
    };

/** Whatever is not allowed: what a consumer that knows nothing of approvals denies. */
export type Refusal = Exclude<Decision, { readonly kind: 'allow' }>;

/** How many members of a group have to approve. */
export interface ApproverGroup {
  readonly group: string;
  readonly needed: number;
}

/** The policy engine: immutable snapshot behind it, replaced whole on reload. */
export interface PolicyEngine {
  /** `approvedBy`: groups that have approved this very operation. */
  decide(principal: Principal, target: Target, operation: Operation, approvedBy?: readonly string[]): Decision;
  /**
   * Everything of the principal, and of the time, that its decisions depend on: while this and the engine are the same, a decision
   * taken before still holds.
   */
  scope(principal: Principal): string;
  /** SHA-256 over the policy files and schema, hex. */
  readonly snapshot: string;
}

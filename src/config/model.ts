/** The configuration after validation: defaults filled in, references (`env:`, `file:`) resolved lazily by `secret()`. Immutable. */

export interface Config {
  /** Absolute path of the file it came from. */
  readonly file: string;
  readonly gateway: { readonly name: string; readonly dataDir: string };
  /** Listener addresses by protocol name. */
  readonly listeners: Readonly<Record<string, ListenAddress>>;
  readonly tls: { readonly cert: string; readonly key: string } | null;
  /** Cleartext logins are taken only from loopback and only when this is set. */
  readonly allowPlaintextLoopback: boolean;
  readonly workers: { readonly count: number | 'auto'; readonly dispatch: 'auto' | 'inline' | 'pool' };
  readonly recording: {
    readonly durability: 'durable' | 'buffered';
    readonly output: 'full' | 'none';
    readonly retentionDays: number;
    readonly segmentBytes: number;
    readonly checkpointSeconds: number;
  };
  readonly masking: {
    readonly keepLast: number;
    readonly keepFirst: 0 | 6 | 8;
    readonly optIn: readonly string[];
    readonly patterns: readonly MaskPattern[];
  };
  readonly limits: Limits;
  /** Absolute path of the directory of Cedar policies. */
  readonly policies: string;
  readonly resources: readonly Resource[];
  /** `embedded`, or the reference to a connection string (`env:`, `file:` or the string itself). */
  readonly store: string;
  readonly identity: IdentityConfig;
  readonly access: AccessConfig;
  /** Where the API and its pages are served; null: not at all. */
  readonly api: {
    readonly address: ListenAddress;
    /** As clients and approvers reach it, without a slash at the end. */
    readonly url: string;
    /** Whose word on where a request comes from (X-Forwarded-For) is believed. */
    readonly trustedProxies: readonly AddressRange[];
  } | null;
}

/** Addresses that have the first `prefix` bits in common. */
export interface AddressRange {
  readonly address: string;
  readonly prefix: number;
  readonly family: 'ipv4' | 'ipv6';
}

export interface IdentityConfig {
  readonly oidc: readonly OidcProviderConfig[];
  readonly saml: readonly SamlProviderConfig[];
  /** Values of `acr` that stand for several factors with these providers. */
  readonly mfaClasses: readonly string[];
  /** Life of the tokens issued after a log-in in the browser, s. */
  readonly tokenSeconds: number;
  /** A person's session that is idle for so long ends, s; 0: never. */
  readonly idleSeconds: number;
}

export interface OidcProviderConfig {
  readonly name: string;
  /** Issuer identifier, an https URL (http only on loopback). */
  readonly issuer: string;
  readonly clientId: string;
  /** Reference to the secret; null: a public client. */
  readonly clientSecret: string | null;
  /** Audiences accepted in tokens that clients present themselves; the client id is always one. */
  readonly audiences: readonly string[];
  /** People log in with it in a browser. */
  readonly login: boolean;
  /** Tokens of it are accepted directly, and whose they are; null: not accepted. */
  readonly tokens: 'user' | 'service' | null;
  readonly nameClaim: string;
  readonly groupsClaim: string;
  readonly scopes: readonly string[];
  /** Signature algorithms accepted; never `none`, never a symmetric one. */
  readonly algorithms: readonly string[];
  /** CA certificates of the provider, absolute path. */
  readonly ca: string | null;
}

export interface SamlProviderConfig {
  readonly name: string;
  readonly entryPoint: string;
  readonly idpIssuer: string;
  /** Entity id of the gateway. */
  readonly issuer: string;
  /** Certificate that the provider signs with, absolute path, PEM. */
  readonly cert: string;
  /** '' is the NameID. */
  readonly nameAttribute: string;
  readonly groupsAttribute: string;
}

export interface AccessConfig {
  readonly approvals: {
    /** A request undecided for so long is denied, s; null: it waits until decided. */
    readonly timeoutSeconds: number | null;
    /** Inside an open transaction: refuse and let it be sent again, or hold the transaction's locks. */
    readonly inTransaction: 'retry' | 'wait';
    /** How long an approved operation may be sent again, s. */
    readonly retrySeconds: number;
    readonly webhook: WebhookConfig | null;
  };
  readonly grants: { readonly maxSeconds: number; readonly breakGlassGroups: readonly string[] };
  readonly alerts: {
    readonly webhook: WebhookConfig | null;
    /** Masked card numbers of one principal within `windowSeconds`; 0: no such alert. The same for the others. */
    readonly cards: number;
    readonly denials: number;
    readonly failedLogins: number;
    readonly windowSeconds: number;
    /** Working hours as `[from, to)` in hours UTC on working days; sessions of people outside raise an alert. Null: none. */
    readonly hours: { readonly from: number; readonly to: number; readonly weekends: boolean } | null;
  };
}

export interface WebhookConfig {
  readonly url: string;
  /** Reference to the key that signs the payload (HMAC-SHA-256). */
  readonly secret: string;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface MaskPattern {
  readonly id: string;
  readonly regex: string;
  readonly keepLast: number;
}

export interface Limits {
  /** Longest statement text, bytes. */
  readonly statementBytes: number;
  /** Longest message a client may send, bytes. */
  readonly messageBytes: number;
  /** Longest bind value recorded with its content, bytes. */
  readonly bindBytes: number;
  readonly sessions: number;
  readonly loginSeconds: number;
  /** Connections that have not logged in, at once; half of them from one address. */
  readonly pendingLogins: number;
}

export interface Account {
  readonly user: string /** `env:NAME`, `file:PATH` or a literal (warned about). */;
  readonly password: string;
  /** Groups that may use it; null: the policies alone decide. The group `<resource>/<account>`, which grants give, always may. */
  readonly groups: readonly string[] | null;
}

export interface Resource {
  readonly name: string;
  readonly kind: string;
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly tls: 'verify-full' | 'require' | 'disable';
  readonly ca: string | null;
  /** In file order; the first is the default (least privileged first). */
  readonly accounts: ReadonlyMap<string, Account>;
  /** `schema.table.column` -> class of data. */
  readonly protect: ReadonlyMap<string, ProtectClass>;
  /** What becomes of statements that return values computed from protected columns: masked whole, or denied. Absent: `mask`. */
  readonly computed?: 'mask' | 'deny';
}

/** pan: keeps the last digits; sad (CVV, PIN, track): whole, never revealed; others: whole. */
export type ProtectClass = 'pan' | 'sad' | 'name' | 'expiry' | 'secret';

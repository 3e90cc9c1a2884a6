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
}

export interface Account {
  readonly user: string /** `env:NAME`, `file:PATH` or a literal (warned about). */;
  readonly password: string;
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
}

/** pan: keeps the last digits; sad (CVV, PIN, track): whole, never revealed; others: whole. */
export type ProtectClass = 'pan' | 'sad' | 'name' | 'expiry' | 'secret';

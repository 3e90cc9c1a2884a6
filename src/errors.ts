/** Where an error came from: who would have to act to mend it. */
export type ErrorSource = 'client' | 'upstream' | 'gateway';

/** The step of the pipeline that failed. */
export type ErrorPhase =
  | 'config'
  | 'listen'
  | 'accept'
  | 'login'
  | 'connect'
  | 'frame'
  | 'classify'
  | 'decide'
  | 'record'
  | 'forward'
  | 'mask'
  | 'shutdown';

export interface GatewayErrorOptions {
  /** Stable, machine-readable: `token_expired`, `record_failed`, ... */
  readonly code: string;
  readonly source: ErrorSource;
  readonly phase: ErrorPhase;
  readonly retryable?: boolean;
  readonly cause?: unknown;
  /** What the client may be told; never a payload, never a secret. */
  readonly publicMessage: string;
  /** What the client may do about it. */
  readonly hint?: string;
}

/** The one error of the gateway. Each protocol maps it to its own wire form. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: string;
  readonly source: ErrorSource;
  readonly phase: ErrorPhase;
  readonly retryable: boolean;
  readonly publicMessage: string;
  readonly hint: string | undefined;

  constructor(options: GatewayErrorOptions) {
    super(`${options.code}: ${options.publicMessage}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code;
    this.source = options.source;
    this.phase = options.phase;
    this.retryable = options.retryable ?? false;
    this.publicMessage = options.publicMessage;
    this.hint = options.hint;
  }
}

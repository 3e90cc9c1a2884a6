import type { Resource } from '../config/model.ts';
import type { Decision, PolicyEngine, Principal, Target } from '../policy/model.ts';

/** What would become of one operation, without doing it: what `sluice explain` asks a protocol. */
export interface ExplainRequest {
  readonly resource: Resource;
  readonly principal: Principal;
  readonly target: Target;
  readonly policy: PolicyEngine;
  /** The operation as a client would send it, e.g. a statement. */
  readonly text: string;
  /** Nothing is asked of the target, even where that would tell more. */
  readonly offline: boolean;
  /** Resolves `env:` and `file:` references. */
  readonly secret: (reference: string) => string;
  readonly timeoutMs: number;
}

export interface Explanation {
  /** The decision with everything the protocol adds to the policies. */
  readonly decision: Decision;
  readonly action: string;
  /** The same for operations that differ in their values alone; '' where there is none. */
  readonly fingerprint: string;
  /** `action path`. */
  readonly objects: readonly string[];
  /** What of the reply would be masked, and how. */
  readonly masked: readonly { readonly name: string; readonly how: string }[];
  /** What could not be told, and why. */
  readonly notes: readonly string[];
}

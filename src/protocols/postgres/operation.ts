import { jsonString } from '../../recording/json.ts';
import type { Classified } from './classifier.ts';
import type { RowBudget } from './row-budget.ts';

export type OperationStatus = 'ok' | 'error' | 'unknown' | 'aborted' | 'not-reached' | 'suspended';

/** A COPY by its place in a text, which may hold several. */
export interface CopyStatement {
  readonly classified: Classified;
  readonly index: number;
  /** Types of the columns of the query that it copies, as the server described them; null: not known. */
  readonly types: readonly number[] | null;
}

/** One recorded operation: from its intent line to its result line. */
export class PgOperation {
  /** `seq` of its intent or deny line. */
  readonly seq: number;
  /** Refused before it was forwarded: its line says so, and a result only follows when the server never came to it. */
  readonly denied: boolean;
  readonly #startedAt: number;
  #status: OperationStatus = 'unknown';
  #us = 0;
  tag = '';
  rows = 0;
  bytes = 0;
  code = '';
  masked: Uint32Array | null = null;
  maskedColumns: readonly string[] = [];
  done = false;
  /** Part of its reply is in output lines already. */
  hasOutput = false;
  /** What its approval lets it come to; null: no limit. */
  budget: RowBudget | null = null;
  /** A simple query that is sent in steps: its Sync is sent once its rows are known. */
  syncHeld = false;
  /** What a COPY copies: set when the server begins it. */
  copyOf: CopyStatement | null = null;
  /** Types of the columns of the query that a COPY copies, once the server has described them. */
  copiedTypes: readonly number[] | null = null;

  /** @param now milliseconds of a monotonic clock. */
  constructor(seq: number, now: number, denied: boolean) {
    this.seq = seq;
    this.#startedAt = now;
    this.denied = denied;
  }

  /** Adds what a masking call counted, and clears the counters for the next one. */
  count(counts: Uint32Array): void {
    for (let i = 0; i < counts.length; i++) {
      const n = counts[i] ?? 0;
      if (n === 0) continue;
      this.masked ??= new Uint32Array(counts.length);
      this.masked[i] = (this.masked[i] ?? 0) + n;
      counts[i] = 0;
    }
  }

  /** The outcome is known. False when it was known before. @param now as in the constructor. */
  settle(status: OperationStatus, now: number): boolean {
    if (this.done) return false;
    this.done = true;
    this.#status = status;
    this.#us = Math.round((now - this.#startedAt) * 1000);
    return true;
  }

  /** The members of the result line. */
  resultMembers(ruleNames: readonly string[]): string {
    let members = `"intent":${this.seq},"status":"${this.#status}"`;
    if (this.code !== '') members += `,"code":"${this.code}"`;
    if (this.tag !== '') members += `,"tag":${jsonString(this.tag)}`;
    members += `,"rows":${this.rows},"bytes":${this.bytes},"us":${this.#us}`;
    if (this.masked !== null) members += `,"masked":${maskCounts(this.masked, ruleNames)}`;
    if (this.maskedColumns.length > 0) members += `,"columns":[${this.maskedColumns.map(jsonString).join(',')}]`;
    return members;
  }
}

/** `{"pan":2}`: counts by rule, the one past the last rule being values masked because of their column. */
export function maskCounts(masked: Uint32Array, ruleNames: readonly string[]): string {
  const parts: string[] = [];
  for (let i = 0; i < masked.length; i++) {
    const n = masked[i] ?? 0;
    if (n > 0) parts.push(`${jsonString(ruleNames[i] ?? 'column')}:${n}`);
  }
  return `{${parts.join(',')}}`;
}

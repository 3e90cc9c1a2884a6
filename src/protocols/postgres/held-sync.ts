import type { Classified } from './classifier.ts';
import { countsRows } from './countable.ts';
import { describePortal, Front, message } from './messages.ts';
import type { Statement } from './statements.ts';

/**
 * A write by simple query whose approval limits its rows. The server commits a simple query before it says how many rows it
 * changed; so it is sent in steps of the extended protocol, and Sync, which commits, only once the number is known.
 */

const WRITES: ReadonlySet<string> = new Set(['insert', 'update', 'delete', 'merge', 'copy_from', 'create']);
const ENDS: ReadonlySet<string> = new Set(['commit', 'rollback']);
const IN_STEPS: ReadonlySet<string> = new Set(['insert', 'update', 'delete', 'merge', 'execute']);

/**
 * `whole`: nothing of it commits before its rows are known, or it changes none. `steps`: if sent so. `never`: its rows come too late.
 * @param executed what an EXECUTE runs.
 */
export function budgetForm(classified: Classified, inTransaction: boolean, executed: Statement | null): 'whole' | 'steps' | 'never' {
  const { statements } = classified;
  if (!countsRows(classified, executed)) return 'never';
  // A text that ends its transaction commits before its rows are seen here.
  if (inTransaction) return statements.length > 1 && statements.some(({ kind }) => ENDS.has(kind)) ? 'never' : 'whole';
  const [only] = statements;
  if (statements.length === 1 && only !== undefined && IN_STEPS.has(only.kind)) return 'steps';
  return statements.some((statement) => WRITES.has(statement.kind)) ? 'never' : 'whole';
}

/** The messages for a Query with this text, zero included, without what ends them. */
export const inSteps = (text: Uint8Array): Buffer =>
  Buffer.concat([
    message(Front.Parse, '\0', text, '\0\0'),
    message(Front.Bind, '\0\0\0\0\0\0\0\0'),
    describePortal(''),
    message(Front.Execute, '\0\0\0\0\0'),
    message(Front.Flush),
  ]);

const closeStatement = (): Buffer => message(Front.Close, 'S\0');

/** Ends what went well. Like a simple query it leaves no unnamed statement behind: there would be one that nobody approved to run. */
export const commitSteps = (): Buffer => Buffer.concat([closeStatement(), message(Front.Sync)]);
/** Ends what failed: the server skips up to Sync. */
export const abortSteps = (): Buffer => Buffer.concat([message(Front.Sync), closeStatement(), message(Front.Flush)]);

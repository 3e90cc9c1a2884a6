import type { StatementInfo } from './analysis.ts';
import type { Classified } from './classifier.ts';
import type { RowBudget } from './row-budget.ts';
import type { NameTable, Portal, Statement } from './statements.ts';

/**
 * Which statements say all of their rows in what the server answers, so that a row budget can be held against them. The tag of a
 * WITH that writes, of EXPLAIN ANALYZE, DO or CALL says nothing of the rows that they change, and a cursor returns its rows to
 * whoever fetches from it. What is not certain is not counted.
 */

const WRITES: ReadonlySet<string> = new Set(['insert', 'update', 'delete', 'merge']);
/** Their rows are what they return, or what their tag says, unless something in them writes. */
const READS: ReadonlySet<string> = new Set(['select', 'copy_to', 'copy_from', 'create', 'fetch', 'move', 'show', 'explain', 'prepare']);
const ROWLESS: ReadonlySet<string> = new Set(['begin', 'commit', 'rollback', 'savepoint', 'set', 'reset', 'execute']);

/** White space and comments. One within another is not looked through. */
const BLANK = String.raw`(?:\s|--[^\n\r]*[\n\r]|/\*(?:(?!/\*|\*/)[^])*\*/)*`;
const NAME = String.raw`(?:"[^"]*"|\w+)`;
/** A WITH that writes is allowed at the top only, so there is none behind these words. */
const WRITE_AT_TOP = new RegExp(`^${BLANK}(?:insert|update|delete|merge)\\b`, 'i');
const PREPARED_WRITE = new RegExp(
  String.raw`^${BLANK}prepare\s+${NAME}\s*(?:\([\w\s,]*\)\s*)?\bas\s+(?:insert|update|delete|merge)\b`,
  'i',
);
/** The words that matter come first. */
const LOOK_AT = 4096;

type Text = Pick<Classified, 'statements' | 'text'>;

/** Whether the answers to all its statements say how many rows they return or change. @param executed what an EXECUTE runs. */
export function countsRows({ statements, text }: Text, executed: Statement | null): boolean {
  return statements.every((statement) => countable(statement, text)) && (executed === null || countsRows(executed.classified, null));
}

/** The budget of the portal that a FETCH takes its rows from, which count like those that its Execute returns: of several the smallest. */
export function budgetOfFetched({ statements }: Pick<Text, 'statements'>, portals: Pick<NameTable<Portal>, 'get'>): RowBudget | null {
  let smallest: RowBudget | null = null;
  for (const { kind, name } of statements) {
    const budget = kind === 'fetch' ? (portals.get(name)?.op?.budget ?? null) : null;
    if (budget !== null && (smallest === null || budget.limit < smallest.limit)) smallest = budget;
  }
  return smallest;
}

function countable({ kind, tables, start, end }: StatementInfo, text: Buffer): boolean {
  if (ROWLESS.has(kind)) return true;
  if (!READS.has(kind) && !WRITES.has(kind)) return false;
  if (!tables.some(({ mode }) => WRITES.has(mode))) return !WRITES.has(kind);
  const words = text.toString('latin1', start, Math.min(end, start + LOOK_AT));
  return (kind === 'prepare' ? PREPARED_WRITE : WRITE_AT_TOP).test(words);
}

import type { LineageOfStatement, StatementInfo } from './analysis.ts';
import { type CatalogSnapshot, isAtLeast, type Protection } from './catalog.ts';

/** A column that is written. */
type Write = LineageOfStatement['writes'][number];

/** Ways of using a table that put values into its columns. */
const WRITES: ReadonlySet<string> = new Set(['insert', 'update', 'merge', 'create', 'alter']);
/** Those that can take the values from the table itself. */
const OWN_ROWS: ReadonlySet<string> = new Set(['update', 'merge', 'alter']);

/** Whether the statement may write what it read from protected data: only then is its lineage worth reading. */
export function mayCopyOut(statement: StatementInfo, catalog: CatalogSnapshot): boolean {
  if (statement.constantWrites || !statement.tables.some((table) => WRITES.has(table.mode))) return false;
  // CREATE TABLE ... AS EXECUTE names no source.
  if (statement.kind === 'create' || statement.kind === 'explain') return true;
  return statement.tables.some(
    (table) => table.mode === 'select' || (OWN_ROWS.has(table.mode) && catalog.protectedColumns(table.schema, table.name).length > 0),
  );
}

/** The first column that would get a value which is protected where it comes from and not where it goes; null when there is none. */
export function copyOutOf(statement: StatementInfo, lineage: LineageOfStatement, catalog: CatalogSnapshot): Write | null {
  return lineage.writes.find((write) => !staysProtected(write, statement, catalog)) ?? null;
}

function staysProtected(write: Write, statement: StatementInfo, catalog: CatalogSnapshot): boolean {
  // What the statement itself makes has no columns yet that could be protected, whatever else has its name.
  const { schema, table, column } = write;
  if (statement.tables.some((made) => made.mode === 'create' && made.name === table && made.schema === schema)) return false;
  const stored = catalog.storedProtection(schema, table, column);
  // A card number's column shows its last digits: whatever else it holds would be shown by them.
  if (stored === 'pan') return write.protect === 'pan' && write.direct;
  const source = write.protect === 'pan' && !write.direct ? 'unknown' : (write.protect as Protection);
  return isAtLeast(stored, source);
}

import type { Protection } from './catalog.ts';
import type { CopyStatement } from './operation.ts';
import { maskFor, type ReplyColumn, ReplyPlan } from './reply-plan.ts';
import type { SessionState } from './session-state.ts';
import { wellKnownColumn } from './well-known.ts';

export const COPY_FORMAT = { text: 1, csv: 2, binary: 3 } as const;

/** What a client writes, and what covers a value of unknown type. */
const TEXT = 25;

/**
 * The masks of a COPY. It comes without a RowDescription, so columns are taken from the statement: the column list, the
 * table's own columns, or the outputs of the query. What cannot be told is masked whole.
 * @param columnCount as the server announced it, once it has.
 */
export function copyPlan(
  state: SessionState,
  of: CopyStatement | null,
  columnCount = 0,
): { plan: ReplyPlan; format: 'text' | 'csv' | 'binary' } {
  const copy = of?.classified.statements[of.index]?.copy ?? null;
  const format = copy?.format ?? 'text';
  const found = of === null ? null : columnsOfCopy(state, of);
  const all = (protect: Protection | null): CopyColumn[] =>
    Array.from({ length: columnCount }, () => ({ name: '', type: 0, protect, derived: true }));
  const names = found === null ? all('unknown') : found === 'clean' ? all(null) : found;
  // What a client copies in need not be what the column takes: the server looks at it only later.
  const asText = format !== 'binary' && of?.classified.statements[of.index]?.kind === 'copy_from';
  const described = of?.types?.length === columnCount ? of.types : null;
  const exact = columnCount === 0 || names.length === columnCount;
  const count = Math.max(columnCount, exact ? names.length : columnCount);
  const columns = Array.from({ length: count }, (_, i): ReplyColumn => {
    const column = exact ? names[i] : undefined;
    const mask =
      column === undefined ? 'whole' : maskFor(column.protect ?? wellKnownColumn(column.name), column.derived && column.protect !== null);
    const type = asText ? TEXT : (column?.type ?? 0) || (described?.[i] ?? 0);
    return {
      name: state.services.masker.string(column?.name ?? ''),
      // Bytes of unknown type may be anything.
      mask: type === 0 && format === 'binary' ? 'whole' : mask,
      // A text keeps the last digits of what is protected as a card number.
      type: type === 0 && mask !== 'scan' ? TEXT : type,
      binary: format === 'binary',
    };
  });
  const options =
    copy === null
      ? undefined
      : { header: copy.header, delimiter: copy.delimiter, quote: copy.quote, escape: copy.escape, null: copy.nullString };
  return { plan: new ReplyPlan(columns, true, options), format };
}

interface CopyColumn {
  readonly name: string;
  /** Type OID; 0 when it is not known. */
  readonly type: number;
  readonly protect: Protection | null;
  readonly derived: boolean;
}

/** `clean`: nothing protected is touched. Null: it cannot be told which columns there are. */
function columnsOfCopy(state: SessionState, { classified, index }: CopyStatement): CopyColumn[] | 'clean' | null {
  const catalog = state.catalog.current;
  const statement = classified.statements[index];
  if (statement === undefined || statement.copy === null || catalog === null) return null;
  const table = statement.tables.find((use) => use.mode === 'copy_to' || use.mode === 'copy_from');
  if (table?.mode !== 'copy_from' && state.mayBeRedefined(statement)) return null;
  if (table !== undefined && statement.copy.table !== null) {
    const all = catalog.columnsOf(table.schema, table.name);
    if (all === null) return null;
    if (statement.copy.columns.length === 0) return all.map((column) => ({ ...column, derived: false }));
    return statement.copy.columns.map((name) => {
      const column = all.find((one) => one.name === name);
      return { name, type: column?.type ?? 0, protect: column?.protect ?? null, derived: false };
    });
  }
  const lineage = state.classifier.lineage(classified, catalog).statements[index];
  if (lineage === undefined || lineage.outputs.length === 0 || lineage.outputs.some((output) => output.star)) {
    return lineage?.clean === true ? 'clean' : null;
  }
  return lineage.outputs.map((output) => ({
    name: output.name,
    type: 0,
    protect: output.protect as Protection | null,
    derived: !output.direct,
  }));
}

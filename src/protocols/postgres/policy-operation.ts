import type { ObjectRef, Operation } from '../../policy/model.ts';
import type { StatementInfo, TableUse } from './analysis.ts';

/** The statement in policy's terms, by the words of vocabulary.ts. Pure. */
export function operationOf(statement: StatementInfo): Operation {
  const objects: ObjectRef[] = [];
  const seen = new Set<string>();
  const add = (type: string, path: string, action: string): void => {
    const key = `${type} ${action} ${path}`;
    if (seen.has(key)) return;
    seen.add(key);
    objects.push({ type, path, action });
  };
  for (const table of statement.tables) add('Table', tablePath(table), table.mode);
  for (const object of statement.objects) add('Object', `${object.type}:${object.name}`, statement.kind);
  return {
    action: statement.kind,
    objects,
    attributes: {
      statement: statement.kind,
      tables: once(statement.tables.map(tablePath)),
      functions: functionNames(statement.functions),
      objectTypes: once(statement.objects.map((object) => object.type)),
      settings: once(statement.settings.map((setting) => setting.name)),
      dynamicSettings: statement.dynamicSettings,
      hasWhere: statement.hasWhere,
      lockMode: statement.lockMode,
      touchesProtected: statement.touchesProtected ?? true,
    },
  };
}

/** As written, and without the schema. */
function functionNames(names: readonly string[]): readonly string[] {
  return names.length === 0 ? names : [...new Set(names.flatMap((name) => [name, name.slice(name.lastIndexOf('.') + 1)]))];
}

/** Each once. Nearly all lists have one member or none. */
function once(names: readonly string[]): readonly string[] {
  return names.length < 2 ? names : [...new Set(names)];
}

/**
 * `schema.name` as policies write it. The server searches pg_catalog first unless told otherwise, so `pg_authid` means the
 * catalog; where a search_path says otherwise this is the stricter reading.
 */
function tablePath(table: Pick<TableUse, 'schema' | 'name'>): string {
  if (table.schema !== '') return `${table.schema}.${table.name}`;
  return table.name.startsWith('pg_') ? `pg_catalog.${table.name}` : table.name;
}

import type { ObjectRef, Operation } from '../../policy/model.ts';
import type { StatementInfo, TableUse } from './analysis.ts';

/** The statement in policy's terms, by the words of vocabulary.ts. Pure. */
export function operationOf(statement: StatementInfo): Operation {
  return {
    action: statement.kind,
    objects: objectsOf(statement),
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

/** Each once. */
function objectsOf(statement: StatementInfo): readonly ObjectRef[] {
  const { tables, objects, kind } = statement;
  const all: ObjectRef[] = [];
  for (const table of tables) all.push({ type: 'Table', path: tablePath(table), action: table.mode });
  for (const object of objects) all.push({ type: 'Object', path: `${object.type}:${object.name}`, action: kind });
  // Most statements name one object, or use one in two ways.
  if (all.length < 2 || (all.length === 2 && all[0]?.action !== all[1]?.action)) return all;
  const seen = new Set<string>();
  return all.filter(({ type, path, action }) => {
    const key = `${type} ${action} ${path}`;
    return !seen.has(key) && seen.add(key);
  });
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

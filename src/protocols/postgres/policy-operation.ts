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

  const functions = new Set<string>();
  for (const name of statement.functions) {
    functions.add(name);
    functions.add(name.slice(name.lastIndexOf('.') + 1));
  }
  return {
    action: statement.kind,
    objects,
    attributes: {
      statement: statement.kind,
      tables: [...new Set(statement.tables.map(tablePath))],
      functions: [...functions],
      objectTypes: [...new Set(statement.objects.map((object) => object.type))],
      settings: [...new Set(statement.settings.map((setting) => setting.name))],
      dynamicSettings: statement.dynamicSettings,
      hasWhere: statement.hasWhere,
      lockMode: statement.lockMode,
      touchesProtected: statement.touchesProtected ?? true,
    },
  };
}

/**
 * `schema.name` as policies write it. The server searches pg_catalog first unless told otherwise, so `pg_authid` means the
 * catalog; where a search_path says otherwise this is the stricter reading.
 */
function tablePath(table: Pick<TableUse, 'schema' | 'name'>): string {
  if (table.schema !== '') return `${table.schema}.${table.name}`;
  return table.name.startsWith('pg_') ? `pg_catalog.${table.name}` : table.name;
}

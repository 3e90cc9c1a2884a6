import type { ProtocolVocabulary } from '../../policy/vocabulary.ts';

/**
 * The words that policies may use for PostgreSQL. Actions are the kinds of StatementInfo and the modes of TableUse (see
 * analysis.ts), plus `connect`, decided once at login, and `reveal`, decided on a column whose clear values are asked for.
 */
export const postgresVocabulary: ProtocolVocabulary = {
  protocol: 'postgres',
  actions: {
    connect: ['session'],
    select: ['read'],
    explain: ['read'],
    show: ['read'],
    insert: ['write'],
    update: ['write'],
    delete: ['write'],
    merge: ['write'],
    call: ['write'],
    lock: ['write'],
    truncate: ['ddl'],
    create: ['ddl'],
    alter: ['ddl'],
    drop: ['ddl'],
    comment: ['ddl'],
    security_label: ['ddl'],
    vacuum: ['ddl'],
    analyze: ['ddl'],
    cluster: ['ddl'],
    reindex: ['ddl'],
    refresh: ['ddl'],
    maintain: ['ddl'],
    grant: ['admin'],
    revoke: ['admin'],
    role: ['admin'],
    do: ['admin'],
    checkpoint: ['admin'],
    load: ['admin'],
    replication: ['admin'],
    other: ['admin'],
    reveal: [],
    set: ['session'],
    reset: ['session'],
    discard: ['session'],
    prepare: ['session'],
    execute: ['session'],
    deallocate: ['session'],
    declare: ['session'],
    fetch: ['session'],
    move: ['session'],
    close: ['session'],
    listen: ['session'],
    notify: ['session'],
    unlisten: ['session'],
    begin: ['transaction'],
    commit: ['transaction'],
    rollback: ['transaction'],
    savepoint: ['transaction'],
    copy_to: ['copy'],
    copy_from: ['copy'],
    copy_file: ['copy'],
    copy_program: ['copy'],
  },
  objectTypes: [
    { name: 'Schema', in: [], attributes: ['name'], describe: (path) => ({ attributes: { name: path }, parents: [] }) },
    // Path `schema.table`, or `table` when the schema is not known.
    {
      name: 'Table',
      in: ['Schema'],
      attributes: ['schema', 'name'],
      describe: (path) => {
        const dot = path.indexOf('.');
        if (dot < 0) return { attributes: { schema: '', name: path }, parents: [] };
        const schema = path.slice(0, dot);
        return { attributes: { schema, name: path.slice(dot + 1) }, parents: [{ type: 'Schema', path: schema }] };
      },
    },
    // Path `schema.table.column`.
    {
      name: 'Column',
      in: ['Table', 'Schema'],
      attributes: ['schema', 'table', 'name'],
      describe: (path) => {
        const [schema = '', table = '', ...name] = path.split('.');
        return {
          attributes: { schema, table, name: name.join('.') },
          parents: [
            { type: 'Table', path: `${schema}.${table}` },
            { type: 'Schema', path: schema },
          ],
        };
      },
    },
    // What DDL names beside relations: path `<type>:<name>`, e.g. `role:app` or `system:`.
    {
      name: 'Object',
      in: [],
      attributes: ['type', 'name'],
      describe: (path) => {
        const colon = path.indexOf(':');
        return { attributes: { type: colon < 0 ? '' : path.slice(0, colon), name: path.slice(colon + 1) }, parents: [] };
      },
    },
  ],
  context: {
    /** The kind of the whole statement; the action of a table it touches may differ. */
    statement: 'String',
    /** As written, `schema.name` or `name`; a name `pg_*` without schema counts as one of pg_catalog. */
    tables: 'Set<String>',
    /** As written and without schema, so that `dblink` is found in whatever schema the extension is. */
    functions: 'Set<String>',
    /** Types of the other objects that DDL names: `role`, `schema`, `function`, `database`, `system` ... */
    objectTypes: 'Set<String>',
    /** Names of the settings that SET, RESET or set_config change, lower case. */
    settings: 'Set<String>',
    /** set_config with a name that is computed. */
    dynamicSettings: 'Bool',
    /** False for UPDATE and DELETE without a WHERE clause. */
    hasWhere: 'Bool',
    /** Of LOCK TABLE, as the server names it, lower case: `access share`, `access exclusive`, ...; '' for everything else. */
    lockMode: 'String',
    /** A table it touches has protected columns. */
    touchesProtected: 'Bool',
  },
};

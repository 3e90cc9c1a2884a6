/**
 * What the native SQL analysis says of a statement text. `analyzeSql` returns `Analysis`, `lineage` returns `Lineage`,
 * `compileCatalog` takes `CatalogSpec`; all as JSON.
 */

export type Analysis = { readonly statements: readonly StatementInfo[]; readonly error?: undefined } | { readonly error: string; readonly position?: number };

export interface StatementInfo {
  /**
   * The class policy decides on: select, insert, update, delete, merge, truncate, create, alter, drop, comment, grant, revoke, role,
   * copy_to, copy_from, copy_file, copy_program, call, do, set, reset, show, explain, begin, commit, rollback, savepoint,
   * prepare, execute, deallocate, declare, fetch, move, close, listen, notify, unlisten, lock, vacuum, analyze, cluster, reindex,
   * checkpoint, load, discard, security_label, refresh, replication, other. EXPLAIN ANALYZE counts as what it runs.
   */
  readonly kind: string;
  /** Byte span of the statement in the text. */
  readonly start: number;
  readonly end: number;
  /** Relations with the way each is used; CTE names are not relations. Data-modifying CTEs and nested statements (PREPARE, EXPLAIN, DECLARE, COPY (query), CREATE TABLE AS, DO is opaque) are included. */
  readonly tables: readonly TableUse[];
  /** Functions called, lower-cased as written (`schema.name` or `name`), once each. */
  readonly functions: readonly string[];
  /** Other objects of DDL: `{ type: 'role'|'schema'|'function'|'database'|..., name }`. */
  readonly objects: readonly { readonly type: string; readonly name: string }[];
  /** UPDATE or DELETE has a WHERE clause; true for other kinds. */
  readonly hasWhere: boolean;
  /** SET and set_config with constant arguments: name (lower case) and value; value null when not constant, DEFAULT '' . */
  readonly settings: readonly { readonly name: string; readonly value: string | null; readonly local: boolean }[];
  /** set_config (or the like) called with a name that is not a constant. */
  readonly dynamicSettings: boolean;
  /** Prepared statement or cursor name of PREPARE, EXECUTE, DEALLOCATE, DECLARE, FETCH, CLOSE; '' when none or ALL. */
  readonly name: string;
  /** COPY: format, header, and the columns named, delimiter etc. */
  readonly copy: { readonly format: 'text' | 'csv' | 'binary'; readonly columns: readonly string[]; readonly table: string | null; readonly header: boolean; readonly delimiter: string; readonly quote: string; readonly escape: string; readonly nullString: string } | null;
  /** Literals decide more than a value here (settings, dblink, query_to_xml, lo_*, file names): never cache by shape. */
  readonly literalsMatter: boolean;
  /** pg_query's fingerprint, hex. */
  readonly fingerprint: string;
}

export interface TableUse {
  /** '' when not written. */
  readonly schema: string;
  readonly name: string;
  readonly mode: 'select' | 'insert' | 'update' | 'delete' | 'merge' | 'truncate' | 'drop' | 'alter' | 'create' | 'lock' | 'copy_to' | 'copy_from' | 'maintain' | 'grant';
  /** Column names read of or written to the table where that is certain, else empty. */
  readonly columns: readonly string[];
}

export interface CatalogSpec {
  /** Every relation with at least one protected column. `protect` is the class of data. */
  readonly relations: readonly { readonly schema: string; readonly name: string; readonly columns: readonly { readonly name: string; readonly protect: string | null }[] }[];
  /** Lower-cased names of all functions and operators outside pg_catalog: their results are unknown. */
  readonly userFunctions: readonly string[];
  readonly userOperators: readonly string[];
  /** Names of all relations that the catalog connection could see; others (temporary, uncommitted) are unknown. */
  readonly knownRelations: readonly { readonly schema: string; readonly name: string }[];
}

export interface Lineage {
  /** One per statement of the text. */
  readonly statements: readonly LineageOfStatement[];
}

export interface LineageOfStatement {
  /**
   * One per item of the outermost target list (or RETURNING); empty when the statement has no such list. `protect` is the
   * class of what it derives from: null when certainly nothing protected, 'unknown' when it cannot be told.
   * `direct`: a plain column reference. `star`: stands for an unknown number of columns.
   */
  readonly outputs: readonly { readonly name: string; readonly protect: string | null; readonly direct: boolean; readonly star: boolean }[];
  /** The statement names no protected or unknown relation and calls no unknown function at all. */
  readonly clean: boolean;
}

/**
 * What the native SQL analysis says of a statement text. `analyzeSql` returns `Analysis` (see `analysisOf`), `lineage` returns `Lineage`,
 * `compileCatalog` takes `CatalogSpec`; all as JSON.
 */

export type Analysis =
  | { readonly statements: readonly StatementInfo[]; readonly error?: undefined }
  | { readonly error: string; readonly position?: number };

export interface StatementInfo {
  /**
   * The class policy decides on: select, insert, update, delete, merge, truncate, create, alter, drop, comment, grant, revoke, role,
   * copy_to, copy_from, copy_file, copy_program, call, do, set, reset, show, explain, begin, commit, rollback, savepoint,
   * prepare, execute, deallocate, declare, fetch, move, close, listen, notify, unlisten, lock, vacuum, analyze, cluster, reindex,
   * checkpoint, load, discard, security_label, refresh, replication, other. EXPLAIN ANALYZE counts as what it runs, a
   * SELECT or COPY (query) as the strongest write in its WITH (delete, update, insert, merge), SELECT INTO as create.
   */
  readonly kind: string;
  /** The parser gave something this analysis does not know (then `kind` is `other`): the statement must be denied. */
  readonly unknown: boolean;
  /** Byte span of the statement in the text. */
  readonly start: number;
  readonly end: number;
  /** Relations with the way each is used; CTE names are not relations. Data-modifying CTEs and nested statements (PREPARE, EXPLAIN, DECLARE, COPY (query), CREATE TABLE AS, DO is opaque) are included. A relation is listed once for each way it is used (RETURNING reads, MERGE lists its actions, ON CONFLICT updates). */
  readonly tables: readonly TableUse[];
  /** Functions called, lower-cased as written (`schema.name` or `name`; a part with a dot in it is in double quotes), once each. */
  readonly functions: readonly string[];
  /**
   * Names `b` of `(a).b` that are no functions of PostgreSQL as far as the analysis knows (those are in `functions`): each is the
   * call `b(a)` where there is such a function and no such field.
   */
  readonly fields: readonly string[];
  /** Other objects of DDL: `{ type: 'role'|'schema'|'function'|'database'|..., name }`. */
  readonly objects: readonly { readonly type: string; readonly name: string }[];
  /** False when an UPDATE or DELETE, at any level, has no WHERE clause, or a MERGE updates or deletes rows on no condition. */
  readonly hasWhere: boolean;
  /** SET, RESET, ALTER ... SET and set_config with constant arguments: name (lower case) and value; value null when not constant, DEFAULT '' . */
  readonly settings: readonly { readonly name: string; readonly value: string | null; readonly local: boolean }[];
  /** set_config called with a name that is not a plain constant, or pg_settings updated. */
  readonly dynamicSettings: boolean;
  /** Prepared statement or cursor name of PREPARE, EXECUTE, DEALLOCATE, DECLARE, FETCH, CLOSE; '' when none or ALL. */
  readonly name: string;
  /** LOCK TABLE: its mode in the server's words and lower case ('access share', ...); '' for everything else. */
  readonly lockMode: string;
  /** It touches a table that has protected columns, as the gateway adds from its catalog; absent: not known. */
  readonly touchesProtected?: boolean;
  /**
   * It reads rows as a whole (`select c from cards c`, `cards::text`) or columns under names that are not their own
   * (`cards t(a, b)`): its text need not name the columns that it uses.
   */
  readonly wholeRows: boolean;
  /** COPY: format, header, and the columns named, delimiter etc. `encoding` is '' unless the statement names one: then the data may not be UTF-8. */
  readonly copy: {
    readonly format: 'text' | 'csv' | 'binary';
    readonly columns: readonly string[];
    readonly table: string | null;
    readonly header: boolean;
    readonly delimiter: string;
    readonly quote: string;
    readonly escape: string;
    readonly nullString: string;
    readonly encoding: string;
  } | null;
  /** INSERT ... VALUES or UPDATE ... SET of constants and parameters alone: nothing that it reads is written anywhere. */
  readonly constantWrites: boolean;
  /** Literals decide more than a value here (settings, dblink, query_to_xml, lo_*, file names): never cache by shape. */
  readonly literalsMatter: boolean;
}

/** The analysis from its JSON, which leaves out what most statements have: it is read for every new text. */
export function analysisOf(json: string): Analysis {
  const analysis = JSON.parse(json) as { statements: SparseStatementInfo[]; error?: undefined } | { error: string; position?: number };
  return analysis.error === undefined ? { statements: analysis.statements.map(filled) } : analysis;
}

type SparseStatementInfo = Pick<StatementInfo, 'kind' | 'start' | 'end'> & Partial<StatementInfo>;

const NONE: readonly never[] = [];

/** Member by member: then all have one shape, and reading one is one load wherever it is read. */
function filled(sparse: SparseStatementInfo): StatementInfo {
  return {
    kind: sparse.kind,
    unknown: sparse.unknown ?? false,
    start: sparse.start,
    end: sparse.end,
    tables: sparse.tables ?? NONE,
    functions: sparse.functions ?? NONE,
    fields: sparse.fields ?? NONE,
    objects: sparse.objects ?? NONE,
    hasWhere: sparse.hasWhere ?? true,
    settings: sparse.settings ?? NONE,
    dynamicSettings: sparse.dynamicSettings ?? false,
    name: sparse.name ?? '',
    lockMode: sparse.lockMode ?? '',
    wholeRows: sparse.wholeRows ?? false,
    copy: sparse.copy ?? null,
    constantWrites: sparse.constantWrites ?? false,
    literalsMatter: sparse.literalsMatter ?? false,
  };
}

export interface TableUse {
  /** '' when not written. */
  readonly schema: string;
  readonly name: string;
  readonly mode:
    | 'select'
    | 'insert'
    | 'update'
    | 'delete'
    | 'merge'
    | 'truncate'
    | 'drop'
    | 'alter'
    | 'create'
    | 'lock'
    | 'copy_to'
    | 'copy_from'
    | 'maintain'
    | 'grant';
  /** Column names read of or written to the table where that is certain, else empty. */
  readonly columns: readonly string[];
}

export interface CatalogSpec {
  /** Every relation with at least one protected column. `protect` is the class of data. */
  readonly relations: readonly {
    readonly schema: string;
    readonly name: string;
    readonly columns: readonly { readonly name: string; readonly protect: string | null }[];
  }[];
  /**
   * Lower-cased names (with or without schema) of all functions and operators outside pg_catalog: their results are unknown.
   * `userFunctions` should also name the types that a user's cast or domain leads to: a cast to one counts as a call.
   */
  readonly userFunctions: readonly string[];
  readonly userOperators: readonly string[];
  /** Names of all relations that the catalog connection could see; others (temporary, uncommitted) are unknown. */
  readonly knownRelations: readonly { readonly schema: string; readonly name: string }[];
}

export interface Lineage {
  /** One per statement of the text; empty when it does not parse. */
  readonly statements: readonly LineageOfStatement[];
  readonly error?: string;
}

export interface LineageOfStatement {
  /**
   * One per item of the outermost target list (or RETURNING), of the inner query for PREPARE, DECLARE, COPY (query), CREATE VIEW
   * and CREATE TABLE AS, and of the table for COPY ... TO; empty when the statement has no such list (EXPLAIN, EXECUTE, FETCH, CALL). `protect` is the
   * class of what it derives from: null when certainly nothing protected, 'unknown' when it cannot be told.
   * `direct`: a stored value unchanged, also through subqueries, CTEs and UNION; whatever is not must be masked whole. `star`: stands for an unknown number of columns.
   */
  readonly outputs: readonly { readonly name: string; readonly protect: string | null; readonly direct: boolean; readonly star: boolean }[];
  /**
   * Columns that it writes, at any level (in WITH, PREPARE, EXPLAIN, ON CONFLICT; CREATE TABLE AS, SELECT INTO, materialized and
   * temporary views; rules and bodies of functions), with values that derive from anything protected or unknown which it reads:
   * a statement that reads no such relation has none. `protect` and `direct` are those of the value. `column` is '' when any
   * column of the relation may be meant, `schema` is '' when not written.
   */
  readonly writes: readonly {
    readonly schema: string;
    readonly table: string;
    readonly column: string;
    readonly protect: string;
    readonly direct: boolean;
  }[];
  /** The statement names no protected or unknown relation and calls no unknown function at all. Never for EXECUTE, FETCH, DO, CALL. */
  readonly clean: boolean;
  /**
   * It compares protected columns with what it makes up itself or with columns of other relations, or has them decide how many
   * rows there are: the values could be told without being shown. Comparing with constants, parameters and other protected columns is not meant.
   */
  readonly compares?: true;
}

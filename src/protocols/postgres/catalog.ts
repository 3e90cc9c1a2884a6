import { createHash } from 'node:crypto';
import { compileCatalog, dropCatalog, lineage } from '../../../native/binding/index.js';
import type { ProtectClass } from '../../config/model.ts';
import type { CatalogSpec, Lineage } from './analysis.ts';
import type { CatalogClient } from './catalog-client.ts';
import { wellKnownColumn } from './well-known.ts';

export type Protection = ProtectClass | 'unknown';

/** Classes from weakest to strongest: what several sources give together is the strongest of them. */
const STRENGTH: readonly Protection[] = ['name', 'expiry', 'pan', 'secret', 'unknown', 'sad'];

export function strongest(a: Protection | null, b: Protection | null): Protection | null {
  if (a === null) return b;
  if (b === null) return a;
  return STRENGTH.indexOf(a) >= STRENGTH.indexOf(b) ? a : b;
}

/** Whether a column of class `a` hides whatever one of class `b` does. */
export function isAtLeast(a: Protection | null, b: Protection): boolean {
  return a !== null && STRENGTH.indexOf(a) >= STRENGTH.indexOf(b);
}

/** Temporary and uncommitted objects stay unseen however often the catalog is read. */
const UNSEEN_RETRY_MS = 2000;

interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly kind: string;
  readonly columns: {
    readonly attnum: number;
    readonly name: string;
    readonly type: number;
    readonly generated: string;
    protect: Protection | null;
  }[];
}

export interface CatalogColumn {
  readonly name: string;
  /** OID of its type; of a domain, what it is a domain over. */
  readonly type: number;
  readonly protect: Protection | null;
}

/** One immutable reading of a target's catalog. Masks and lineage refer to it by `version`. */
export interface CatalogSnapshot {
  readonly version: number;
  /** Native id for `lineage`. */
  readonly native: number;
  /** The class of a column by origin: null when it is known and clean, undefined when the snapshot does not know it. */
  protection(tableOid: number, attnum: number): Protection | null | undefined;
  /** Columns of a relation in order, by name and optional schema; null when unknown or ambiguous. */
  columnsOf(schema: string, name: string): readonly CatalogColumn[] | null;
  /** Names of the protected columns of the relations with that name in any schema ('' means any). */
  protectedColumns(schema: string, name: string): readonly string[];
  /**
   * What a value that goes into that column is certain to be protected as: the weakest class of all that the names may mean
   * ('' as the schema means any). Null when one of them is not protected, or none is known.
   */
  storedProtection(schema: string, name: string, column: string): Protection | null;
  /** Whether a function (lower case, as written) may be one that is not part of PostgreSQL. */
  isUserFunction(name: string): boolean;
  /** Whether the server has a volatile function of that name (without schema) of its own that takes arguments. */
  isVolatile(name: string): boolean;
}

const RELATIONS = `select c.oid, n.nspname, c.relname, c.relkind, a.attnum, a.attname,
  case when t.typtype = 'd' then (with recursive base(oid) as (select a.atttypid
      union all select b.typbasetype from base join pg_catalog.pg_type b on b.oid = base.oid where b.typtype = 'd')
    select base.oid from base join pg_catalog.pg_type b on b.oid = base.oid where b.typtype <> 'd') else a.atttypid end,
  case when a.attgenerated <> '' then pg_catalog.pg_get_expr(d.adbin, d.adrelid) else '' end
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_catalog.pg_type t on t.oid = a.atttypid
left join pg_catalog.pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't'
order by c.oid, a.attnum`;
const VIEWS = `select c.oid, pg_catalog.pg_get_viewdef(c.oid) from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('v', 'm') and n.nspname not in ('pg_catalog', 'information_schema')`;
const INHERITS = 'select inhrelid, inhparent from pg_catalog.pg_inherits';
const FUNCTIONS = `select distinct p.proname from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace where n.nspname not in ('pg_catalog', 'information_schema')`;
/** Whoever calls these from SQL cannot give an argument of type internal. */
const VOLATILE = `select distinct p.proname from pg_catalog.pg_proc p where p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
and p.provolatile = 'v' and p.pronargs > 0 and not 'internal'::pg_catalog.regtype = any (p.proargtypes)`;
const OPERATORS = `select distinct o.oprname from pg_catalog.pg_operator o join pg_catalog.pg_namespace n on n.oid = o.oprnamespace where n.nspname <> 'pg_catalog'`;

/** Statistics hold values of columns. */
const CATALOG_VALUE_COLUMNS: ReadonlySet<string> = new Set([
  'pg_stats.most_common_vals',
  'pg_stats.histogram_bounds',
  'pg_stats.most_common_elems',
  'pg_stats.range_bounds_histogram',
  'pg_statistic.stavalues1',
  'pg_statistic.stavalues2',
  'pg_statistic.stavalues3',
  'pg_statistic.stavalues4',
  'pg_statistic.stavalues5',
  'pg_stats_ext.most_common_vals',
  'pg_stats_ext_exprs.most_common_vals',
  'pg_stats_ext_exprs.histogram_bounds',
  'pg_stats_ext_exprs.most_common_elems',
  'pg_statistic_ext_data.stxdmcv',
  'pg_statistic_ext_data.stxdexpr',
  // Connection strings with passwords: pg_dump and psql ask for the other columns.
  'pg_subscription.subconninfo',
]);

/** Keeps the newest snapshot of one target and reads a new one when asked to. */
export class Catalog {
  readonly #client: Pick<CatalogClient, 'query' | 'close'>;
  readonly #configured: ReadonlyMap<string, ProtectClass>;
  /** Protection never goes away while the gateway runs: a renamed column stays what it was. */
  readonly #sticky = new Map<string, Protection>();
  #current: CatalogSnapshot | null = null;
  #loading: Promise<CatalogSnapshot> | null = null;
  #version = 0;
  #digest = '';
  #missing: readonly string[] = [];
  /** Readings asked for, and the newest one that a finished reading has satisfied. */
  #wanted = 1;
  #satisfied = 0;
  #loadedAt = Number.NEGATIVE_INFINITY;
  readonly #now: () => number;

  /** @param configured `schema.table.column` to class. @param now monotonic milliseconds. */
  constructor(client: Pick<CatalogClient, 'query' | 'close'>, configured: ReadonlyMap<string, ProtectClass>, now: () => number) {
    this.#client = client;
    this.#configured = configured;
    this.#now = now;
  }

  get current(): CatalogSnapshot | null {
    return this.#current;
  }

  /**
   * What the snapshot says may be wrong: DDL went through, or a reply names an unknown column. What comes next must wait for
   * `fresh()`. Returns a mark for `hasRead`.
   */
  markStale(): number {
    return ++this.#wanted;
  }

  /** Whether the catalog has been read since `mark` was made. */
  hasRead(mark: number): boolean {
    return this.#satisfied >= mark;
  }

  get stale(): boolean {
    return this.#satisfied < this.#wanted;
  }

  /** A reply named an object that the snapshot lacks: it is read again, unless that was tried in vain a moment ago. */
  noteUnseen(): void {
    if (this.ageMs > UNSEEN_RETRY_MS) this.markStale();
  }

  /** Configured columns that the target does not have: most likely misspelt, and then what was meant is not protected. */
  get missing(): readonly string[] {
    return this.#missing;
  }

  get ageMs(): number {
    return this.#now() - this.#loadedAt;
  }

  /** The current snapshot, read anew first when it is stale. */
  async fresh(): Promise<CatalogSnapshot> {
    // A reading under way may have begun before the change that made it stale.
    while (this.stale || this.#current === null) await this.#reload();
    return this.#current;
  }

  /** Reads anew without anybody waiting: for changes that did not come through the gateway. */
  refresh(): void {
    this.#reload().catch(() => {});
  }

  #reload(): Promise<CatalogSnapshot> {
    this.#loading ??= this.#load().finally(() => {
      this.#loading = null;
    });
    return this.#loading;
  }

  close(): void {
    this.#client.close();
  }

  async #load(): Promise<CatalogSnapshot> {
    const satisfies = this.#wanted;
    const names = (found: (string | null)[][]): string[] => found.map((row) => (row[0] ?? '').toLowerCase());
    // One after the other: the first that fails is the last that is asked.
    const rows = await this.#client.query(RELATIONS);
    const views = await this.#client.query(VIEWS);
    const inherits = await this.#client.query(INHERITS);
    const functions = await this.#client.query(FUNCTIONS);
    const operators = await this.#client.query(OPERATORS);
    const volatile = names(await this.#client.query(VOLATILE));
    const relations = this.#relations(rows);
    const base = { userFunctions: names(functions), userOperators: names(operators) };
    this.#spread(relations, inherits, views, base);
    for (const relation of relations.values()) {
      for (const column of relation.columns)
        if (column.protect !== null) this.#sticky.set(`${relation.oid}.${column.attnum}`, column.protect);
    }
    this.#loadedAt = this.#now();
    this.#satisfied = satisfies;
    // Nothing changed: then what was found out under the snapshot stays true, and is kept.
    this.#missing = [...this.#configured.keys()].filter((name) => ![...relations.values()].some((relation) => hasColumn(relation, name)));
    const digest = createHash('sha256')
      .update(JSON.stringify([[...relations.values()], base, volatile]))
      .digest('hex');
    if (digest === this.#digest && this.#current !== null) return this.#current;
    this.#digest = digest;
    const native = compileCatalog(JSON.stringify(spec(relations, base)));
    const snapshot = new Snapshot(++this.#version, native, relations, base.userFunctions, volatile);
    const previous = this.#current;
    this.#current = snapshot;
    if (previous !== null) dropCatalog(previous.native);
    return snapshot;
  }

  #relations(rows: (string | null)[][]): Map<number, Relation> {
    const relations = new Map<number, Relation>();
    for (const [oid, schema, name, kind, attnum, column, type, generated] of rows) {
      const id = Number(oid);
      let relation = relations.get(id);
      if (relation === undefined) {
        relation = { oid: id, schema: schema ?? '', name: name ?? '', kind: kind ?? '', columns: [] };
        relations.set(id, relation);
      }
      relation.columns.push({
        attnum: Number(attnum),
        name: column ?? '',
        type: Number(type),
        generated: generated ?? '',
        protect: this.#ownProtection(relation, column ?? '', Number(attnum)),
      });
    }
    return relations;
  }

  #ownProtection(relation: Relation, column: string, attnum: number): Protection | null {
    const sticky = this.#sticky.get(`${relation.oid}.${attnum}`) ?? null;
    if (relation.schema === 'pg_catalog' || relation.schema === 'information_schema') {
      return CATALOG_VALUE_COLUMNS.has(`${relation.name}.${column}`) ? 'unknown' : sticky;
    }
    const configured = this.#configured.get(`${relation.schema}.${relation.name}.${column}`) ?? null;
    return strongest(sticky, configured ?? wellKnownColumn(column));
  }

  /** Carries protection to partitions and children, generated columns and views, until nothing changes. */
  #spread(
    relations: Map<number, Relation>,
    inherits: (string | null)[][],
    views: (string | null)[][],
    base: { userFunctions: string[]; userOperators: string[] },
  ): void {
    for (let round = 0; round < 64; round++) {
      let changed = false;
      const raise = (column: Relation['columns'][number] | undefined, protect: Protection | null): void => {
        if (column === undefined || protect === null) return;
        const next = strongest(column.protect, protect);
        if (next !== column.protect) {
          column.protect = next;
          changed = true;
        }
      };
      for (const [child, parent] of inherits) {
        const from = relations.get(Number(parent));
        const to = relations.get(Number(child));
        if (from === undefined || to === undefined) continue;
        for (const column of from.columns) {
          const twin = to.columns.find((other) => other.name === column.name);
          raise(twin, column.protect);
          // A child's column shows through the parent as well.
          if (twin !== undefined) raise(column, twin.protect);
        }
      }
      for (const relation of relations.values()) {
        for (const column of relation.columns) {
          if (column.generated === '') continue;
          const source = relation.columns.find(
            (other) => other.protect !== null && new RegExp(`\\b${escapeRegExp(other.name)}\\b`).test(column.generated),
          );
          // A derived value has no last four digits worth keeping: it is covered whole.
          if (source?.protect) raise(column, source.protect === 'sad' ? 'sad' : 'unknown');
        }
      }
      if (views.length > 0) {
        const id = compileCatalog(JSON.stringify(spec(relations, base)));
        for (const [oid, text] of views) {
          const view = relations.get(Number(oid));
          if (view === undefined || text === null || text === undefined) continue;
          const bytes = Buffer.from(text, 'utf8');
          const outputs = (JSON.parse(lineage(id, bytes, 0, bytes.length)) as Lineage).statements[0]?.outputs;
          const exact = outputs !== undefined && outputs.length === view.columns.length && !outputs.some((output) => output.star);
          view.columns.forEach((column, i) => {
            const output = outputs?.[i];
            if (!exact || output === undefined) raise(column, 'unknown');
            else if (output.protect !== null)
              raise(column, output.direct ? (output.protect as Protection) : output.protect === 'sad' ? 'sad' : 'unknown');
          });
        }
        dropCatalog(id);
      }
      if (!changed) return;
    }
    // Not settled: then nothing can be said of views.
    for (const relation of relations.values())
      if (relation.kind === 'v' || relation.kind === 'm') for (const column of relation.columns) column.protect = 'unknown';
  }
}

/** @param name `schema.table.column`. */
const hasColumn = (relation: Relation, name: string): boolean =>
  name.startsWith(`${relation.schema}.${relation.name}.`) &&
  relation.columns.some((column) => `${relation.schema}.${relation.name}.${column.name}` === name);

const escapeRegExp = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

function spec(relations: ReadonlyMap<number, Relation>, base: { userFunctions: string[]; userOperators: string[] }): CatalogSpec {
  const all = [...relations.values()];
  return {
    relations: all
      .filter((relation) => relation.columns.some((column) => column.protect !== null))
      .map(({ schema, name, columns }) => ({
        schema,
        name,
        columns: columns.map((column) => ({ name: column.name, protect: column.protect })),
      })),
    knownRelations: all.map(({ schema, name }) => ({ schema, name })),
    ...base,
  };
}

class Snapshot implements CatalogSnapshot {
  readonly version: number;
  readonly native: number;
  readonly #byOid: ReadonlyMap<number, Relation>;
  readonly #byName = new Map<string, Relation[]>();
  readonly #userFunctions: ReadonlySet<string>;
  readonly #volatile: ReadonlySet<string>;

  constructor(
    version: number,
    native: number,
    byOid: ReadonlyMap<number, Relation>,
    userFunctions: readonly string[],
    volatile: readonly string[],
  ) {
    this.#userFunctions = new Set(userFunctions);
    this.#volatile = new Set(volatile);
    this.version = version;
    this.native = native;
    this.#byOid = byOid;
    for (const relation of byOid.values()) {
      const list = this.#byName.get(relation.name);
      if (list === undefined) this.#byName.set(relation.name, [relation]);
      else list.push(relation);
    }
  }

  protection(tableOid: number, attnum: number): Protection | null | undefined {
    const relation = this.#byOid.get(tableOid);
    if (relation === undefined) return undefined;
    // System columns (ctid, xmin, tableoid) have negative numbers and hold no data of the row.
    if (attnum < 0) return null;
    const column = relation.columns[attnum - 1];
    if (column?.attnum === attnum) return column.protect;
    return relation.columns.find((other) => other.attnum === attnum)?.protect;
  }

  columnsOf(schema: string, name: string): readonly CatalogColumn[] | null {
    const found = this.#named(schema, name);
    return found.length === 1 ? (found[0]?.columns ?? null) : null;
  }

  protectedColumns(schema: string, name: string): readonly string[] {
    return this.#named(schema, name).flatMap((relation) =>
      relation.columns.filter((column) => column.protect !== null).map((column) => column.name),
    );
  }

  storedProtection(schema: string, name: string, column: string): Protection | null {
    let weakest: Protection | null = null;
    for (const relation of this.#named(schema, name)) {
      const protect = relation.columns.find((other) => other.name === column)?.protect ?? null;
      if (protect === null) return null;
      if (weakest === null || isAtLeast(weakest, protect)) weakest = protect;
    }
    return weakest;
  }

  isUserFunction(name: string): boolean {
    // Only a name with a dot of its own is quoted, and no function of PostgreSQL has such a name.
    if (name.includes('"')) return true;
    const dot = name.lastIndexOf('.');
    if (dot === -1) return this.#userFunctions.has(name);
    const schema = name.slice(0, dot);
    return schema !== 'pg_catalog' && schema !== 'information_schema';
  }

  isVolatile(name: string): boolean {
    return this.#volatile.has(name);
  }

  #named(schema: string, name: string): Relation[] {
    return (this.#byName.get(name) ?? []).filter((relation) => schema === '' || relation.schema === schema);
  }
}

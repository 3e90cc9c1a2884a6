/** What decides whether planning a statement can run anything but PostgreSQL's own, harmless functions. */

/**
 * Functions that planning may run: of pg_catalog, immutable or aggregates, quick, and without effects. The list is short on purpose: a statement
 * with another function has no estimate, and that is all.
 */
export const SAFE_FUNCTIONS: ReadonlySet<string> = new Set([
  ...['count', 'sum', 'min', 'max', 'avg', 'bool_and', 'bool_or', 'every', 'stddev', 'variance'],
  ...['row_number', 'rank', 'dense_rank', 'lag', 'lead', 'first_value', 'last_value'],
  ...[
    'lower',
    'upper',
    'initcap',
    'length',
    'char_length',
    'character_length',
    'octet_length',
    'strpos',
    'position',
    'substr',
    'substring',
  ],
  ...['trim', 'btrim', 'ltrim', 'rtrim', 'left', 'right', 'reverse', 'split_part', 'starts_with', 'md5', 'concat', 'concat_ws'],
  ...['abs', 'ceil', 'ceiling', 'floor', 'round', 'trunc', 'sign', 'mod', 'sqrt'],
  ...['now', 'current_date', 'date_trunc', 'date_part', 'extract', 'age', 'make_date', 'make_interval', 'to_timestamp', 'to_date'],
  ...['clock_timestamp', 'statement_timestamp', 'transaction_timestamp', 'timezone'],
]);

/** Operators that are used without being written: by IN, BETWEEN, LIKE, GROUP BY, USING and joins. */
export const IMPLICIT_OPERATORS: ReadonlySet<string> = new Set(['=', '<', '>', '<=', '>=', '<>', '~~', '!~~', '~~*', '!~~*']);

const OWN = "('pg_catalog'::regnamespace, 'information_schema'::regnamespace)";

/** Names that a call or a cast may mean, outside of pg_catalog. */
export const FUNCTIONS_AND_TYPES = `select proname from pg_catalog.pg_proc where pronamespace not in ${OWN}
union select typname from pg_catalog.pg_type where typnamespace not in ${OWN}`;

/** Operators that could be meant where only built-in types occur. */
export const OPERATORS = `select distinct o.oprname from pg_catalog.pg_operator o
left join pg_catalog.pg_type l on l.oid = o.oprleft left join pg_catalog.pg_type r on r.oid = o.oprright
where o.oprnamespace <> 'pg_catalog'::regnamespace
and coalesce(l.typnamespace, 'pg_catalog'::regnamespace) = 'pg_catalog'::regnamespace
and coalesce(r.typnamespace, 'pg_catalog'::regnamespace) = 'pg_catalog'::regnamespace`;

/** Casts between built-in types by functions that are not: they may apply without being written. */
export const USER_CASTS = `select 1 from pg_catalog.pg_cast c join pg_catalog.pg_proc p on p.oid = c.castfunc
where p.pronamespace not in ${OWN} limit 1`;

export const INHERITS = 'select inhrelid, inhparent from pg_catalog.pg_inherits';

/**
 * Relations by oid, schema and name, and whether planning them is safe: a table whose columns have built-in types, without row
 * security or rules, and whose defaults, constraints, indexes, partition key and statistics depend on nothing made in the database.
 */
export const RELATIONS = `select c.oid, n.nspname, c.relname,
  c.relkind in ('r', 'p') and not c.relrowsecurity and not c.relhasrules
  and not exists (select from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
    where a.attrelid = c.oid and a.attnum > 0 and t.typnamespace <> 'pg_catalog'::regnamespace)
  and not exists (select from pg_catalog.pg_depend d
    where d.refclassid in ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass, 'pg_catalog.pg_opclass'::regclass,
      'pg_catalog.pg_type'::regclass)
    and (d.classid = 'pg_catalog.pg_class'::regclass
        and (d.objid = c.oid or d.objid in (select indexrelid from pg_catalog.pg_index where indrelid = c.oid))
      or d.classid = 'pg_catalog.pg_attrdef'::regclass and d.objid in (select oid from pg_catalog.pg_attrdef where adrelid = c.oid)
      or d.classid = 'pg_catalog.pg_constraint'::regclass and d.objid in (select oid from pg_catalog.pg_constraint where conrelid = c.oid)
      or d.classid = 'pg_catalog.pg_statistic_ext'::regclass
        and d.objid in (select oid from pg_catalog.pg_statistic_ext where stxrelid = c.oid)))
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f')`;

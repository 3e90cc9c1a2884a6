import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Stage, startStage } from '../support/stage.ts';

/**
 * What clients ask of the catalog when they connect and show what there is. Under the shipped policies each is permitted and
 * its answer is the server's own: masks are for data, not for its description. (psql's commands have a test of their own.)
 */
let stage: Stage;
before(async () => {
  stage = await startStage({ setup: "comment on table cards is 'payment cards'; create index on orders (note)" });
});
after(() => stage.stop());

const queries: Readonly<Record<string, readonly string[]>> = {
  pgAdmin: [
    "select set_config('bytea_output', 'hex', false) from pg_show_all_settings() where name = 'bytea_output'",
    'select version()',
    'select oid as id, rolname as name, rolsuper as is_superuser, case when rolsuper then true else rolcreaterole end as can_create_role, case when rolsuper then true else rolcreatedb end as can_create_db from pg_catalog.pg_roles where rolname = current_user',
    "select db.oid as did, db.datname as name, ta.spcname as spcname, db.datallowconn, db.datistemplate as is_template, pg_catalog.has_database_privilege(db.oid, 'CREATE') as cancreate, datdba as owner, descr.description from pg_catalog.pg_database db left join pg_catalog.pg_tablespace ta on db.dattablespace = ta.oid left join pg_catalog.pg_shdescription descr on db.oid = descr.objoid and descr.classoid = 'pg_database'::regclass where db.oid > 16383::oid or db.datname in ('postgres') order by datname",
    "select nsp.oid, nsp.nspname as name, pg_catalog.has_schema_privilege(nsp.oid, 'CREATE') as can_create, pg_catalog.has_schema_privilege(nsp.oid, 'USAGE') as has_usage, des.description from pg_catalog.pg_namespace nsp left outer join pg_catalog.pg_description des on (des.objoid = nsp.oid and des.classoid = 'pg_namespace'::regclass) where nspname not like 'pg\\_%' order by nspname",
    "select rel.oid, rel.relname as name, (select count(*) from pg_catalog.pg_trigger where tgrelid = rel.oid and tgisinternal = false) as triggercount, (select count(1) from pg_catalog.pg_inherits where inhrelid = rel.oid limit 1) as is_inherits, des.description from pg_catalog.pg_class rel left outer join pg_catalog.pg_description des on (des.objoid = rel.oid and des.objsubid = 0 and des.classoid = 'pg_class'::regclass) where rel.relkind in ('r', 's', 't', 'p') and rel.relnamespace = 'public'::regnamespace order by rel.relname",
    "select att.attname as name, att.*, pg_catalog.format_type(ty.oid, att.atttypmod) as cltype, pg_catalog.pg_get_expr(def.adbin, def.adrelid) as defval from pg_catalog.pg_attribute att join pg_catalog.pg_type ty on ty.oid = att.atttypid left outer join pg_catalog.pg_attrdef def on def.adrelid = att.attrelid and def.adnum = att.attnum where att.attrelid = 'public.cards'::regclass and att.attnum > 0 and not att.attisdropped order by att.attnum",
    "select conname, conkey, confkey, pg_catalog.pg_get_constraintdef(oid, true) from pg_catalog.pg_constraint where conrelid = 'public.cards'::regclass order by conname",
  ],
  DBeaver: [
    'select current_schema(), session_user',
    "select n.oid, n.*, d.description from pg_catalog.pg_namespace n left outer join pg_catalog.pg_description d on d.objoid = n.oid and d.objsubid = 0 and d.classoid = 'pg_namespace'::regclass order by nspname",
    "select c.oid, c.*, d.description, pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr, pg_catalog.pg_get_partkeydef(c.oid) as partition_key from pg_catalog.pg_class c left outer join pg_catalog.pg_description d on d.objoid = c.oid and d.objsubid = 0 and d.classoid = 'pg_class'::regclass where c.relnamespace = 'public'::regnamespace and c.relkind not in ('i', 'I', 'c') order by c.relname",
    "select c.relname, a.*, pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) as def_value, dsc.description from pg_catalog.pg_attribute a inner join pg_catalog.pg_class c on (a.attrelid = c.oid) left outer join pg_catalog.pg_attrdef ad on (a.attrelid = ad.adrelid and a.attnum = ad.adnum) left outer join pg_catalog.pg_description dsc on (c.oid = dsc.objoid and a.attnum = dsc.objsubid) where not a.attisdropped and c.oid = 'public.payments'::regclass order by a.attnum",
    "select t.oid, t.*, c.relkind, format_type(nullif(t.typbasetype, 0), t.typtypmod) as base_type_name from pg_catalog.pg_type t left outer join pg_catalog.pg_class c on c.oid = t.typrelid where t.typname is not null and (c.relkind is null or c.relkind = 'c') order by t.oid limit 50",
    "select i.*, i.indkey as keys, c.relname, pg_catalog.pg_get_indexdef(i.indexrelid) from pg_catalog.pg_index i inner join pg_catalog.pg_class c on c.oid = i.indexrelid where i.indrelid = 'public.cards'::regclass order by c.relname",
    'show search_path',
    "select name, setting, category, vartype from pg_catalog.pg_settings where name = 'standard_conforming_strings'",
    "select pg_catalog.pg_get_viewdef('public.payments'::regclass, true)",
  ],
  'JDBC and ORMs': [
    "select null as table_cat, n.nspname as table_schem, c.relname as table_name, case c.relkind when 'r' then 'TABLE' when 'v' then 'VIEW' end as table_type from pg_catalog.pg_namespace n, pg_catalog.pg_class c where c.relnamespace = n.oid and n.nspname = 'public' and c.relkind in ('r', 'v') order by 2, 3",
    "select table_schema, table_name, column_name, data_type, is_nullable, column_default from information_schema.columns where table_schema = 'public' order by 1, 2, ordinal_position",
    "select tc.constraint_name, kcu.column_name from information_schema.table_constraints tc join information_schema.key_column_usage kcu on kcu.constraint_name = tc.constraint_name where tc.table_name = 'cards' order by 1, 2",
    "select oid, typname from pg_type where typname = any (array['hstore', 'geometry', 'citext'])",
    'select t.typname, e.enumlabel from pg_type t join pg_enum e on t.oid = e.enumtypid order by 1, e.enumsortorder',
    'show transaction isolation level',
    'select extract(epoch from current_timestamp) > 0',
  ],
  asyncpg: [
    "select t.oid, ns.nspname as ns, t.typname as name, t.typtype as kind, (case when t.typtype = 'd' then (with recursive typebases(oid, depth) as (select t2.typbasetype as oid, 0 as depth from pg_type t2 where t2.oid = t.oid union all select t2.typbasetype as oid, tb.depth + 1 as depth from pg_type t2, typebases tb where tb.oid = t2.oid and t2.typbasetype != 0) select oid from typebases order by depth desc limit 1) else null end) as basetype, t.typelem as elemtype from pg_catalog.pg_type as t inner join pg_catalog.pg_namespace ns on ns.oid = t.typnamespace where t.oid = any (array[25, 1043]::oid[])",
  ],
};

for (const [client, texts] of Object.entries(queries)) {
  for (const text of texts) {
    test(`${client}: ${text.slice(0, 90)}`, async () => {
      const [through, straight] = await Promise.all([stage.connect(stage.analyst), stage.direct(stage.analyst)]);
      for (const protocol of ['query', 'extended'] as const) {
        const [actual, expected] = [await through[protocol](text), await straight[protocol](text)];
        assert.deepEqual(expected.errors, [], 'the query is what the server takes');
        assert.deepEqual(actual.errors, []);
        assert.deepEqual(actual.columns, expected.columns);
        assert.deepEqual(actual.rows, expected.rows);
      }
      await Promise.all([through.end(), straight.end()]);
    });
  }
}

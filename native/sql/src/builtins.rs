//! What PostgreSQL itself defines: the names in `pg_catalog` and `information_schema`, and which of them reach data that
//! they are not given.
//!
//! `data/` is taken from a PostgreSQL 18.4 server, fresh after initdb, sorted in C order:
//! - `functions.txt`: `select distinct proname from pg_proc where pronamespace = 'pg_catalog'::regnamespace`
//! - `operators.txt`: `select distinct oprname from pg_operator where oprnamespace = 'pg_catalog'::regnamespace`
//! - `relations.txt`: `select relname from pg_class where relnamespace = 'pg_catalog'::regnamespace and relkind in ('r', 'v')`
//! - `information_schema.txt`: the same for `information_schema`

use std::collections::HashSet;
use std::sync::LazyLock;

type Names = LazyLock<HashSet<&'static str, ahash::RandomState>>;

static FUNCTIONS: Names = LazyLock::new(|| include_str!("../data/functions.txt").lines().collect());
static OPERATORS: Names = LazyLock::new(|| include_str!("../data/operators.txt").lines().collect());
static RELATIONS: Names = LazyLock::new(|| include_str!("../data/relations.txt").lines().collect());
static INFORMATION_SCHEMA: Names = LazyLock::new(|| include_str!("../data/information_schema.txt").lines().collect());

/// Whether `pg_catalog` has a function of this name.
pub fn is_function(name: &str) -> bool {
    FUNCTIONS.contains(name)
}

/// Whether `pg_catalog` has an operator of this name.
pub fn is_operator(name: &str) -> bool {
    OPERATORS.contains(name)
}

/// Whether this is a relation of `pg_catalog` (also without schema) or `information_schema`.
pub fn is_relation(schema: &str, name: &str) -> bool {
    match schema {
        "" | "pg_catalog" => RELATIONS.contains(name),
        "information_schema" => INFORMATION_SCHEMA.contains(name),
        _ => false,
    }
}

/// Built-in functions that run SQL given as text, read relations or files named by a string, or show what other
/// statements said. Their results can hold anything.
pub fn reaches_data(name: &str) -> bool {
    const PREFIXES: &[&str] = &["lo_", "pg_read_", "pg_ls_", "pg_logical_slot_", "dblink", "crosstab"];
    const NAMES: &[&str] = &[
        "connectby",
        "cursor_to_xml",
        "cursor_to_xmlschema",
        "database_to_xml",
        "database_to_xml_and_xmlschema",
        "loread",
        "lowrite",
        "pg_cursor",
        "pg_get_wal_record_info",
        "pg_prepared_statement",
        "pg_stat_get_activity",
        "pg_stat_get_backend_activity",
        "query_to_xml",
        "query_to_xml_and_xmlschema",
        "query_to_xmlschema",
        "schema_to_xml",
        "schema_to_xml_and_xmlschema",
        "table_to_xml",
        "table_to_xml_and_xmlschema",
        "ts_rewrite",
        "ts_stat",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

/// Whether a literal argument of this function (`name` or `schema.name`) decides more than a value.
pub fn literals_matter(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last == "set_config" || reaches_data(last)
}

/// Columns of catalog relations that hold data of users' tables, texts of their statements, or secrets.
pub fn data_columns(relation: &str) -> &'static [&'static str] {
    match relation {
        "pg_stats" | "pg_stats_ext" | "pg_stats_ext_exprs" => &[
            "most_common_vals",
            "histogram_bounds",
            "most_common_elems",
            "range_length_histogram",
            "range_bounds_histogram",
        ],
        "pg_statistic" => &["stavalues1", "stavalues2", "stavalues3", "stavalues4", "stavalues5"],
        "pg_statistic_ext_data" => &["stxddependencies", "stxdmcv", "stxdexpr"],
        "pg_attribute" => &["attmissingval"],
        "pg_largeobject" => &["data"],
        "pg_stat_activity" | "pg_stat_statements" => &["query"],
        "pg_prepared_statements" | "pg_cursors" => &["statement"],
        "pg_authid" => &["rolpassword"],
        "pg_shadow" => &["passwd"],
        "pg_user_mapping" | "pg_user_mappings" => &["umoptions"],
        "pg_subscription" => &["subconninfo"],
        _ => &[],
    }
}

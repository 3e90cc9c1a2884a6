//! What the analysis says of statements of every class.
#![expect(clippy::expect_used, clippy::panic, reason = "tests")]

use sluice_sql::{Analysis, StatementInfo, analyze};

fn statements(sql: &str) -> Vec<StatementInfo> {
    match analyze(sql.as_bytes()) {
        Analysis::Statements { statements } => statements,
        Analysis::Error { error, .. } => panic!("{sql}: {error}"),
    }
}

fn one(sql: &str) -> StatementInfo {
    let mut all = statements(sql);
    assert_eq!(all.len(), 1, "{sql}");
    all.remove(0)
}

fn tables(info: &StatementInfo) -> String {
    let shown = |table: &sluice_sql::TableUse| {
        let mode = serde_json::to_string(&table.mode).expect("a mode is a string");
        let columns = if table.columns.is_empty() {
            String::new()
        } else {
            format!("({})", table.columns.join(","))
        };
        let schema = if table.schema.is_empty() {
            String::new()
        } else {
            format!("{}.", table.schema)
        };
        format!("{}:{schema}{}{columns}", mode.trim_matches('"'), table.name)
    };
    info.tables.iter().map(shown).collect::<Vec<_>>().join(" ")
}

#[test]
fn kinds_and_tables_are_as_the_table_says() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in include_str!("data/analysis.tsv")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let parts: Vec<&str> = line.split('\t').collect();
        let [sql, kind, expected, functions] = parts.as_slice() else {
            panic!("four columns: {line}")
        };
        let info = one(sql);
        let found = (info.kind, tables(&info), info.functions.join(" "));
        if found != (*kind, (*expected).to_owned(), (*functions).to_owned()) {
            wrong.push(format!(
                "{sql}\n  expected {kind} [{expected}] [{functions}]\n  found    {} [{}] [{}]",
                found.0, found.1, found.2
            ));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "the table was read");
}

#[test]
fn spans_cover_each_statement_of_a_text() {
    let sql = "  select 1 ;; -- é\n delete from t;\n/* c */ begin";
    let spans: Vec<&str> = statements(sql)
        .iter()
        .map(|info| sql.get(info.start..info.end).expect("on boundaries"))
        .collect();
    assert_eq!(spans, ["select 1", "delete from t", "begin"]);
    assert_eq!(statements(""), []);
    assert_eq!(statements(" ; ;"), []);
    assert_eq!(statements("-- nothing"), []);
}

#[test]
fn errors_carry_a_position() {
    let error = |sql: &[u8]| match analyze(sql) {
        Analysis::Error { error, position } => (error, position),
        Analysis::Statements { .. } => panic!("{sql:?} parsed"),
    };
    assert_eq!(error(b"select 1 frm t x"), ("syntax error at or near \"t\"".into(), Some(14)));
    assert_eq!(error(b"select 'a\0b'").1, None);
    assert_eq!(error(b"select '\xff'").1, None);
    assert!(error(b"select 'open").0.contains("unterminated"));
}

#[test]
fn backslashes_do_not_escape() {
    // With standard_conforming_strings = off these would be two statements: the gateway pins the setting.
    assert_eq!(statements(r"select '\''; select pan from t; --'").len(), 1);
    assert_eq!(statements(r"select E'\''; select pan from t; --'").len(), 2);
}

#[test]
fn settings_are_found_wherever_they_are_set() {
    let settings = |sql: &str| {
        let info = one(sql);
        assert!(info.literals_matter, "{sql}");
        let shown = |s: &sluice_sql::Setting| {
            format!(
                "{}={}{}",
                s.name,
                s.value.as_deref().unwrap_or("?"),
                if s.local { " local" } else { "" }
            )
        };
        let mut all: Vec<String> = info.settings.iter().map(shown).collect();
        if info.dynamic_settings {
            all.push("dynamic".into());
        }
        all.join("; ")
    };
    assert_eq!(settings("set Search_Path = a, 'B'"), "search_path=a, B");
    assert_eq!(settings("set local work_mem to default"), "work_mem= local");
    assert_eq!(settings("set names 'latin1'"), "client_encoding=latin1");
    assert_eq!(settings("set time zone 'UTC'"), "timezone=UTC");
    assert_eq!(settings("set schema 'x'"), "search_path=x");
    assert_eq!(settings("set role bob"), "role=bob");
    assert_eq!(settings("set session authorization bob"), "session_authorization=bob");
    assert_eq!(settings("set x.y from current"), "x.y=?");
    assert_eq!(settings("reset all"), "all=");
    assert_eq!(settings("reset standard_conforming_strings"), "standard_conforming_strings=");
    assert_eq!(settings("select set_config('A.b', 'c', true)"), "a.b=c local");
    assert_eq!(settings("select pg_catalog.set_config('a.b'::text, pan, false) from t"), "a.b=?");
    assert_eq!(settings("select set_config(x, 'c', false) from t"), "dynamic");
    assert_eq!(
        settings("select set_config(setting_name => 'a', new_value => 'b', is_local => false)"),
        "dynamic"
    );
    assert_eq!(settings("select set_config(variadic array['a', 'b', 'c'])"), "dynamic");
    assert_eq!(
        settings("update pg_settings set setting = 'off' where name = 'standard_conforming_strings'"),
        "dynamic"
    );
    assert_eq!(settings("alter role bob set client_encoding = 'sjis'"), "client_encoding=sjis");
    assert_eq!(
        settings("alter database d set standard_conforming_strings = off"),
        "standard_conforming_strings=off"
    );
    assert_eq!(settings("alter system set x = 1"), "x=1");
    assert_eq!(
        settings("create function f() returns int language sql set standard_conforming_strings = off as ''"),
        "standard_conforming_strings=off"
    );
    assert_eq!(settings("prepare p as select set_config('a', 'b', false)"), "a=b");
    assert_eq!(settings("with x as (select set_config('a', 'b', false)) select 1"), "a=b");
}

#[test]
fn where_clauses_are_missed_at_any_level() {
    for (sql, has_where) in [
        ("delete from t", false),
        ("delete from t where true", true),
        ("update t set a = 1", false),
        ("update t set a = 1 where current of c", true),
        ("with d as (delete from t returning 1) select 1", false),
        ("prepare p as delete from t", false),
        ("explain delete from t", false),
        ("select 1", true),
        ("truncate t", true),
        ("merge into t using u on true when matched then delete", false),
        ("merge into t using u on (1 = 1) when matched then update set a = 1", false),
        ("merge into t using u on true when matched and t.a then delete", true),
        ("merge into t using u on true when not matched then insert values (1)", true),
        ("merge into t using u on true when matched then do nothing", true),
        ("merge into t using u on t.id = u.id when matched then update set a = u.a", true),
        ("merge into t using u on t.id = u.id when not matched by source then delete", false),
        (
            "merge into t using u on t.id = u.id when not matched by source and t.a then delete",
            true,
        ),
        (
            "with m as (merge into t using u on true when matched then delete returning 1) select 1",
            false,
        ),
    ] {
        assert_eq!(one(sql).has_where, has_where, "{sql}");
    }
}

#[test]
fn prepared_statements_and_cursors_have_names() {
    for (sql, name) in [
        ("prepare \"P q\" as select 1", "P q"),
        ("execute p(1)", "p"),
        ("explain execute p", "p"),
        ("create table x as execute p", "p"),
        ("deallocate p", "p"),
        ("deallocate all", ""),
        ("declare c cursor for select 1", "c"),
        ("fetch 5 from c", "c"),
        ("move c", "c"),
        ("close c", "c"),
        ("close all", ""),
    ] {
        assert_eq!(one(sql).name, name, "{sql}");
    }
}

#[test]
fn copy_options_have_the_servers_defaults() {
    let copy = |sql: &str| one(sql).copy.expect("a COPY");
    let text = copy("copy a.t(x, y) from stdin");
    assert_eq!(
        (text.format, text.delimiter.as_str(), text.null_string.as_str(), text.header),
        ("text", "\t", "\\N", false)
    );
    assert_eq!(
        (text.table.as_deref(), text.columns),
        (Some("a.t"), vec!["x".to_owned(), "y".to_owned()])
    );
    let csv = copy("copy (select 1) to stdout (format csv, header match, quote '|', null 'NULL', encoding 'latin1')");
    assert_eq!(
        (csv.format, csv.quote.as_str(), csv.escape.as_str(), csv.delimiter.as_str()),
        ("csv", "|", "|", ",")
    );
    assert_eq!(
        (csv.null_string.as_str(), csv.header, csv.table, csv.encoding.as_str()),
        ("NULL", true, None, "latin1")
    );
    assert!(copy("copy t to stdout csv header").header);
    assert!(!copy("copy t to stdout with (format csv, header off)").header);
    assert_eq!(copy("copy binary t to stdout").format, "binary");
    assert_eq!(copy("copy t to stdout (format 'BINARY')").format, "binary");
    assert_eq!(copy("copy t to stdout delimiter ';' csv quote ''''").quote, "'");
}

#[test]
fn literals_matter_where_they_choose_what_happens() {
    for (sql, matter) in [
        ("select * from t where a = 'x' limit 10", false),
        ("insert into t values (1, 'a') returning *", false),
        ("execute p(1, 'x')", false),
        ("fetch 10 from c", false),
        ("begin", false),
        ("explain select 1", false),
        ("explain (analyze 0) select 1", true),
        ("select query_to_xml('select 1', true, true, '')", true),
        ("select lo_export(1, '/tmp/x')", true),
        ("select pg_read_file('x')", true),
        ("select dblink('x', 'y')", true),
        ("copy t to '/tmp/x'", true),
        ("load 'x'", true),
        ("notify c, 'x'", true),
        ("comment on table t is 'x'", true),
    ] {
        assert_eq!(one(sql).literals_matter, matter, "{sql}");
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_crash() {
    let deep = [
        format!("select {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("select {}1", "- ".repeat(100_000)),
        format!("select {}1", "not ".repeat(100_000)),
        format!("select 1{}", "+1".repeat(200_000)),
        format!("select {}1{}", "f(".repeat(50_000), ")".repeat(50_000)),
        format!("select {}1{}", "(select ".repeat(50_000), ")".repeat(50_000)),
        format!("select 1{}", " union select 1".repeat(50_000)),
        format!("select a{}", "[1]".repeat(50_000)),
        format!("select 1{}", "::int".repeat(50_000)),
        format!("select * from {}a{}", "(".repeat(20_000), " join b on true)".repeat(20_000)),
        format!("select '{}'::text[]", "{".repeat(50_000)),
        format!("{}select 1{}", "with a as (".repeat(20_000), ") select 1".repeat(20_000)),
        format!("select {}", "case when 1=1 then ".repeat(30_000)),
    ];
    for sql in deep {
        // Either is fine; what counts is that it returns.
        let _ = analyze(sql.as_bytes());
    }
    // What people write is not deep: 1500 operators in a row, a hundred subqueries.
    assert_eq!(statements(&format!("select 'a'{}", " || 'a'".repeat(1500))).len(), 1);
    assert_eq!(
        statements(&format!("select {}1{}", "(select ".repeat(100), ")".repeat(100))).len(),
        1
    );
}

#[test]
fn texts_of_eight_megabytes_work() {
    let string = format!("select '{}'", "x".repeat(8 << 20));
    assert_eq!(one(&string).kind, "select");
    let row = format!("(1, '{}'),", "y".repeat(500));
    let rows = row.repeat((8 << 20) / row.len());
    assert_eq!(
        tables(&one(&format!("insert into t values {}", rows.trim_end_matches(',')))),
        "insert:t"
    );
    let many = "select 1;".repeat(100_000);
    assert_eq!(statements(&many).len(), 100_000);
}

#[test]
fn what_the_parser_leaves_out_denies() {
    assert!(!one("select 1").unknown);
    assert_eq!(one("create operator === (procedure = f)").kind, "create");
}

#[test]
fn rows_read_whole_or_under_other_names_are_told() {
    for sql in [
        "select a from cards t(a, b, c) where c = '123'",
        "select 1 from cards where cards = row(1, '123')",
        "select 1 from cards c where c::text like '%123%'",
        "select 1 from cards where cards.* = row(1, '123')",
        "select to_jsonb(c) ->> 'x' from cards c",
        "select 1 from (select * from cards) s(a, b) where b = '123'",
        "with s(a, b) as (select id, pan from cards) select 1 from s where b = '123'",
        "with s as (table cards) select 1 from s",
        "select 1 where (1, '123') in (table cards)",
        "table cards intersect values (1, '123')",
        "select * from (cards join orders using (id)) j(a, b) where b = '123'",
        "delete from cards c where c = row(1, '123')",
        "update orders set note = 'x' from cards c where c = row(1, '123')",
        "explain analyze select 1 from cards where cards = row(1, '123')",
        "prepare p as select 1 from cards c where c = row(1, '123')",
        "copy (select 1 from cards c where c = row(1, '123')) to stdout",
    ] {
        assert!(one(sql).whole_rows, "{sql}");
    }
    for sql in [
        "select * from cards where id = 7",
        "select c.*, 1 from cards c where c.id = 7",
        "table cards",
        "select count(*) from cards c where id = 7",
        "update cards c set brand = 'x' where id = 7 returning *, c.id",
        "select id from cards where id in (select card_id from orders where amount > 5)",
        "select c.id from cards c join (values (1, 2)) v(id, n) on v.id = c.id",
        "explain select * from cards where id = 7",
        "copy cards to stdout",
        "begin",
    ] {
        assert!(!one(sql).whole_rows, "{sql}");
    }
}

#[test]
fn statements_that_write_constants_alone_are_told() {
    for (sql, expected) in [
        (
            "insert into t values (1, 'a', null, $1, default, -5), (2, $2, true, 1.5, b'1', 7)",
            true,
        ),
        ("insert into t (a, b) values ($1, $2) returning a", true),
        ("insert into t default values", true),
        ("insert into t values (1) on conflict (a) do nothing", true),
        ("update t set a = $1, b = default from u where t.id = u.id returning u.pan", true),
        ("update t set a[1] = 5", true),
        ("update t set a[1:2].b = 5", true),
        ("update t set a[(select cvv::int from cards)] = 5", false),
        ("update t set a[f(1)] = 5", false),
        ("update t set a[1:(select cvv::int from cards)] = 5", false),
        ("insert into t (id, a[(select cvv::int from cards)]) values (1, 2)", false),
        ("insert into t values (1) on conflict (a) do update set b = excluded.b", false),
        ("insert into t values (1) on conflict (a) do update set b = t.a", false),
        ("insert into t values ((select pan from cards))", false),
        ("insert into t values (f(1))", false),
        ("insert into t values ('1'::mytype)", false),
        ("insert into t values (1 + 1)", false),
        ("insert into t values (row(1))", false),
        ("insert into t values (1) order by 1", false),
        ("insert into t with c as (select pan from cards) values (1)", false),
        ("with c as (insert into u select * from cards) insert into t values (1)", false),
        ("insert into t select pan from cards", false),
        ("insert into t table cards", false),
        ("insert into t values (1) union select pan from cards", false),
        ("update t set a = b", false),
        ("update t set (a, b) = (select pan, cvv from cards)", false),
        ("update t set (a, b) = (1, 2)", false),
        ("with c as (update u set a = pan returning *) update t set a = 1", false),
        ("delete from t", false),
        ("select 1", false),
        ("prepare p as insert into t values (1)", false),
        ("explain analyze insert into t values (1)", false),
        ("merge into t using u on true when matched then update set a = u.a", false),
    ] {
        assert_eq!(one(sql).constant_writes, expected, "{sql}");
    }
}

#[test]
fn the_mode_of_a_lock_is_told() {
    for (sql, mode) in [
        ("lock table cards in access share mode", "access share"),
        ("lock cards in row exclusive mode nowait", "row exclusive"),
        ("lock cards, orders in share update exclusive mode", "share update exclusive"),
        ("lock cards", "access exclusive"),
        ("select 1", ""),
    ] {
        assert_eq!(one(sql).lock_mode, mode, "{sql}");
    }
}

#[test]
fn a_fingerprint_is_that_of_the_statement_and_not_of_its_literals() {
    let of = |sql: &str| sluice_sql::fingerprint(sql.as_bytes());
    // As libpg_query's own tests have it.
    assert_eq!(of("SELECT 1").as_deref(), Some("50fde20626009aba"));
    assert_eq!(of("select  2 -- two").as_deref(), Some("50fde20626009aba"));
    assert_ne!(of("select a from t"), of("select b from t"));
    assert_eq!(of("selec"), None);
    assert_eq!(sluice_sql::fingerprint(b"select '\xff'"), None);
}

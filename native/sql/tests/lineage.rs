//! The case table of lineage, one statement a line.
#![expect(clippy::expect_used, clippy::panic, reason = "tests")]

use sluice_sql::{Analysis, Catalog, OutputLineage, WriteLineage, analyze, lineage};

fn catalog() -> Catalog {
    Catalog::compile(include_str!("data/catalog.json")).expect("the test catalog compiles")
}

fn shown(output: &OutputLineage) -> String {
    let star = output.star && output.name == "*";
    match &output.protect {
        None => output.name.clone(),
        Some(class) => {
            format!(
                "{}={class}{}{}",
                output.name,
                if output.direct { "" } else { "!" },
                if star { "*" } else { "" }
            )
        }
    }
}

#[test]
fn outputs_are_as_the_table_says() {
    let catalog = catalog();
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in include_str!("data/lineage.tsv")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let mut parts = line.split('\t');
        let (sql, expected) = (parts.next().expect("a statement"), parts.next().unwrap_or_default().trim());
        let clean = parts.next() == Some("clean");
        let found = lineage(&catalog, sql.as_bytes());
        let [statement] = found.statements.as_slice() else {
            panic!("{sql}: {found:?}")
        };
        let actual = statement.outputs.iter().map(shown).collect::<Vec<_>>().join(", ");
        if actual != expected || statement.clean != clean {
            wrong.push(format!(
                "{sql}\n  expected {expected} clean={clean}\n  found    {actual} clean={}",
                statement.clean
            ));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "the table was read");
}

fn shown_write(write: &WriteLineage) -> String {
    let schema = if write.schema.is_empty() {
        String::new()
    } else {
        format!("{}.", write.schema)
    };
    let column = if write.column.is_empty() { "*" } else { write.column.as_str() };
    let derived = if write.direct { "" } else { "!" };
    format!("{schema}{}.{column}={}{derived}", write.table, write.protect)
}

#[test]
fn writes_are_as_the_table_says() {
    let catalog = catalog();
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in include_str!("data/writes.tsv").lines().filter(|line| !line.starts_with('#')) {
        let (sql, expected) = line.split_once('\t').expect("a statement and what it writes");
        let found = lineage(&catalog, sql.as_bytes());
        let [statement] = found.statements.as_slice() else {
            panic!("{sql}: {found:?}")
        };
        let Analysis::Statements { statements } = analyze(sql.as_bytes()) else {
            panic!("{sql}")
        };
        // Its lineage is not asked for then.
        assert!(
            !statements.iter().any(|info| info.constant_writes) || statement.writes.is_empty(),
            "{sql}"
        );
        let actual = statement.writes.iter().map(shown_write).collect::<Vec<_>>().join(", ");
        if actual != expected {
            wrong.push(format!("{sql}\n  expected {expected}\n  found    {actual}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 60, "the table was read");
}

#[test]
fn lineage_is_the_same_after_an_analysis() {
    let catalog = catalog();
    let lines = include_str!("data/lineage.tsv").lines();
    for sql in lines.filter_map(|line| line.split('\t').next()) {
        let alone = lineage(&catalog, sql.as_bytes());
        let _ = analyze(sql.as_bytes());
        // Of another text than the one that was analyzed last, then of that one, then once more.
        let _ = lineage(&catalog, b"select 1");
        for _ in 0..2 {
            assert_eq!(lineage(&catalog, sql.as_bytes()), alone, "{sql}");
        }
        let _ = analyze(b"select 2");
        assert_eq!(lineage(&catalog, sql.as_bytes()), alone, "{sql}");
    }
}

#[test]
fn conditions_that_tell_protected_values_are_found() {
    let catalog = catalog();
    for (sql, expected) in [
        ("select k from cards c join generate_series(0, 999) k on k = c.cvv::int", true),
        (
            "select k from cards c, generate_series(0, 999) k where c.id = 1 and k <= cvv::int",
            true,
        ),
        (
            "select count(*) from generate_series(0, 999) k where k <= (select cvv::int from cards where id = 1)",
            true,
        ),
        ("select v.x from cards c join (values ('266', 'a')) v(k, x) on v.k = c.cvv", true),
        ("select x from (values ('266', 'a')) v(cvv, x) join cards using (cvv)", true),
        ("select x from cards natural join (values ('266', 'a')) v(cvv, x)", true),
        ("select o.id from orders o where o.id in (select cvv::int from cards)", true),
        (
            "select o.id from orders o where exists (select from cards c where c.cvv::int = o.id)",
            true,
        ),
        (
            "select o.id, exists (select from cards c where c.cvv::int = o.id) from orders o",
            true,
        ),
        (
            "select (select k from generate_series(0, 999) k where k = c.cvv::int) from cards c",
            true,
        ),
        (
            "select k from cards c, lateral (select k from generate_series(0, 999) k where k = c.cvv::int) s",
            true,
        ),
        (
            "with s as (select cvv::int v from cards) select k from s join generate_series(0, 999) k on k = v",
            true,
        ),
        (
            "select * from (select c.cvv::int v, k from cards c, generate_series(0, 999) k) s where s.v = s.k",
            true,
        ),
        (
            "select k, count(*) filter (where c.cvv::int = k) from cards c, generate_series(0, 9) k group by k",
            true,
        ),
        (
            "select k, count(nullif(c.cvv::int, k)) from cards c, generate_series(0, 9) k group by k",
            true,
        ),
        (
            "select k, nullif(c.cvv::int, k) is null from cards c, generate_series(0, 9) k",
            true,
        ),
        (
            "select k from cards c, generate_series(0, 9) k order by c.cvv::int = k desc limit 1",
            true,
        ),
        (
            "select k from cards c, generate_series(0, 9) k group by k, c.cvv::int having max(c.cvv::int) = k",
            true,
        ),
        (
            "select count(*) over (partition by c.cvv::int = k), k from cards c, generate_series(0, 9) k",
            true,
        ),
        (
            "select count(*) over w, k from cards c, generate_series(0, 9) k window w as (partition by c.cvv::int = k)",
            true,
        ),
        ("select id from orders limit (select cvv::int from cards where id = 1)", true),
        (
            "select id from orders offset (select right(pan, 6)::int from cards where id = 1)",
            true,
        ),
        ("select 1 from cards, generate_series(1, cvv::int)", true),
        ("select id, generate_series(1, cvv::int) from cards", true),
        ("select id from cards c, unnest(array_fill(1, array[c.cvv::int]))", true),
        ("delete from orders o using cards c where c.cvv::int = o.id", true),
        ("update orders o set x = 1 from cards c where c.cvv::int = o.id", true),
        (
            "merge into orders o using cards c on c.cvv::int = o.id when matched then delete",
            true,
        ),
        (
            "explain analyze select k from cards c join generate_series(0, 999) k on k = c.cvv::int",
            true,
        ),
        (
            "prepare p as select k from cards c join generate_series(0, 999) k on k = c.cvv::int",
            true,
        ),
        (
            "copy (select k from cards c join generate_series(0, 999) k on k = c.cvv::int) to stdout",
            true,
        ),
        ("select a.id from cards a join cards b on a.cvv::int = b.id", true),
        ("select pan || holder as v from cards intersect select v from s", false),
        ("select * from cards where pan = $1 and cvv = '266'", false),
        (
            "select c.pan, o.id from cards c join orders o on o.card_id = c.id where c.cvv <> '000' and o.x > 5",
            false,
        ),
        (
            "select c.holder, cu.name from cards c join customers cu on cu.id = c.customer_id where c.pan like '4%'",
            false,
        ),
        ("select c.id from cards c join t on t.pan = c.pan", false),
        ("select id from cards join t using (pan)", false),
        (
            "select o.id from orders o where o.card_id in (select id from cards where cvv is null)",
            false,
        ),
        ("select * from cards where cvv::int = id or holder = 'x'", false),
        (
            "select customer_id, count(*), max(pan) from cards group by customer_id having max(cvv) > '5' order by max(pan)",
            false,
        ),
        ("select * from orders o join temporary x on x.a = o.id", false),
        ("select c.pan from cards c join temporary x on x.a = c.id", false),
        ("select * from cards order by cvv, id limit 10", false),
        ("select k, o.id from orders o join generate_series(0, 999) k on k = o.id", false),
        ("select s from cards, regexp_split_to_table(holder, ' ') s", false),
        ("select pan || k from cards, generate_series(1, 3) k", false),
        ("update cards set cvv = null where pan = $1", false),
        ("select id from cards where pan in (select pan from t)", false),
    ] {
        let found = lineage(&catalog, sql.as_bytes());
        let [statement] = found.statements.as_slice() else {
            panic!("{sql}: {found:?}")
        };
        assert_eq!(statement.compares, expected, "{sql}");
    }
}

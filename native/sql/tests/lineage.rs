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
    let mut wrong = Vec::new();
    for line in include_str!("data/comparisons.tsv").lines().filter(|line| !line.starts_with('#')) {
        let (sql, expected) = line.split_once('\t').expect("a statement and whether it tells");
        let found = lineage(&catalog, sql.as_bytes());
        let [statement] = found.statements.as_slice() else {
            panic!("{sql}: {found:?}")
        };
        if statement.compares.to_string() != expected {
            wrong.push(sql);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nested_subqueries_cost_each_level_once() {
    let catalog = catalog();
    // What is used up answers "unknown" everywhere; a level that is evaluated twice uses it up at twenty or so.
    let levels: [(&str, &str, &str, &str); 4] = [
        ("select cvv from cards", "select (", ") from cards c", "sad"),
        (
            "select cvv::int from cards",
            "select sum(id) filter (where (",
            ") > 1) from cards",
            "sad",
        ),
        (
            "select pan from cards",
            "select pan from cards where pan = '1' or pan = (",
            ")",
            "pan",
        ),
        (
            "select holder from cards",
            "select a from json_table((",
            "), '$' columns (a text))",
            "name",
        ),
    ];
    for (inner, before, after, expected) in levels {
        let sql = format!("{}{inner}{}", before.repeat(40), after.repeat(40));
        let found = lineage(&catalog, sql.as_bytes());
        let outputs: Vec<_> = found
            .statements
            .iter()
            .flat_map(|statement| &statement.outputs)
            .map(|output| output.protect.as_deref())
            .collect();
        assert_eq!(outputs, [Some(expected)], "{before}");
    }
}

//! Texts with one shape have one tree but for literals.
#![expect(clippy::expect_used, reason = "tests")]

use proptest::prelude::*;
use sluice_sql::{Analysis, analyze, shape_text, statement_shape};

fn shown(sql: &str) -> Option<String> {
    shape_text(sql.as_bytes()).map(|text| String::from_utf8(text).expect("UTF-8").replace('\0', "§"))
}

#[test]
fn plain_literals_are_taken_out_and_nothing_else() {
    for (sql, shape) in [
        ("select 1", Some("select §I")),
        ("select -1, +2", Some("select -§I, +§I")),
        ("select 2147483647, 2147483648", Some("select §I, §F")),
        ("select 0000000000001", Some("select §I")),
        (
            "select 1.5, .5, 1., 1e5, 1e+5, 1E-5, 1_000, 0x1F",
            Some("select 1.5, .5, 1., 1e5, 1e+5, 1E-5, 1_000, 0x1F"),
        ),
        ("select 1a", Some("select 1a")),
        ("select 'a', 'it''s', ''", Some("select §S, §S, §S")),
        (r"select 'a\'", Some("select §S")),
        ("select $1, $23", Some("select $1, $23")),
        (
            "select a1, t1.c2, \"1\", \"a'1\", \"q\"\"1\"",
            Some("select a1, t1.c2, \"1\", \"a'1\", \"q\"\"1\""),
        ),
        ("select a[1:2], 5::text, b := 3", Some("select a[§I:§I], §I::text, b := §I")),
        ("select 1 -- 2 'x\n, 3", Some("select §I -- 2 'x\n, §I")),
        ("select /* 1 /* '2 */ */ 3", Some("select /* 1 /* '2 */ */ §I")),
        ("select 1 +-- '\n 2", Some("select §I +-- '\n §I")),
        ("select 1 */* ' */ 2", Some("select §I */* ' */ §I")),
        ("select x from é1 where a='é'", Some("select x from é1 where a=§S")),
        ("select float4(1), float '1'", Some("select float4(§I), float §S")),
        ("select 'a'\n, 'b'", Some("select §S\n, §S")),
        ("select date '2020-01-01'", Some("select date §S")),
        // No shape.
        ("select 'a'\n'b'", None),
        ("select 'a' 'b'", None),
        ("select 'a' -- c\n'b'", None),
        ("select E'a'", None),
        ("select e'\\''", None),
        ("select U&'a'", None),
        ("select u&\"a\" uescape '!'", None),
        ("select B'1', X'1F', N'x'", None),
        ("select $$a$$", None),
        ("select $t$a$t$", None),
        ("select 'open", None),
        ("select \"open", None),
        ("select /* open", None),
        ("select 'a\0'", None),
        ("select 1::float(24)", None),
        ("select 1::FLOAT (24)", None),
    ] {
        assert_eq!(shown(sql).as_deref(), shape, "{sql}");
    }
    assert_eq!(shape_text(b"select '\xff'"), None);
}

#[test]
fn ids_are_those_of_shapes() {
    let id = |sql: &str| statement_shape(sql.as_bytes());
    assert_ne!(id("select 1"), 0);
    assert_eq!(id("select 1"), id("select 23"));
    assert_eq!(id("select 'a' from t limit 5"), id("select 'bc' from t limit 50"));
    assert_ne!(id("select 1"), id("select 1 "));
    assert_ne!(id("select 1"), id("SELECT 1"));
    assert_ne!(id("select 1"), id("select '1'"));
    assert_ne!(id("select 1"), id("select 3000000000"));
    assert_eq!(id("select 'open"), 0);
    assert_eq!(id(&format!("select '{}'", "x".repeat(20_000))), 0);
    // From another thread too.
    let here = id("select id from shared_between_threads");
    let there = std::thread::spawn(|| statement_shape(b"select id from shared_between_threads")).join();
    assert_eq!(there.expect("no panic"), here);
}

/// Pieces that statements are made of, those with rules of their own among them.
fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "a",
        "t.b",
        "\"q 1\"",
        "\"'\"",
        "*",
        ",",
        "(",
        ")",
        "+",
        "-",
        "--",
        "/*",
        "*/",
        "/",
        "'",
        "''",
        "\"",
        "$1",
        "$2",
        "$$",
        "$x$",
        "::",
        ":=",
        "int",
        "float",
        "float8",
        "(24)",
        "E",
        "e",
        "U&",
        "u&",
        "B",
        "X",
        "N",
        "and",
        "or",
        "not",
        "in",
        "like",
        "between",
        "from",
        "t",
        "where",
        "order by",
        "limit",
        "group by",
        "union all",
        "select",
        "case when",
        "then",
        "else",
        "end",
        ".",
        "..",
        "1.5",
        "1e5",
        "1e",
        "0x1F",
        "1_0",
        "1a",
        "||",
        "->>",
        "@>",
        "<",
        "=",
        "[",
        "]",
        ":",
        ";",
        "\n",
        "\t",
        " ",
        "\r",
        "is null",
        "as",
        "date",
        "interval",
        "é",
        "array",
        "null",
        "true",
        "f",
        "cast",
        "\\",
        "-1",
        "#",
        "~",
        "uescape",
        "exists",
        "any",
        "operator(",
        "year",
        "collate",
    ]);
    prop_oneof![5 => fixed.prop_map(str::to_owned), 1 => "[0-9]{1,12}", 1 => "'[a-z0-9'$\\\\\" -]{0,6}'"]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec((piece(), prop::sample::select(vec!["", " ", " ", "\n"])), 0..12).prop_map(|parts| {
        format!(
            "select {}",
            parts.into_iter().map(|(piece, space)| piece + space).collect::<String>()
        )
    })
}

/// A statement of a common form whose literals are holes.
fn template() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "select a, b from t where c = ? and d in (?, ?) order by ? limit ?",
        "insert into t (a, b) values (?, ?), (?, ?) returning a",
        "update t set a = ?, b = b - ? where c = ?",
        "delete from t where a between ? and ? or b like ?",
        "select coalesce(a, ?)::text || ? from t group by ? having count(*) > ? offset ?",
        "select substr(a, ?, ?), a[?], -? from t where a = any(array[?, ?]) and b->>? = ?",
        "with x as (select ? as n) select * from x where n <> ? union select ?",
        "select case when a = ? then ? else ? end, interval ?, date ?, x'1F', 1.5, f(? , ?)",
        "select ? -- ' ?\n, ? /* ? ' */ , \"?\" from t",
        "select a from t where b = ?and c = ?or d",
        "select ?::float(?), ? ? , E? , U&? , B?, ?.?, ?e?, $?",
    ])
    .prop_map(str::to_owned)
}

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,11}",
        "'[a-zA-Z0-9 '$\\\\;/*-]{0,8}'".prop_map(|text| {
            let inner = text.get(1..text.len() - 1).unwrap_or_default().replace('\'', "''");
            format!("'{inner}'")
        }),
    ]
}

fn fill(template: &str, literals: &[String]) -> String {
    let mut literals = literals.iter().cycle();
    template
        .split_inclusive('?')
        .map(|part| match part.strip_suffix('?') {
            Some(before) => format!("{before}{}", literals.next().map_or("0", String::as_str)),
            None => part.to_owned(),
        })
        .collect()
}

/// The analysis without what depends on the values' lengths and texts.
fn meaning(sql: &str) -> Option<String> {
    match analyze(sql.as_bytes()) {
        Analysis::Error { .. } => None,
        Analysis::Statements { mut statements } => {
            for statement in &mut statements {
                (statement.start, statement.end) = (0, 0);
            }
            Some(serde_json::to_string(&statements).expect("JSON"))
        }
    }
}

/// Another text of the same shape: the literals of `sql` replaced by `literals` of the same class.
fn reshape(sql: &str, integers: &[u32], strings: &[String]) -> Option<String> {
    let shape = shape_text(sql.as_bytes())?;
    let (mut out, mut integers, mut strings) = (Vec::new(), integers.iter().cycle(), strings.iter().cycle());
    let mut bytes = shape.into_iter();
    while let Some(byte) = bytes.next() {
        match (byte, if byte == 0 { bytes.next() } else { None }) {
            (0, Some(b'I')) => out.extend(integers.next()?.to_string().bytes()),
            (0, Some(b'F')) => out.extend((u64::from(*integers.next()?) + 3_000_000_000).to_string().bytes()),
            (0, _) => out.extend(format!("'{}'", strings.next()?.replace('\'', "''")).bytes()),
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

fn check(sql: &str, integers: &[u32], strings: &[String]) -> Result<(), TestCaseError> {
    let Some(other) = reshape(sql, integers, strings) else {
        return Ok(());
    };
    prop_assert_eq!(shape_text(other.as_bytes()), shape_text(sql.as_bytes()), "{} / {}", sql, other);
    prop_assert_eq!(statement_shape(other.as_bytes()), statement_shape(sql.as_bytes()));
    let (a, b) = (meaning(sql), meaning(&other));
    // A value can be refused where another is not (`interval(99)`), but two that parse mean the same.
    if a.is_some() && b.is_some() {
        prop_assert_eq!(a, b, "{} / {}", sql, other);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn one_shape_has_one_meaning(
        template in template(),
        literals in prop::collection::vec(literal(), 1..12),
        integers in prop::collection::vec(0u32..2_000_000_000, 1..6),
        strings in prop::collection::vec("[a-z0-9'\" $;/*\\\\-]{0,8}", 1..6),
    ) {
        check(&fill(&template, &literals), &integers, &strings)?;
    }

    #[test]
    fn token_soup_with_one_shape_has_one_meaning(
        sql in text(),
        integers in prop::collection::vec(0u32..2_000_000_000, 1..6),
        strings in prop::collection::vec("[a-z0-9'\" $;/*\\\\-]{0,8}", 1..6),
    ) {
        check(&sql, &integers, &strings)?;
    }
}

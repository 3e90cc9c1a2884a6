//! The names that PostgreSQL gives to outputs (`FigureColname` in `parse_target.c`).

use crate::tree::{Node, Value};

/// Also stands for names that take more than the syntax to tell: see `Source::nameless`.
pub const NAMELESS: &str = "?column?";

/// The name of an item of a target list.
pub fn output_name(target: &Node) -> String {
    match target.str("name") {
        "" => figure(target.get("val")).map_or_else(|| NAMELESS.to_owned(), |(name, _)| name),
        name => name.to_owned(),
    }
}

/// A name, and whether it is a good one (a cast or CASE around it keeps only good names).
fn figure(value: &Value) -> Option<(String, bool)> {
    let node = value.node()?;
    let weak = |name: &str| Some((name.to_owned(), false));
    let good = |name: &str| Some((name.to_owned(), true));
    match node.kind {
        kind if super::query::is_star(node) || kind.starts_with("Xml") || kind.starts_with("Json") => good(NAMELESS),
        "SQLValueFunction" => good(NAMELESS),
        "ColumnRef" => good(node.names("fields").last()?),
        "AIndirection" => match node.names("indirection").last() {
            Some(name) => good(name),
            None => figure(node.get("arg")),
        },
        "FuncCall" => good(node.names("funcname").last()?),
        // `AEXPR_NULLIF`
        "AExpr" if node.int("kind") == 6 => good("nullif"),
        "TypeCast" => match figure(node.get("arg")) {
            Some((name, true)) => Some((name, true)),
            other => match node
                .node("type_name")
                .and_then(|name| name.names("names").last().map(|n| (*n).to_owned()))
            {
                Some(name) => Some((name, false)),
                None => other,
            },
        },
        "CollateClause" => figure(node.get("arg")),
        "GroupingFunc" => good("grouping"),
        "MergeSupportFunc" => good("merge_action"),
        "SubLink" => match node.int("sub_link_type") {
            1 => good("exists"),
            7 => good("array"),
            5 => {
                let targets = node.node("subselect").map(|query| query.list("target_list")).unwrap_or_default();
                match targets.first().and_then(Value::node) {
                    Some(target) if !target.str("name").is_empty() => good(target.str("name")),
                    Some(target) => figure(target.get("val")).map_or_else(|| good(NAMELESS), |(name, _)| good(&name)),
                    None => good(NAMELESS),
                }
            }
            _ => None,
        },
        "CaseExpr" => match figure(node.get("defresult")) {
            Some((name, true)) => Some((name, true)),
            _ => weak("case"),
        },
        "AArrayExpr" => good("array"),
        "RowExpr" => good("row"),
        "CoalesceExpr" => good("coalesce"),
        "MinMaxExpr" => good(if node.int("op") == 1 { "greatest" } else { "least" }),
        _ => None,
    }
}

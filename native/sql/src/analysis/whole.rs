//! Whether a statement reads rows as a whole, or columns under names that are not their own: then the names of columns in
//! its text do not tell which of them its literals are compared with.

use std::collections::HashSet;

use crate::tree::{Node, Value};

/// `SelectStmt` that is no UNION, INTERSECT or EXCEPT.
const SETOP_NONE: i64 = 1;

/// `select c from cards c`, `cards::text`, `cards x(a, b)`, `(1, '2') in (table cards)`, ... The `*` of the outermost
/// target list is none of these: it only says what is returned.
pub fn reads_whole_rows(statement: &Node) -> bool {
    let mut names = HashSet::new();
    relation_names(statement, &mut names);
    in_statement(statement, &names)
}

/// Names that stand for a row.
fn relation_names<'n>(node: &'n Node, names: &mut HashSet<&'n str>) {
    match node.kind {
        "RangeVar" => names.insert(node.str("relname")),
        "Alias" => names.insert(node.str("aliasname")),
        "CommonTableExpr" => names.insert(node.str("ctename")),
        _ => false,
    };
    for (_, value) in node.fields {
        each_node(value, &mut |node| relation_names(node, names));
    }
}

fn in_statement(node: &Node, names: &HashSet<&str>) -> bool {
    let outermost = match node.kind {
        "SelectStmt" if node.int("op") <= SETOP_NONE => "target_list",
        "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => "returning_clause",
        "PrepareStmt" | "ExplainStmt" | "DeclareCursorStmt" | "CopyStmt" | "CreateTableAsStmt" | "ViewStmt" => {
            return node.node("query").is_some_and(|query| in_statement(query, names));
        }
        _ => "",
    };
    node.fields.iter().any(|(field, value)| {
        if *field == outermost {
            targets_in(value, names)
        } else {
            value_in(value, names)
        }
    })
}

/// The outermost target list, or the clause that holds that of RETURNING.
fn targets_in(value: &Value, names: &HashSet<&str>) -> bool {
    let targets = match value {
        Value::Node(returning) => returning.get("exprs"),
        list => list,
    };
    targets.items().iter().filter_map(Value::node).any(|target| {
        let plain_star = target.get("val").of_kind("ColumnRef").is_some_and(is_star);
        !plain_star && node_in(target, names)
    })
}

fn node_in(node: &Node, names: &HashSet<&str>) -> bool {
    let found = match node.kind {
        "ColumnRef" => {
            let fields = node.list("fields");
            is_star(node) || (fields.len() == 1 && fields.first().and_then(Value::name).is_some_and(|name| names.contains(name)))
        }
        "RangeVar" | "JoinExpr" => renames(node),
        "RangeSubselect" => renames(node) && !is_values(node.node("subquery")),
        "CommonTableExpr" => !node.list("aliascolnames").is_empty() && !is_values(node.node("ctequery")),
        _ => false,
    };
    found || node.fields.iter().any(|(_, value)| value_in(value, names))
}

fn value_in(value: &Value, names: &HashSet<&str>) -> bool {
    match value {
        Value::Node(node) => node_in(node, names),
        Value::List(items) => items.iter().any(|item| value_in(item, names)),
        _ => false,
    }
}

/// `AS alias (names)`.
fn renames(node: &Node) -> bool {
    node.node("alias").is_some_and(|alias| !alias.list("colnames").is_empty())
}

/// VALUES has no names of its own that could be hidden.
fn is_values(query: Option<&Node>) -> bool {
    query.is_some_and(|query| query.kind == "SelectStmt" && !query.list("values_lists").is_empty())
}

fn is_star(column: &Node) -> bool {
    column.list("fields").last().is_some_and(|last| last.of_kind("AStar").is_some())
}

fn each_node<'n>(value: &'n Value, visit: &mut dyn FnMut(&'n Node)) {
    match value {
        Value::Node(node) => visit(node),
        Value::List(items) => items.iter().for_each(|item| each_node(item, visit)),
        _ => {}
    }
}

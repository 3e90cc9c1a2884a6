//! Whether a statement writes nothing but what the client gave: then nothing that it reads can end up where it writes.

use crate::tree::{Node, Value};

/// `INSERT ... VALUES` and `UPDATE ... SET` of constants and parameters. Calls, casts, operators and subqueries may read, so none
/// of these counts.
pub fn writes_only_constants(statement: &Node) -> bool {
    let writes_constants = match statement.kind {
        "InsertStmt" => {
            // DO UPDATE can write what is in the row already; DO NOTHING has no targets.
            let updates = statement
                .node("on_conflict_clause")
                .is_some_and(|conflict| !conflict.list("target_list").is_empty());
            // DEFAULT VALUES have no query.
            !updates
                && statement.list("cols").iter().all(has_constant_subscripts)
                && statement.node("select_stmt").is_none_or(is_values_of_constants)
        }
        "UpdateStmt" => statement
            .list("target_list")
            .iter()
            .all(|target| has_constant_subscripts(target) && target.node().is_some_and(|target| is_constant(target.get("val")))),
        _ => return false,
    };
    writes_constants && statement.node("with_clause").is_none()
}

/// Nothing but VALUES: no WITH, ORDER BY, ...
fn is_values_of_constants(query: &Node) -> bool {
    let rows = query.list("values_lists");
    let only_values = |(field, _): &(&str, Value)| matches!(*field, "values_lists" | "op" | "limit_option");
    !rows.is_empty()
        && query.fields.iter().all(only_values)
        && rows
            .iter()
            .all(|row| row.node().is_some_and(|row| row.list("items").iter().all(is_constant)))
}

/// Of `column[1].name = ...`: subscripts are stored as well, as keys or as bounds.
fn has_constant_subscripts(target: &Value) -> bool {
    let is_fixed = |value: &Value| *value == Value::None || is_constant(value);
    target.node().is_some_and(|target| {
        target
            .list("indirection")
            .iter()
            .filter_map(Value::node)
            .all(|part| match part.kind {
                "String" => true,
                "AIndices" => is_fixed(part.get("lidx")) && is_fixed(part.get("uidx")),
                _ => false,
            })
    })
}

fn is_constant(value: &Value) -> bool {
    match value {
        Value::Literal(_) => true,
        Value::Node(node) => matches!(node.kind, "ParamRef" | "SetToDefault"),
        _ => false,
    }
}

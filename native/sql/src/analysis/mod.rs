//! What a statement text does: its class, the relations it reads and writes, what it calls and sets.

mod constants;
mod copy;
mod kinds;
mod model;
mod settings;
mod utility;
mod walk;
mod whole;

use crate::builtins;
use crate::parse::{self, ParseError, Statement};
use crate::tree::{Node, Value};

pub use kinds::is_raw;
pub use model::{Analysis, Copy, Mode, Object, Setting, StatementInfo, TableUse};
pub use walk::Found;
use walk::Walker;

/// Analyzes a text. Never fails: a text that does not parse has an error as its analysis.
#[must_use]
pub fn analyze(sql: &[u8]) -> Analysis {
    let work = || parse::parse(sql, |statements| statements.iter().map(statement_info).collect());
    match parse::with_stack(sql.len(), work).and_then(|result| result) {
        Ok(statements) => Analysis::Statements { statements },
        Err(ParseError { message, position }) => Analysis::Error { error: message, position },
    }
}

fn statement_info(statement: &Statement<'_>) -> StatementInfo {
    let node = statement.node;
    let found = find(node);
    let kind = effective_kind(node, &found);
    let literals_matter = literals_matter(node, kind, &found);
    StatementInfo {
        kind,
        start: statement.start,
        end: statement.end,
        has_where: !found.without_where,
        dynamic_settings: found.dynamic_settings,
        name: name_of(node),
        lock_mode: lock_mode(node),
        whole_rows: whole::reads_whole_rows(node),
        copy: (node.kind == "CopyStmt").then(|| copy::of(node)),
        constant_writes: constants::writes_only_constants(node),
        literals_matter,
        unknown: kind == "other",
        tables: found.tables.into_items(),
        functions: found.functions.into_items(),
        fields: found.fields.into_items(),
        objects: found.objects.into_items(),
        settings: found.settings,
    }
}

/// Walks a statement.
pub fn find(node: &Node) -> Found {
    let mut walker = Walker::default();
    walker.node(node, Mode::Alter);
    walker.found
}

/// The class of a statement with what is inside it taken into account: a SELECT whose WITH deletes is a delete, SELECT INTO
/// creates, and a tree with a node that we do not know is nothing that policy may allow.
fn effective_kind(node: &Node, found: &Found) -> &'static str {
    let kind = kinds::kind_of(node);
    if found.unknown {
        return "other";
    }
    let level = match kind {
        "select" if found.into => return "create",
        "select" | "copy_to" => 0,
        "merge" => 1,
        "insert" => 2,
        "update" => 3,
        _ => return kind,
    };
    match found.write.max(level) {
        1 => "merge",
        2 => "insert",
        3 => "update",
        4 => "delete",
        _ => kind,
    }
}

/// Prepared statement or cursor.
fn name_of(node: &Node) -> String {
    match node.kind {
        "PrepareStmt" | "ExecuteStmt" | "DeallocateStmt" => node.str("name").to_owned(),
        "DeclareCursorStmt" | "FetchStmt" | "ClosePortalStmt" => node.str("portalname").to_owned(),
        "ExplainStmt" | "CreateTableAsStmt" => node.node("query").map(name_of).unwrap_or_default(),
        _ => String::new(),
    }
}

/// The mode of LOCK TABLE in the server's words, by `LOCKMODE`.
fn lock_mode(node: &Node) -> &'static str {
    if node.kind != "LockStmt" {
        return "";
    }
    match node.int("mode") {
        1 => "access share",
        2 => "row share",
        3 => "row exclusive",
        4 => "share update exclusive",
        5 => "share",
        6 => "share row exclusive",
        7 => "exclusive",
        _ => "access exclusive",
    }
}

fn literals_matter(node: &Node, kind: &str, found: &Found) -> bool {
    let plain = matches!(
        kind,
        "select"
            | "insert"
            | "update"
            | "delete"
            | "merge"
            | "begin"
            | "commit"
            | "rollback"
            | "savepoint"
            | "prepare"
            | "execute"
            | "deallocate"
            | "declare"
            | "fetch"
            | "move"
            | "close"
            | "explain"
    );
    !plain
        || !found.settings.is_empty()
        || found.dynamic_settings
        || !found.objects.items().is_empty()
        || node.kind == "ExplainStmt" && has_option_values(node)
        || node.kind == "CopyStmt"
        || found.functions.items().iter().any(|name| builtins::literals_matter(name))
}

/// `EXPLAIN (ANALYZE 0)` and `(ANALYZE 1)` have one shape.
fn has_option_values(explain: &Node) -> bool {
    explain
        .list("options")
        .iter()
        .filter_map(Value::node)
        .any(|option| *option.get("arg") != Value::None)
}

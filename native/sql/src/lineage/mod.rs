//! Where the outputs of statements come from: which derive from protected columns, by names alone.
//!
//! It is a taint analysis that may say too much and never too little. Names without a schema match any schema, so it holds
//! under every `search_path`; whatever cannot be told is `unknown`.

mod catalog;
mod compare;
mod expr;
mod from;
mod modification;
mod names;
mod query;
mod scope;
mod writes;

use serde::Serialize;

use crate::analysis::{self, Found, Mode};
use crate::parse::{self, ParseError, Statement};
use crate::tree::{Node, Value};
pub use catalog::Catalog;
use std::rc::Rc;

use catalog::{CLEAN, Lookup, UNKNOWN};
use query::{Evaluator, Output};
use scope::{Scope, Source};

/// The outputs of every statement of a text. See `analysis.ts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lineage {
    /// One per statement; none when the text does not parse.
    pub statements: Vec<StatementLineage>,
    /// Why the text does not parse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The outputs of one statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatementLineage {
    /// One per item of the outermost target list.
    pub outputs: Vec<OutputLineage>,
    /// The columns it writes with anything that derives from protected or unknown data that it reads.
    pub writes: Vec<WriteLineage>,
    /// It names no protected or unknown relation and calls no unknown function.
    pub clean: bool,
    /// A condition of it would tell a protected value without showing it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub compares: bool,
}

/// One output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutputLineage {
    /// As PostgreSQL names it, where that is simple to tell.
    pub name: String,
    /// The class of protected data it derives from.
    pub protect: Option<String>,
    /// The value of a stored column, unchanged.
    pub direct: bool,
    /// Stands for an unknown number of columns.
    pub star: bool,
}

/// A column that is written, and what the value derives from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WriteLineage {
    /// "" when not written.
    pub schema: String,
    /// The relation's name.
    pub table: String,
    /// "" when any of the relation's columns may be meant.
    pub column: String,
    /// The class of protected data that the value derives from.
    pub protect: String,
    /// The value of a stored column, unchanged.
    pub direct: bool,
}

/// Which outputs of the statements of a text derive from columns that `catalog` protects.
#[must_use]
pub fn lineage(catalog: &Catalog, sql: &[u8]) -> Lineage {
    let work = || -> Result<Vec<StatementLineage>, ParseError> {
        parse::parse(sql, |statements| {
            statements.iter().map(|statement| of_statement(catalog, statement)).collect()
        })
    };
    match parse::with_stack(sql.len(), work).and_then(|result| result) {
        Ok(statements) => Lineage { statements, error: None },
        Err(error) => Lineage {
            statements: Vec::new(),
            error: Some(error.message),
        },
    }
}

fn of_statement(catalog: &Catalog, statement: &Statement<'_>) -> StatementLineage {
    let found = analysis::find(statement.node);
    let touches = touches(catalog, &found);
    // What these run is not in the text.
    let opaque = matches!(statement.node.kind, "DoStmt" | "CallStmt" | "ExecuteStmt" | "FetchStmt");
    let mut evaluator = Evaluator::new(catalog, touches);
    let outputs = outputs(&mut evaluator, statement.node)
        .into_iter()
        .map(|output| OutputLineage {
            protect: catalog.class_name(output.taint).map(str::to_owned),
            name: output.name,
            direct: output.direct,
            star: output.star,
        })
        .collect();
    let compares = evaluator.compares;
    StatementLineage {
        outputs,
        writes: evaluator.writes.into_lineage(catalog, found.tables.items()),
        clean: !touches && !opaque,
        compares,
    }
}

/// Whether a statement names a protected or unknown relation, or calls an unknown function in any notation.
fn touches(catalog: &Catalog, found: &Found) -> bool {
    let is_clean = |relation: &analysis::TableUse| {
        // What it makes is not there yet.
        relation.mode == Mode::Create || matches!(catalog.lookup(&relation.schema, &relation.name), Lookup::Clean)
    };
    let names = |name: &str, test: &dyn Fn(&[&str]) -> bool| test(&name.split('.').collect::<Vec<_>>());
    found.unknown
        || !found.tables.items().iter().all(is_clean)
        || found
            .functions
            .items()
            .iter()
            .any(|name| names(name, &|names| catalog.is_unknown_function(names)))
        || found.attributes.items().iter().any(|name| catalog.is_user_function(name))
        || found.types.items().iter().any(|name| {
            name.rsplit_once('.').is_none_or(|(schema, _)| schema != "pg_catalog")
                && catalog.is_user_function(name.rsplit('.').next().unwrap_or(name))
        })
}

/// The outputs of a statement: its own, or those of the query inside it.
fn outputs(evaluator: &mut Evaluator<'_>, node: &Node) -> Vec<Output> {
    match node.kind {
        "SelectStmt" | "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => evaluator.query(node, None),
        "PrepareStmt" | "DeclareCursorStmt" => inner(evaluator, node, &[]),
        "ViewStmt" => {
            let outputs = inner(evaluator, node, &node.names("aliases"));
            // The catalog says what a view shows, but does not know temporary ones.
            if let Some(view) = node.node("view").filter(|view| view.str("relpersistence") == "t") {
                evaluator.writes.add_all(view, &outputs);
            }
            outputs
        }
        "CreateTableAsStmt" => {
            let into = node.node("into");
            let outputs = inner(evaluator, node, &into.map(|into| into.names("col_names")).unwrap_or_default());
            if let Some(table) = into.and_then(|into| into.node("rel")) {
                evaluator.writes.add_all(table, &outputs);
            }
            outputs
        }
        // It returns a plan, and does what it explains.
        "ExplainStmt" => {
            inner(evaluator, node, &[]);
            Vec::new()
        }
        "AlterTableStmt" => {
            altered(evaluator, node);
            Vec::new()
        }
        "RuleStmt" => {
            rule(evaluator, node);
            Vec::new()
        }
        "CreateFunctionStmt" => {
            queries_in(evaluator, node.get("sql_body"), None);
            Vec::new()
        }
        "CopyStmt" if node.node("query").is_some() => inner(evaluator, node, &[]),
        "CopyStmt" if !node.bool("is_from") => copied(evaluator, node),
        _ => Vec::new(),
    }
}

/// `ALTER COLUMN ... TYPE ... USING` rewrites a column from others of its row.
fn altered(evaluator: &mut Evaluator<'_>, node: &Node) {
    let Some(relation) = node.node("relation") else { return };
    let source = Source::of_relation(evaluator.catalog, relation.str("schemaname"), relation.str("relname"));
    let scope = Scope {
        sources: vec![Rc::new(source)],
        outer: None,
    };
    for command in node.list("cmds").iter().filter_map(Value::node) {
        let Some(definition) = command.node("def").filter(|def| def.kind == "ColumnDef") else {
            continue;
        };
        let value = evaluator.expr(definition.get("raw_default"), &scope);
        evaluator.writes.add(relation, command.str("name"), value);
    }
}

/// What a rule does on every statement to come, with the row of that statement as `new` and `old`.
fn rule(evaluator: &mut Evaluator<'_>, node: &Node) {
    let Some(relation) = node.node("relation") else { return };
    let row = Source::of_relation(evaluator.catalog, relation.str("schemaname"), relation.str("relname"));
    let named = |alias: &str| {
        Rc::new(Source {
            alias: alias.into(),
            ..row.clone()
        })
    };
    let scope = Scope {
        sources: vec![named("new"), named("old")],
        outer: None,
    };
    queries_in(evaluator, node.get("actions"), Some(&scope));
}

/// Evaluates the statements in a body of code.
fn queries_in(evaluator: &mut Evaluator<'_>, value: &Value, outer: Option<&Scope<'_>>) {
    match value {
        Value::Node(node) if matches!(node.kind, "SelectStmt" | "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt") => {
            evaluator.query(node, outer);
        }
        Value::Node(node) => node.fields.iter().for_each(|(_, value)| queries_in(evaluator, value, outer)),
        Value::List(items) => items.iter().for_each(|item| queries_in(evaluator, item, outer)),
        _ => {}
    }
}

fn inner(evaluator: &mut Evaluator<'_>, node: &Node, names: &[&str]) -> Vec<Output> {
    let mut outputs = match node.node("query") {
        // What a name stands for is not in the text.
        Some(query) if query.kind == "ExecuteStmt" => {
            evaluator.writes.from_prepared = true;
            vec![Output::star(UNKNOWN)]
        }
        Some(query) => outputs(evaluator, query),
        None => Vec::new(),
    };
    // Names given to the outputs hold as far as their positions are known.
    for (output, name) in outputs.iter_mut().take_while(|output| !output.star).zip(names) {
        (*name).clone_into(&mut output.name);
    }
    outputs
}

/// `COPY table (columns) TO`.
fn copied(evaluator: &mut Evaluator<'_>, node: &Node) -> Vec<Output> {
    let Some(relation) = node.node("relation") else { return Vec::new() };
    let source = Source::of_relation(evaluator.catalog, relation.str("schemaname"), relation.str("relname"));
    let output = |name: &str| match source.column(name) {
        Some(column) => Output {
            name: name.into(),
            taint: column.taint,
            direct: true,
            star: false,
        },
        None => Output {
            name: name.into(),
            taint: source.rest,
            direct: source.rest == CLEAN,
            star: false,
        },
    };
    let names = node.list("attlist").iter().filter_map(Value::name);
    if node.list("attlist").is_empty() {
        if source.exact {
            return source.columns.iter().map(|column| output(&column.name)).collect();
        }
        return vec![Output::star(source.whole())];
    }
    names.map(output).collect()
}

//! Where the outputs of statements come from: which derive from protected columns, by names alone.
//!
//! It is a taint analysis that may say too much and never too little. Names without a schema match any schema, so it holds
//! under every `search_path`; whatever cannot be told is `unknown`.

mod catalog;
mod expr;
mod from;
mod modification;
mod names;
mod query;
mod scope;

use serde::Serialize;

use crate::analysis::{self, Found, Mode};
use crate::parse::{self, ParseError, Statement};
use crate::tree::{Node, Value};
pub use catalog::Catalog;
use catalog::{CLEAN, Lookup};
use query::{Evaluator, Output};
use scope::Source;

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
    /// It names no protected or unknown relation and calls no unknown function.
    pub clean: bool,
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

/// Which outputs of the statements of a text derive from columns that `catalog` protects.
#[must_use]
pub fn lineage(catalog: &Catalog, sql: &[u8]) -> Lineage {
    let work = || -> Result<Vec<StatementLineage>, ParseError> {
        Ok(parse::parse(sql)?
            .iter()
            .map(|statement| of_statement(catalog, statement))
            .collect())
    };
    match parse::with_stack(sql.len(), work).and_then(|result| result) {
        Ok(statements) => Lineage { statements, error: None },
        Err(error) => Lineage {
            statements: Vec::new(),
            error: Some(error.message),
        },
    }
}

fn of_statement(catalog: &Catalog, statement: &Statement) -> StatementLineage {
    let found = analysis::find(&statement.node);
    let touches = touches(catalog, &found);
    // What these run is not in the text.
    let opaque = matches!(statement.node.kind, "DoStmt" | "CallStmt" | "ExecuteStmt" | "FetchStmt");
    let mut evaluator = Evaluator::new(catalog, touches);
    let outputs = outputs(&mut evaluator, &statement.node)
        .into_iter()
        .map(|output| OutputLineage {
            protect: catalog.class_name(output.taint).map(str::to_owned),
            name: output.name,
            direct: output.direct,
            star: output.star,
        })
        .collect();
    StatementLineage {
        outputs,
        clean: !touches && !opaque,
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
        "ViewStmt" => inner(evaluator, node, &node.names("aliases")),
        "CreateTableAsStmt" => inner(
            evaluator,
            node,
            &node.node("into").map(|into| into.names("col_names")).unwrap_or_default(),
        ),
        "CopyStmt" if node.node("query").is_some() => inner(evaluator, node, &[]),
        "CopyStmt" if !node.bool("is_from") => copied(evaluator, node),
        _ => Vec::new(),
    }
}

fn inner(evaluator: &mut Evaluator<'_>, node: &Node, names: &[&str]) -> Vec<Output> {
    let mut outputs = node.node("query").map(|query| outputs(evaluator, query)).unwrap_or_default();
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

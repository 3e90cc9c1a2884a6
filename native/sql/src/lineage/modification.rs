//! INSERT, UPDATE, DELETE and MERGE: what they write into columns, and RETURNING: the rows they wrote.

use std::rc::Rc;

use super::catalog::{CLEAN, Taint, join};
use super::query::{Evaluator, Item, Output};
use super::scope::{Column, Resolved, Scope, Source};
use crate::tree::{Node, Value};

/// `EXPR_SUBLINK` of `SubLinkType`.
const EXPR_SUBLINK: i64 = 5;

/// What a statement writes to: the relation as it is named, and the row with what has been written into it so far.
struct Target<'n> {
    relation: &'n Node<'n>,
    row: Source,
}

impl Evaluator<'_> {
    /// The outputs of a data-modifying statement. What it writes goes to `writes`.
    pub fn modification(&mut self, node: &Node, outer: Option<&Scope<'_>>) -> Vec<Output> {
        let returning = node.node("returning_clause");
        let Some(relation) = node.node("relation") else { return Vec::new() };
        // Where nothing protected is near, nothing protected is written.
        if returning.is_none() && !self.touches {
            return Vec::new();
        }
        // The target is never a WITH query, whatever its name.
        let mut target = Target {
            relation,
            row: Source::of_relation(self.catalog, relation.str("schemaname"), relation.str("relname")),
        };
        if let Some(alias) = relation.node("alias") {
            target.row.rename(alias.str("aliasname"), &[]);
        }
        let mut scope = Scope {
            sources: Vec::new(),
            outer,
        };
        let mut items = match node.kind {
            "UpdateStmt" => self.items_of(node.list("from_clause"), &mut scope),
            "DeleteStmt" => self.items_of(node.list("using_clause"), &mut scope),
            "MergeStmt" => match node.get("source_relation") {
                Value::None => Vec::new(),
                source => self.items_of(std::slice::from_ref(source), &mut scope),
            },
            _ => Vec::new(),
        };
        scope.sources.push(Rc::new(target.row.clone()));
        match node.kind {
            "UpdateStmt" | "DeleteStmt" => self.condition(node.get("where_clause"), &scope),
            "MergeStmt" => self.condition(node.get("join_condition"), &scope),
            _ => {}
        }
        self.written(node, &scope, &mut target);
        scope.sources.pop();
        let Some(returning) = returning else { return Vec::new() };
        let target = target.row;
        scope.sources.push(Rc::new(target.clone()));
        let mut row_names = vec!["old", "new"];
        row_names.extend(
            returning
                .list("options")
                .iter()
                .filter_map(Value::node)
                .map(|option| option.str("value")),
        );
        for name in row_names {
            scope.sources.push(Rc::new(Source {
                alias: name.into(),
                ..target.clone()
            }));
        }
        // `*` is the target first and then FROM or USING; in MERGE the source comes first.
        let at = if node.kind == "MergeStmt" { items.len() } else { 0 };
        items.insert(at, Item::of(target));
        self.targets(returning.list("exprs"), &scope, &items)
    }

    /// Adds to the target's columns what the statement writes into them.
    fn written(&mut self, node: &Node, scope: &Scope<'_>, target: &mut Target<'_>) {
        match node.kind {
            "InsertStmt" => {
                if let Some(query) = node.node("select_stmt") {
                    let outputs = self.query(query, scope.outer);
                    self.write_row(target, &column_names(node.list("cols")), &outputs);
                }
                self.subscripts(node.list("cols"), scope, target);
                if let Some(conflict) = node.node("on_conflict_clause") {
                    // `excluded` is the row that was to be inserted.
                    let excluded = Rc::new(Source {
                        alias: "excluded".into(),
                        ..target.row.clone()
                    });
                    let sources = scope.sources.iter().cloned().chain([excluded]).collect();
                    let scope = Scope {
                        sources,
                        outer: scope.outer,
                    };
                    self.condition(conflict.get("where_clause"), &scope);
                    self.assign(conflict.list("target_list"), &scope, target);
                }
            }
            "UpdateStmt" => self.assign(node.list("target_list"), scope, target),
            "MergeStmt" => {
                for clause in node.list("merge_when_clauses").iter().filter_map(Value::node) {
                    let values = clause.list("values");
                    self.condition(clause.get("condition"), scope);
                    if values.is_empty() {
                        self.assign(clause.list("target_list"), scope, target);
                        continue;
                    }
                    let outputs: Vec<Output> = values
                        .iter()
                        .map(|value| Output::unnamed(self.expr(value, scope), value.node().is_some_and(super::query::is_star)))
                        .collect();
                    self.write_row(target, &column_names(clause.list("target_list")), &outputs);
                    self.subscripts(clause.list("target_list"), scope, target);
                }
            }
            _ => {}
        }
    }

    /// Writes a row of values into the columns that are listed, or into all of them in order.
    fn write_row(&mut self, target: &mut Target<'_>, listed: &[&str], values: &[Output]) {
        let names: Vec<String> = if !listed.is_empty() {
            listed.iter().map(|name| (*name).to_owned()).collect()
        } else if target.row.exact {
            target.row.columns.iter().map(|column| column.name.clone()).collect()
        } else {
            Vec::new()
        };
        // Positions are known up to the first value that stands for several.
        let certain = values.iter().position(|value| value.star).unwrap_or(values.len());
        if names.len() < certain || (names.is_empty() && certain < values.len()) {
            self.write_any(target, taint_of(values));
            return;
        }
        for (name, value) in names.iter().zip(values.iter().take(certain)) {
            let resolved = Resolved {
                taint: value.taint,
                direct: value.direct,
            };
            self.write(target, name, resolved);
        }
        let rest = taint_of(values.get(certain..).unwrap_or_default());
        for name in names.iter().skip(certain) {
            self.write(target, name, Resolved::derived(rest));
        }
    }

    fn assign(&mut self, targets: &[Value], scope: &Scope<'_>, target: &mut Target<'_>) {
        for assignment in targets.iter().filter_map(Value::node) {
            let value = self.assigned(assignment.get("val"), scope);
            self.write(target, assignment.str("name"), value);
        }
        self.subscripts(targets, scope, target);
    }

    /// `column[subscript]`: the subscripts are stored as well, as keys or as bounds.
    fn subscripts(&mut self, columns: &[Value], scope: &Scope<'_>, target: &mut Target<'_>) {
        for column in columns.iter().filter_map(Value::node) {
            let taint = self.taint(column.get("indirection"), scope);
            self.write(target, column.str("name"), Resolved::derived(taint));
        }
    }

    /// What is assigned to a column; of `(a, b) = (select x, y)`, the part that is its own.
    fn assigned(&mut self, value: &Value, scope: &Scope<'_>) -> Resolved {
        let Some(several) = value.of_kind("MultiAssignRef") else {
            return self.expr(value, scope);
        };
        let Some(at) = usize::try_from(several.int("colno")).ok().and_then(|number| number.checked_sub(1)) else {
            return self.expr(value, scope);
        };
        let source = several.get("source");
        if let Some(row) = source.of_kind("RowExpr")
            && let Some(part) = row.list("args").get(at)
            && !row.list("args").iter().filter_map(Value::node).any(super::query::is_star)
        {
            return self.expr(part, scope);
        }
        if let Some(link) = source.of_kind("SubLink")
            && link.int("sub_link_type") == EXPR_SUBLINK
            && let Some(query) = link.node("subselect")
        {
            let outputs = self.subquery(query, scope);
            let certain = outputs.iter().take(at + 1).all(|output| !output.star);
            return match outputs.get(at) {
                Some(output) if certain => Resolved {
                    taint: output.taint,
                    direct: output.direct,
                },
                _ => Resolved::derived(taint_of(&outputs)),
            };
        }
        self.expr(value, scope)
    }

    fn write(&mut self, target: &mut Target<'_>, name: &str, value: Resolved) {
        if value.taint == CLEAN {
            return;
        }
        self.writes.add(target.relation, name, value);
        let row = &mut target.row;
        if let Some(column) = row.columns.iter_mut().find(|column| column.name == name) {
            mix(column, value);
        } else {
            // Not a column that the catalog has: where it stands among the others is not known.
            row.columns.push(Column {
                name: name.into(),
                taint: value.taint,
                direct: false,
            });
            row.exact = false;
        }
    }

    /// Any column may have been written.
    fn write_any(&mut self, target: &mut Target<'_>, taint: Taint) {
        if taint == CLEAN {
            return;
        }
        self.writes.add(target.relation, "", Resolved::derived(taint));
        for column in &mut target.row.columns {
            mix(column, Resolved::derived(taint));
        }
        if !target.row.exact {
            target.row.rest = join(target.row.rest, taint);
        }
    }
}

fn column_names<'t>(targets: &[Value<'t>]) -> Vec<&'t str> {
    targets.iter().filter_map(Value::node).map(|column| column.str("name")).collect()
}

fn taint_of(outputs: &[Output]) -> Taint {
    outputs.iter().fold(CLEAN, |taint, output| join(taint, output.taint))
}

fn mix(column: &mut Column, value: Resolved) {
    column.direct &= value.direct && column.taint == value.taint;
    column.taint = join(column.taint, value.taint);
}

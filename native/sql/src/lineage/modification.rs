//! RETURNING: the rows that INSERT, UPDATE, DELETE and MERGE wrote, with what was written into them.

use std::rc::Rc;

use super::catalog::{CLEAN, Taint, join};
use super::query::{Evaluator, Item, Output};
use super::scope::{Column, Resolved, Scope, Source};
use crate::tree::{Node, Value};

impl Evaluator<'_> {
    /// The outputs of a data-modifying statement.
    pub fn modification(&mut self, node: &Node, outer: Option<&Scope<'_>>) -> Vec<Output> {
        let (Some(returning), Some(relation)) = (node.node("returning_clause"), node.node("relation")) else {
            return Vec::new();
        };
        // The target is never a WITH query, whatever its name.
        let mut target = Source::of_relation(self.catalog, relation.str("schemaname"), relation.str("relname"));
        if let Some(alias) = relation.node("alias") {
            target.rename(alias.str("aliasname"), &[]);
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
        scope.sources.push(Rc::new(target.clone()));
        self.written(node, &scope, &mut target);
        scope.sources.pop();
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
    fn written(&mut self, node: &Node, scope: &Scope<'_>, target: &mut Source) {
        if node.kind == "InsertStmt"
            && let Some(query) = node.node("select_stmt")
        {
            let outputs = self.query(query, scope.outer);
            let names: Vec<&str> = node
                .list("cols")
                .iter()
                .filter_map(Value::node)
                .map(|column| column.str("name"))
                .collect();
            if names.len() == outputs.len() && outputs.iter().all(|output| !output.star) {
                for (name, output) in names.into_iter().zip(&outputs) {
                    write(
                        target,
                        name,
                        Resolved {
                            taint: output.taint,
                            direct: output.direct,
                        },
                    );
                }
            } else {
                let all = outputs.iter().fold(CLEAN, |taint, output| join(taint, output.taint));
                write_any(target, all);
            }
        }
        if node.kind == "InsertStmt"
            && let Some(conflict) = node.node("on_conflict_clause")
        {
            // `excluded` is the row that was to be inserted.
            let excluded = Rc::new(Source {
                alias: "excluded".into(),
                ..target.clone()
            });
            let sources = scope.sources.iter().cloned().chain([excluded]).collect();
            let scope = Scope {
                sources,
                outer: scope.outer,
            };
            self.assign(conflict.list("target_list"), &scope, target);
        }
        if node.kind == "UpdateStmt" {
            self.assign(node.list("target_list"), scope, target);
        }
        let clauses = if node.kind == "MergeStmt" {
            node.list("merge_when_clauses")
        } else {
            &[]
        };
        for clause in clauses.iter().filter_map(Value::node) {
            self.assign(clause.list("target_list"), scope, target);
            let values = self.taint(clause.get("values"), scope);
            write_any(target, values);
        }
    }

    fn assign(&mut self, targets: &[Value], scope: &Scope<'_>, target: &mut Source) {
        for assignment in targets.iter().filter_map(Value::node) {
            let value = self.expr(assignment.get("val"), scope);
            write(target, assignment.str("name"), value);
        }
    }
}

fn write(target: &mut Source, name: &str, value: Resolved) {
    if value.taint == CLEAN {
        return;
    }
    if let Some(column) = target.columns.iter_mut().find(|column| column.name == name) {
        mix(column, value);
    } else {
        // Not a column that the catalog has: where it stands among the others is not known.
        target.columns.push(Column {
            name: name.into(),
            taint: value.taint,
            direct: false,
        });
        target.exact = false;
    }
}

/// Any column may have been written.
fn write_any(target: &mut Source, taint: Taint) {
    if taint == CLEAN {
        return;
    }
    for column in &mut target.columns {
        mix(column, Resolved::derived(taint));
    }
    if !target.exact {
        target.rest = join(target.rest, taint);
    }
}

fn mix(column: &mut Column, value: Resolved) {
    column.direct &= value.direct && column.taint == value.taint;
    column.taint = join(column.taint, value.taint);
}

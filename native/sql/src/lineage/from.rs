//! FROM: what its items put in scope.

use std::rc::Rc;

use super::catalog::{CLEAN, UNKNOWN, join};
use super::query::{Evaluator, Item, as_source};
use super::scope::{Column, Scope, Source};
use crate::tree::{Node, Value};

impl Evaluator<'_> {
    /// The items of a FROM list; puts what they name into `scope`, where LATERAL items see those before them.
    pub fn items_of(&mut self, list: &[Value], scope: &mut Scope<'_>) -> Vec<Item> {
        let mut items = Vec::with_capacity(list.len());
        for value in list {
            let item = self.item_of(value.node(), scope);
            scope.sources.extend(item.sources.iter().cloned());
            items.push(item);
        }
        items
    }

    fn item_of(&mut self, node: Option<&Node>, before: &Scope<'_>) -> Item {
        let unknown = || Item::of(Source::new("", Vec::new(), false, UNKNOWN));
        let Some(node) = node else { return unknown() };
        if !self.afford(1) {
            return unknown();
        }
        match node.kind {
            "RangeVar" => {
                let mut source = self.relation(node);
                rename(&mut source, node);
                Item::of(source)
            }
            "RangeSubselect" => {
                // Only LATERAL sees its siblings; a name in any other subquery skips them.
                let visible = if node.bool("lateral") { Some(before) } else { before.outer };
                let Some(query) = node.node("subquery") else { return unknown() };
                let mut source = as_source(&self.query(query, visible));
                rename(&mut source, node);
                Item::of(source)
            }
            "RangeTableSample" => {
                self.number_of_rows(node.get("args"), before);
                self.item_of(node.node("relation"), before)
            }
            "RangeFunction" => Item::of(self.function_source(node, before)),
            "RangeTableFunc" | "JsonTable" => {
                self.blind_spots(&Value::Node(node), before);
                let taint = node
                    .fields
                    .iter()
                    .fold(CLEAN, |taint, (_, value)| join(taint, self.taint(value, before)));
                let mut source = Source::new("", Vec::new(), false, taint);
                rename(&mut source, node);
                Item::of(source)
            }
            "JoinExpr" => self.join(node, before),
            _ => unknown(),
        }
    }

    /// A function in FROM. Its columns cannot be told from its arguments, so each has the taint of the whole call.
    fn function_source(&mut self, node: &Node, before: &Scope<'_>) -> Source {
        self.rows_of(node.get("functions"), before);
        let taint = self.taint(node.get("functions"), before);
        // The name of a single function names its source, and its column if it has but one.
        let call = node
            .list("functions")
            .first()
            .and_then(Value::node)
            .and_then(|f| f.list("items").first());
        let name = call.and_then(|call| call.of_kind("FuncCall")).map(|call| call.names("funcname"));
        let name = name
            .and_then(|names| names.last().map(|name| (*name).to_owned()))
            .unwrap_or_default();
        let mut source = Source::new(&name, Vec::new(), false, taint);
        rename(&mut source, node);
        source
    }

    fn join(&mut self, node: &Node, before: &Scope<'_>) -> Item {
        let left = self.item_of(node.node("larg"), before);
        self.afford(before.sources.len());
        let visible = Scope {
            sources: before.sources.iter().chain(&left.sources).cloned().collect(),
            outer: before.outer,
        };
        let right = self.item_of(node.node("rarg"), &visible);
        let using = node.names("using_clause");
        self.merged(&left, &right, &using, node.bool("is_natural"));
        let both = Scope {
            sources: visible.sources.iter().chain(&right.sources).cloned().collect(),
            outer: before.outer,
        };
        self.condition(node.get("quals"), &both);
        let columns = joined_columns(&left, &right, &using, node.bool("is_natural"));
        let whole = join(left.whole(), right.whole());
        if let Some(alias) = node.node("alias") {
            let mut source = match columns {
                Some(columns) => Source::new("", columns, true, CLEAN),
                None => Source::new("", Vec::new(), false, whole),
            };
            source.rename(alias.str("aliasname"), &alias.names("colnames"));
            return Item::of(source);
        }
        let mut sources: Vec<Rc<Source>> = left.sources.iter().chain(&right.sources).cloned().collect();
        if let Some(alias) = node.node("join_using_alias") {
            // `USING (pan) AS j`: `j.pan` is the merged column, and `j` the row of them.
            let merged = using
                .iter()
                .map(|name| Column {
                    name: (*name).into(),
                    taint: whole,
                    direct: false,
                })
                .collect();
            sources.push(Rc::new(Source::new(alias.str("aliasname"), merged, true, CLEAN)));
        }
        Item { sources, columns }
    }
}

fn rename(source: &mut Source, node: &Node) {
    if let Some(alias) = node.node("alias") {
        source.rename(alias.str("aliasname"), &alias.names("colnames"));
    }
}

/// The columns of a join in order, where both sides are known: merged ones first, then the rest of each side.
fn joined_columns(left: &Item, right: &Item, using: &[&str], natural: bool) -> Option<Vec<Column>> {
    let (left, right) = (left.columns.as_ref()?, right.columns.as_ref()?);
    let find = |columns: &[Column], name: &str| columns.iter().find(|column| column.name == name).cloned();
    let merged: Vec<String> = if natural {
        left.iter()
            .filter(|column| find(right, &column.name).is_some())
            .map(|column| column.name.clone())
            .collect()
    } else {
        using.iter().map(|name| (*name).to_owned()).collect()
    };
    let mut columns = Vec::with_capacity(left.len() + right.len());
    for name in &merged {
        let (a, b) = (find(left, name)?, find(right, name)?);
        let direct = a.direct && b.direct && (a.taint == b.taint || a.taint == CLEAN || b.taint == CLEAN);
        columns.push(Column {
            name: name.clone(),
            taint: join(a.taint, b.taint),
            direct,
        });
    }
    columns.extend(left.iter().chain(right).filter(|column| !merged.contains(&column.name)).cloned());
    Some(columns)
}

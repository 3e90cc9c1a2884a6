//! What the outputs of a query derive from.

use std::collections::HashMap;
use std::rc::Rc;

use super::catalog::{CLEAN, Catalog, Taint, UNKNOWN, join};
use super::names::output_name;
use super::scope::{Column, Resolved, Scope, Source};
use super::writes::Writes;
use crate::tree::{Node, Value};

/// One item of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub name: String,
    pub taint: Taint,
    pub direct: bool,
    /// Stands for a number of columns that is not known.
    pub star: bool,
}

impl Output {
    pub fn star(taint: Taint) -> Self {
        Output {
            name: "*".into(),
            taint,
            direct: taint == CLEAN,
            star: true,
        }
    }

    /// A value of a row that has no names.
    pub fn unnamed(value: Resolved, star: bool) -> Self {
        Output {
            name: String::new(),
            taint: value.taint,
            direct: value.direct,
            star,
        }
    }

    fn of(column: &Column) -> Self {
        Output {
            name: column.name.clone(),
            taint: column.taint,
            direct: column.direct,
            star: false,
        }
    }
}

/// `SetOperation::SetopNone`; everything above is UNION, INTERSECT, EXCEPT.
const SETOP_NONE: i64 = 1;
const SETOP_UNION: i64 = 2;
/// Work that one statement may take, in nodes and names looked at. Nested recursive WITHs could take for ever.
const BUDGET: usize = 4_000_000;
/// Rounds after which a recursive WITH is given up on. Classes only ever rise, so few are needed.
const ROUNDS: usize = 24;

/// Evaluates queries against a catalog.
pub struct Evaluator<'c> {
    pub catalog: &'c Catalog,
    /// The statement names a protected or unknown relation, or calls an unknown function.
    pub touches: bool,
    /// What has been found to be written into columns.
    pub writes: Writes,
    /// A condition would tell a protected value without showing it (see `compare`).
    pub compares: bool,
    /// The first OR of conditions on protected columns and on others.
    pub alternatives_that_mix: Option<*const ()>,
    ctes: Vec<(String, Source)>,
    /// Outputs of the subqueries in expressions of the query that is being evaluated, by their node. An expression may be looked at
    /// for what it derives from and for what it compares; to evaluate its subqueries each time would double with every level.
    subqueries: HashMap<*const (), Rc<[Output]>>,
    budget: usize,
}

impl<'c> Evaluator<'c> {
    pub fn new(catalog: &'c Catalog, touches: bool) -> Self {
        Evaluator {
            catalog,
            touches,
            writes: Writes::default(),
            compares: false,
            alternatives_that_mix: None,
            ctes: Vec::new(),
            subqueries: HashMap::new(),
            budget: BUDGET,
        }
    }

    /// Takes work off the budget. False when it is used up: whatever is then asked is unknown.
    pub fn afford(&mut self, work: usize) -> bool {
        self.budget = self.budget.saturating_sub(work);
        self.budget > 0
    }

    /// The outputs of a query, or of what a data-modifying statement returns.
    pub fn query(&mut self, node: &Node, outer: Option<&Scope<'_>>) -> Vec<Output> {
        if !self.afford(1) {
            return vec![Output::star(UNKNOWN)];
        }
        let depth = self.ctes.len();
        // Within one query an expression has one scope; when the query is evaluated again, it may be another.
        let around = std::mem::take(&mut self.subqueries);
        self.with(node, outer);
        let outputs = match node.kind {
            "SelectStmt" => self.select(node, outer),
            "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => self.modification(node, outer),
            _ => vec![Output::star(UNKNOWN)],
        };
        self.ctes.truncate(depth);
        self.subqueries = around;
        if node.kind == "SelectStmt"
            && let Some(table) = select_into(node)
        {
            self.writes.add_all(table, &outputs);
        }
        outputs
    }

    /// The outputs of a subquery in an expression.
    pub fn subquery(&mut self, query: &Node, scope: &Scope<'_>) -> Rc<[Output]> {
        let key = std::ptr::from_ref(query).cast::<()>();
        if let Some(known) = self.subqueries.get(&key) {
            return Rc::clone(known);
        }
        let outputs: Rc<[Output]> = self.query(query, Some(scope)).into();
        self.subqueries.insert(key, Rc::clone(&outputs));
        outputs
    }

    fn select(&mut self, node: &Node, outer: Option<&Scope<'_>>) -> Vec<Output> {
        if node.int("op") > SETOP_NONE {
            let (Some(left), Some(right)) = (node.node("larg"), node.node("rarg")) else {
                return vec![Output::star(UNKNOWN)];
            };
            let left = self.query(left, outer);
            let right = self.query(right, outer);
            if node.int("op") > SETOP_UNION {
                self.common_rows(&left, &right);
            }
            let scope = Scope {
                sources: Vec::new(),
                outer,
            };
            self.number_of_rows(node.get("limit_count"), &scope);
            self.number_of_rows(node.get("limit_offset"), &scope);
            return set_operation(left, &right);
        }
        if !node.list("values_lists").is_empty() {
            return self.values(node.list("values_lists"), outer);
        }
        let mut scope = Scope {
            sources: Vec::new(),
            outer,
        };
        let items = self.items_of(node.list("from_clause"), &mut scope);
        self.condition(node.get("where_clause"), &scope);
        self.condition(node.get("group_clause"), &scope);
        self.condition(node.get("having_clause"), &scope);
        self.condition(node.get("distinct_clause"), &scope);
        self.condition(node.get("sort_clause"), &scope);
        self.blind_spots(node.get("window_clause"), &scope);
        self.number_of_rows(node.get("limit_count"), &scope);
        self.number_of_rows(node.get("limit_offset"), &scope);
        self.targets(node.list("target_list"), &scope, &items)
    }

    fn values(&mut self, rows: &[Value], outer: Option<&Scope<'_>>) -> Vec<Output> {
        let scope = Scope {
            sources: Vec::new(),
            outer,
        };
        let mut outputs: Vec<Output> = Vec::new();
        for row in rows.iter().filter_map(Value::node) {
            for (at, value) in row.list("items").iter().enumerate() {
                let is_star = value.node().is_some_and(is_star);
                let resolved = self.expr(value, &scope);
                if is_star {
                    return vec![Output::star(join(resolved.taint, self.taint(&Value::List(rows), &scope)))];
                }
                match outputs.get_mut(at) {
                    Some(output) => {
                        output.direct &= resolved.direct;
                        output.taint = join(output.taint, resolved.taint);
                    }
                    None => outputs.push(Output {
                        name: format!("column{}", at + 1),
                        taint: resolved.taint,
                        direct: resolved.direct,
                        star: false,
                    }),
                }
            }
        }
        outputs
    }

    /// The items of a target list or of RETURNING.
    pub fn targets(&mut self, targets: &[Value], scope: &Scope<'_>, items: &[Item]) -> Vec<Output> {
        for target in targets {
            self.blind_spots(target, scope);
        }
        let mut outputs = Vec::with_capacity(targets.len());
        for target in targets {
            let Some(target) = target.node() else { continue };
            let value = target.get("val");
            match value.node() {
                Some(column) if column.kind == "ColumnRef" && is_star(column) => {
                    expand_star(&column.names("fields"), scope, items, &mut outputs);
                }
                Some(node) if is_star(node) => outputs.push(Output::star(self.taint(value, scope))),
                _ => {
                    let resolved = self.expr(value, scope);
                    outputs.push(Output {
                        name: output_name(target),
                        taint: resolved.taint,
                        direct: resolved.direct,
                        star: false,
                    });
                }
            }
        }
        outputs
    }

    /// WITH: computes each query and puts its result under its name.
    fn with(&mut self, node: &Node, outer: Option<&Scope<'_>>) {
        let Some(with) = node.node("with_clause") else { return };
        let ctes: Vec<&Node> = with.list("ctes").iter().filter_map(Value::node).collect();
        if !with.bool("recursive") {
            for cte in ctes {
                let source = self.cte(cte, outer);
                self.ctes.push((source.alias.clone(), source));
            }
            return;
        }
        // Every name is visible to every query: start from nothing and go round until nothing changes.
        let first = self.ctes.len();
        self.ctes.extend(ctes.iter().map(|cte| {
            let name = cte.str("ctename");
            (name.to_owned(), Source::new(name, Vec::new(), false, CLEAN))
        }));
        for _ in 0..ROUNDS {
            let mut changed = false;
            for (at, cte) in ctes.iter().enumerate() {
                let source = self.cte(cte, outer);
                if let Some((_, known)) = self.ctes.get_mut(first + at)
                    && *known != source
                {
                    *known = source;
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
        for (name, source) in self.ctes.iter_mut().skip(first) {
            *source = Source::new(name, Vec::new(), false, UNKNOWN);
        }
    }

    fn cte(&mut self, cte: &Node, outer: Option<&Scope<'_>>) -> Source {
        let outputs = match cte.node("ctequery") {
            Some(query) => self.query(query, outer),
            None => vec![Output::star(UNKNOWN)],
        };
        let mut source = as_source(&outputs);
        source.rename(cte.str("ctename"), &cte.names("aliascolnames"));
        let whole = source.whole();
        if let Some(search) = cte.node("search_clause") {
            source.columns.push(Column {
                name: search.str("search_seq_column").into(),
                taint: whole,
                direct: false,
            });
        }
        if let Some(cycle) = cte.node("cycle_clause") {
            source.columns.push(Column {
                name: cycle.str("cycle_mark_column").into(),
                taint: CLEAN,
                direct: true,
            });
            source.columns.push(Column {
                name: cycle.str("cycle_path_column").into(),
                taint: whole,
                direct: false,
            });
        }
        source
    }

    /// What a relation's name stands for in FROM: a WITH query, or stored relations.
    pub fn relation(&mut self, relation: &Node) -> Source {
        let (schema, name) = (relation.str("schemaname"), relation.str("relname"));
        self.afford(self.ctes.len());
        let cte = self.ctes.iter().rfind(|(cte, _)| schema.is_empty() && cte == name);
        match cte {
            Some((_, source)) => source.clone(),
            None => Source::of_relation(self.catalog, schema, name),
        }
    }
}

/// One item of FROM: what it puts in scope, and what `*` makes of it.
#[derive(Debug)]
pub struct Item {
    pub sources: Vec<Rc<Source>>,
    /// Its columns in order, where all are known.
    pub columns: Option<Vec<Column>>,
}

impl Item {
    pub fn of(source: Source) -> Self {
        let columns = source.exact.then(|| source.columns.clone());
        Item {
            sources: vec![Rc::new(source)],
            columns,
        }
    }

    pub fn whole(&self) -> Taint {
        self.sources.iter().fold(CLEAN, |taint, source| join(taint, source.whole()))
    }

    fn expand(&self, outputs: &mut Vec<Output>) {
        match &self.columns {
            Some(columns) => outputs.extend(columns.iter().map(Output::of)),
            None => outputs.push(Output::star(self.whole())),
        }
    }
}

/// `*` or `t.*` in a target list.
fn expand_star(names: &[&str], scope: &Scope<'_>, items: &[Item], outputs: &mut Vec<Output>) {
    let Some((alias, qualifier)) = names.split_last() else {
        for item in items {
            item.expand(outputs);
        }
        return;
    };
    let found = scope.named(alias, !qualifier.is_empty());
    match found.as_slice() {
        [] => outputs.push(Output::star(scope.everything())),
        [source] if source.exact => outputs.extend(source.columns.iter().map(Output::of)),
        several => {
            outputs.push(Output::star(
                several.iter().fold(CLEAN, |taint, source| join(taint, source.whole())),
            ));
        }
    }
}

/// The result of a query as something to select from.
pub fn as_source(outputs: &[Output]) -> Source {
    let columns = outputs.iter().filter(|output| !output.star).map(|output| Column {
        name: output.name.clone(),
        taint: output.taint,
        direct: output.direct,
    });
    let rest = outputs
        .iter()
        .filter(|output| output.star)
        .fold(CLEAN, |taint, output| join(taint, output.taint));
    Source::new("", columns.collect(), outputs.iter().all(|output| !output.star), rest)
}

/// The table that SELECT INTO makes: of several joined by UNION, the first names it for all.
fn select_into<'t>(mut node: &Node<'t>) -> Option<&'t Node<'t>> {
    while node.int("op") > SETOP_NONE {
        node = node.node("larg")?;
    }
    node.node("into_clause").and_then(|into| into.node("rel"))
}

/// Rows of both sides: by position where the positions are known, else anything may be anywhere.
fn set_operation(mut left: Vec<Output>, right: &[Output]) -> Vec<Output> {
    let known = left.len() == right.len() && left.iter().chain(right).all(|output| !output.star);
    if known {
        for (left, right) in left.iter_mut().zip(right) {
            left.direct = match (left.taint, right.taint) {
                (_, CLEAN) => left.direct,
                (CLEAN, _) => right.direct,
                _ => left.direct && right.direct && left.taint == right.taint,
            };
            left.taint = join(left.taint, right.taint);
        }
        return left;
    }
    let all = left.iter().chain(right).fold(CLEAN, |taint, output| join(taint, output.taint));
    for output in &mut left {
        output.taint = all;
        output.direct = all == CLEAN && output.direct;
    }
    left
}

/// `*`, `t.*`, `(row).*`.
pub fn is_star(node: &Node) -> bool {
    let parts = match node.kind {
        "ColumnRef" => node.list("fields"),
        "AIndirection" => node.list("indirection"),
        _ => &[],
    };
    parts.last().is_some_and(|last| last.of_kind("AStar").is_some())
}

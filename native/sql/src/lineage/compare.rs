//! Conditions that would tell a protected value without showing it.
//!
//! `from cards c join generate_series(0, 999) k on k = c.cvv::int` gives the value of every `cvv` as a `k` that derives from nothing;
//! `limit (select cvv::int ...)` gives one as a number of rows. No mask can follow that, so such statements are found here. What
//! compares a protected column with constants, parameters or other protected columns is none of them.

use super::catalog::{CLEAN, Taint, UNKNOWN, join};
use super::expr::tells_nothing;
use super::query::{Evaluator, Item, Output};
use super::scope::{Scope, Source};
use crate::tree::{Node, Value};

/// `BoolExprType`.
const AND_EXPR: i64 = 1;
const OR_EXPR: i64 = 2;
/// `SubLinkType`.
const EXISTS_SUBLINK: i64 = 1;

/// Functions of PostgreSQL that make rows also outside of FROM.
const ROWS: &[&str] = &[
    "generate_series",
    "generate_subscripts",
    "json_array_elements",
    "json_array_elements_text",
    "json_each",
    "json_each_text",
    "json_object_keys",
    "json_populate_recordset",
    "json_to_recordset",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_object_keys",
    "jsonb_path_query",
    "jsonb_path_query_tz",
    "jsonb_populate_recordset",
    "jsonb_to_recordset",
    "regexp_matches",
    "regexp_split_to_table",
    "string_to_table",
    "ts_stat",
    "unnest",
];

/// Functions that make as much as a number says.
const SIZES: &[&str] = &[
    "array_fill",
    "format",
    "generate_series",
    "generate_subscripts",
    "left",
    "lpad",
    "overlay",
    "repeat",
    "right",
    "rpad",
    "substr",
    "substring",
    "trim_array",
];

/// The columns that a condition names, by where they come from.
#[derive(Default)]
struct Mentioned {
    protected: bool,
    /// Stored relations whose protected columns it names.
    protected_in: Vec<*const Source>,
    /// Of each column that is not protected, what it may be a column of.
    free: Vec<Vec<*const Source>>,
}

impl Mentioned {
    /// A row of a stored relation has the values it has: comparing its columns with each other tells little. All else can be made up
    /// of every value that there could be.
    fn tells(&self) -> bool {
        self.protected
            && self
                .free
                .iter()
                .any(|owners| owners.iter().any(|owner| !self.protected_in.contains(owner)))
    }
}

impl Evaluator<'_> {
    /// A condition, or what rows are sorted or grouped by.
    pub fn condition(&mut self, value: &Value, scope: &Scope<'_>) {
        if !self.touches || self.compares {
            return;
        }
        match value {
            Value::List(items) => items.iter().for_each(|item| self.condition(item, scope)),
            Value::Node(node) if node.kind == "BoolExpr" && node.int("boolop") == AND_EXPR => self.condition(node.get("args"), scope),
            Value::Node(node) if node.kind == "BoolExpr" && node.int("boolop") == OR_EXPR => self.alternatives(node, scope),
            _ => self.compares |= self.mentioned(value, scope).tells(),
        }
    }

    /// `pan = $1 or email = $2` compares each with constants alone. Several of these could say what belongs to what:
    /// `(cvv <> '000' or k = 0) and (cvv <> '001' or k = 1) and ...`, as could `cvv = '000' and k = 0 or cvv = '001' and k = 1 or ...`.
    fn alternatives(&mut self, or: &Node, scope: &Scope<'_>) {
        for alternative in or.list("args") {
            self.compares |= self.mentioned(alternative, scope).tells();
        }
        if self.mentioned(or.get("args"), scope).tells() {
            // A subquery may be gone through more than once.
            let this = std::ptr::from_ref(or).cast::<()>();
            self.compares |= *self.alternatives_that_mix.get_or_insert(this) != this;
        }
    }

    /// What decides on how many rows there are.
    pub fn number_of_rows(&mut self, value: &Value, scope: &Scope<'_>) {
        if self.touches && !self.compares {
            self.compares = self.mentioned(value, scope).protected;
        }
    }

    /// Functions that make rows: what they return is masked, how many rows it is cannot be.
    pub fn rows_of(&mut self, functions: &Value, scope: &Scope<'_>) {
        if !self.touches || self.compares {
            return;
        }
        match functions {
            Value::List(items) => items.iter().for_each(|item| self.rows_of(item, scope)),
            Value::Node(call) if call.kind == "FuncCall" && makes_sizes(functions) => self.number_of_rows(call.get("args"), scope),
            Value::Node(call) if call.kind == "FuncCall" => {}
            Value::Node(node) => node.fields.iter().for_each(|(_, value)| self.rows_of(value, scope)),
            _ => {}
        }
    }

    /// The parts of a target list whose results count as telling nothing of what they look at.
    pub fn blind_spots(&mut self, value: &Value, scope: &Scope<'_>) {
        if !self.touches || self.compares {
            return;
        }
        match value {
            Value::List(items) => items.iter().for_each(|item| self.blind_spots(item, scope)),
            Value::Node(node) => {
                match node.kind {
                    "NullTest" => self.condition(node.get("arg"), scope),
                    "SubLink" => {
                        if let Some(query) = node.node("subselect") {
                            self.subquery(query, scope);
                        }
                        return self.blind_spots(node.get("testexpr"), scope);
                    }
                    "FuncCall" => {
                        let names = node.names("funcname");
                        let name = names.last().copied().unwrap_or_default();
                        if tells_nothing(node, name) {
                            self.condition(node.get("args"), scope);
                        }
                        self.condition(node.get("agg_filter"), scope);
                        if ROWS.contains(&name) {
                            self.rows_of(value, scope);
                        }
                    }
                    "WindowDef" => self.window(node, scope),
                    _ => {}
                }
                node.fields.iter().for_each(|(_, value)| self.blind_spots(value, scope));
            }
            _ => {}
        }
    }

    /// OVER and WINDOW.
    pub fn window(&mut self, node: &Node, scope: &Scope<'_>) {
        self.condition(node.get("partition_clause"), scope);
        self.condition(node.get("order_clause"), scope);
        self.number_of_rows(node.get("start_offset"), scope);
        self.number_of_rows(node.get("end_offset"), scope);
    }

    /// USING and NATURAL: columns of one name on both sides.
    pub fn merged(&mut self, left: &Item, right: &Item, using: &[&str], natural: bool) {
        if !self.touches || self.compares {
            return;
        }
        let listed = |item: &Item| -> Vec<(String, Taint, bool)> {
            let columns = item
                .sources
                .iter()
                .flat_map(|source| source.columns.iter().map(|c| (c.name.clone(), c.taint, source.stored)));
            columns.collect()
        };
        let of_other = |item: &Item, name: &str| {
            let side = Scope {
                sources: item.sources.clone(),
                outer: None,
            };
            let resolved = side.resolve(self.catalog, &[name]);
            is_protected(resolved.taint, item.sources.iter().all(|source| source.stored))
        };
        for (one, other) in [(left, right), (right, left)] {
            for (name, taint, stored) in listed(one) {
                let shared = using.contains(&name.as_str()) || natural && listed(other).iter().any(|(theirs, ..)| *theirs == name);
                if shared && is_protected(taint, stored) && !of_other(other, &name) {
                    self.compares = true;
                }
            }
        }
    }

    /// INTERSECT and EXCEPT: whether rows are equal.
    pub fn common_rows(&mut self, left: &[Output], right: &[Output]) {
        let differ = |(a, b): (&Output, &Output)| a.taint != b.taint && (is_protected(a.taint, true) || is_protected(b.taint, true));
        let whole = |outputs: &[Output]| outputs.iter().fold(CLEAN, |taint, output| join(taint, output.taint));
        let known = left.len() == right.len() && left.iter().chain(right).all(|output| !output.star);
        self.compares |= if known {
            left.iter().zip(right).any(differ)
        } else {
            is_protected(whole(left), true) || is_protected(whole(right), true)
        };
    }

    fn mentioned(&mut self, value: &Value, scope: &Scope<'_>) -> Mentioned {
        let mut mentioned = Mentioned::default();
        self.mention(value, scope, &mut mentioned);
        mentioned
    }

    fn mention(&mut self, value: &Value, scope: &Scope<'_>, mentioned: &mut Mentioned) {
        if !self.afford(1) {
            self.compares = true;
            return;
        }
        match value {
            Value::List(items) => items.iter().for_each(|item| self.mention(item, scope, mentioned)),
            Value::Node(node) if node.kind == "ColumnRef" => self.mention_column(node, scope, mentioned),
            Value::Node(node) if node.kind == "SubLink" => {
                self.mention(node.get("testexpr"), scope, mentioned);
                let Some(query) = node.node("subselect") else { return };
                let outputs = self.subquery(query, scope);
                let taint = outputs.iter().fold(CLEAN, |taint, output| join(taint, output.taint));
                if node.int("sub_link_type") != EXISTS_SUBLINK {
                    mentioned.protected |= is_protected(taint, false);
                }
            }
            Value::Node(node) => node.fields.iter().for_each(|(_, value)| self.mention(value, scope, mentioned)),
            _ => {}
        }
    }

    fn mention_column(&mut self, node: &Node, scope: &Scope<'_>, mentioned: &mut Mentioned) {
        let taint = self.expr(&Value::Node(node), scope).taint;
        let mut names = node.names("fields");
        let is_row = super::query::is_star(node);
        if is_row {
            // Of `t.*` the names are those of the row.
            names.push("*");
        }
        let owners = scope.owners(&names);
        let all_stored = !owners.is_empty() && owners.iter().all(|owner| owner.stored);
        if is_protected(taint, all_stored) {
            mentioned.protected = true;
            let name = names.last().copied().unwrap_or_default();
            let holds = |owner: &&&std::rc::Rc<Source>| {
                owner.stored && (is_row || owner.alias == name || owner.column(name).is_some_and(|column| column.taint != CLEAN))
            };
            mentioned
                .protected_in
                .extend(owners.iter().filter(holds).map(|owner| std::rc::Rc::as_ptr(owner)));
        } else {
            mentioned.free.push(owners.iter().map(|owner| std::rc::Rc::as_ptr(owner)).collect());
        }
    }
}

/// Whether a value holds something that is as long as a number says, a slice of an array among them.
fn makes_sizes(value: &Value) -> bool {
    match value {
        Value::List(items) => items.iter().any(makes_sizes),
        Value::Node(node) => {
            let sizes = match node.kind {
                "FuncCall" => node.names("funcname").last().is_some_and(|name| SIZES.contains(name)),
                "AIndices" => node.bool("is_slice"),
                _ => false,
            };
            sizes || node.fields.iter().any(|(_, value)| makes_sizes(value))
        }
        _ => false,
    }
}

/// Of a relation that is not known nothing is known to be protected; of what a statement computes, it may come from protected columns.
fn is_protected(taint: Taint, stored: bool) -> bool {
    taint != CLEAN && (taint != UNKNOWN || !stored)
}

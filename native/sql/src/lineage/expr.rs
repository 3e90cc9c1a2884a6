//! What an expression derives from.

use super::catalog::{CLEAN, Taint, UNKNOWN, join};
use super::query::Evaluator;
use super::scope::{Resolved, Scope};
use crate::analysis::is_raw;
use crate::tree::{Node, Value};

/// `SubLinkType`: EXISTS tells nothing of content, and a scalar subquery is the value itself.
const EXISTS_SUBLINK: i64 = 1;
const EXPR_SUBLINK: i64 = 5;

impl Evaluator<'_> {
    /// What a value derives from, and whether it is a stored value unchanged.
    pub fn expr(&mut self, value: &Value, scope: &Scope<'_>) -> Resolved {
        match value {
            Value::Node(node) => self.expr_node(node, scope),
            Value::List(_) => Resolved::derived(self.taint(value, scope)),
            _ => Resolved::CLEAN,
        }
    }

    /// What a value derives from.
    pub fn taint(&mut self, value: &Value, scope: &Scope<'_>) -> Taint {
        match value {
            Value::Node(_) => self.expr(value, scope).taint,
            Value::List(items) => items.iter().fold(CLEAN, |taint, item| join(taint, self.taint(item, scope))),
            _ => CLEAN,
        }
    }

    fn fields(&mut self, node: &Node, scope: &Scope<'_>) -> Taint {
        node.fields
            .iter()
            .fold(CLEAN, |taint, (_, value)| join(taint, self.taint(value, scope)))
    }

    fn expr_node(&mut self, node: &Node, scope: &Scope<'_>) -> Resolved {
        if !self.afford(1) {
            return Resolved::derived(UNKNOWN);
        }
        let taint = match node.kind {
            "ColumnRef" => return self.column_ref(node, scope),
            // NullTest: whether there is a value, not which.
            "ParamRef" | "SetToDefault" | "SQLValueFunction" | "GroupingFunc" | "MergeSupportFunc" | "TypeName" | "NullTest" => CLEAN,
            "SubLink" => return self.sublink(node, scope),
            "FuncCall" => self.call(node, scope),
            "AExpr" => {
                let operands = join(self.taint(node.get("lexpr"), scope), self.taint(node.get("rexpr"), scope));
                join(operands, self.operator(&node.names("name")))
            }
            "TypeCast" => {
                let names = node.node("type_name").map(|name| name.names("names")).unwrap_or_default();
                let cast = if self.is_user_type(&names) { UNKNOWN } else { CLEAN };
                join(cast, self.taint(node.get("arg"), scope))
            }
            "AIndirection" => {
                let attribute = node.list("indirection").iter().filter_map(Value::name);
                let called = attribute.clone().any(|name| self.catalog.is_user_function(name));
                join(if called { UNKNOWN } else { CLEAN }, self.fields(node, scope))
            }
            kind if is_raw(kind) => self.fields(node, scope),
            _ => UNKNOWN,
        };
        Resolved::derived(taint)
    }

    fn column_ref(&mut self, node: &Node, scope: &Scope<'_>) -> Resolved {
        let fields = node.list("fields");
        let names = node.names("fields");
        if !self.afford(scope.sources.len()) {
            return Resolved::derived(UNKNOWN);
        }
        if fields.last().is_some_and(|last| last.of_kind("AStar").is_some()) {
            // `t.*` in an expression is the row; `*` alone is every row.
            let Some((source, qualifier)) = names.split_last() else {
                return Resolved::derived(scope.everything());
            };
            let found = scope.named(source, !qualifier.is_empty());
            if found.is_empty() {
                return Resolved::derived(scope.everything());
            }
            return Resolved::derived(found.iter().fold(CLEAN, |taint, source| join(taint, source.whole())));
        }
        scope.resolve(self.catalog, &names)
    }

    fn sublink(&mut self, node: &Node, scope: &Scope<'_>) -> Resolved {
        let kind = node.int("sub_link_type");
        if kind == EXISTS_SUBLINK {
            return Resolved::CLEAN;
        }
        let outputs = match node.node("subselect") {
            Some(query) => self.subquery(query, scope),
            None => return Resolved::derived(UNKNOWN),
        };
        if kind == EXPR_SUBLINK
            && let [output] = &*outputs
        {
            return Resolved {
                taint: output.taint,
                direct: output.direct,
            };
        }
        let value = outputs.iter().fold(CLEAN, |taint, output| join(taint, output.taint));
        let operator = self.operator(&node.names("oper_name"));
        Resolved::derived(join(join(value, operator), self.taint(node.get("testexpr"), scope)))
    }

    /// What a function call derives from.
    pub fn call(&mut self, node: &Node, scope: &Scope<'_>) -> Taint {
        let names = node.names("funcname");
        let unknown = self.catalog.is_unknown_function(&names);
        if !unknown && tells_nothing(node, names.last().copied().unwrap_or_default()) {
            return CLEAN;
        }
        ["args", "agg_order", "agg_filter"]
            .into_iter()
            .fold(if unknown { UNKNOWN } else { CLEAN }, |taint, field| {
                let part = match field {
                    "args" => node.get("args"),
                    "agg_order" => node.get("agg_order"),
                    _ => node.get("agg_filter"),
                };
                join(taint, self.taint(part, scope))
            })
    }

    /// A user's operator can look anything up, but where nothing protected is near we do not suspect it.
    fn operator(&self, names: &[&str]) -> Taint {
        if self.touches && self.catalog.is_user_operator(names) {
            UNKNOWN
        } else {
            CLEAN
        }
    }

    /// A cast to a type that has a function of users behind it.
    pub fn is_user_type(&self, names: &[&str]) -> bool {
        match names.split_last() {
            Some((_, [.., "pg_catalog"])) | None => false,
            Some((name, _)) => self.catalog.is_user_function(name),
        }
    }
}

/// How many rows there are, and which row this is: nothing of what is in them.
pub fn tells_nothing(call: &Node, name: &str) -> bool {
    match name {
        "count" => true,
        "row_number" | "rank" | "dense_rank" | "percent_rank" | "cume_dist" => call.node("over").is_some() && call.list("args").is_empty(),
        _ => false,
    }
}

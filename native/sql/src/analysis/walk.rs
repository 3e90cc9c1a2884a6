//! One walk over everything a statement holds. Every node is visited, known to the walker or not: the special cases below
//! only add meaning (which relation is written, which names are CTEs), they never end the walk early without reason.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::model::{Mode, Object, Setting, TableUse};
use super::{kinds, settings};
use crate::builtins;
use crate::tree::{Literal, Node, Value};

/// Of `MergeMatchKind`.
const NOT_MATCHED_BY_SOURCE: i64 = 2;

/// What the walk found.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Found {
    pub tables: Unique<TableUse>,
    pub functions: Unique<String>,
    pub objects: Unique<Object>,
    pub settings: Vec<Setting>,
    pub dynamic_settings: bool,
    /// UPDATE or DELETE without WHERE, or of every row by MERGE, at any level.
    pub without_where: bool,
    /// SELECT INTO.
    pub into: bool,
    /// The strongest write found in WITH, in a prepared statement, ...: 0 none, then merge, insert, update, delete.
    pub write: u8,
    /// A node that raw parse trees do not have, or a hole where a node belongs.
    pub unknown: bool,
    /// Casts to types that are named with a schema or could be user-defined; `schema.name` as written.
    pub types: Unique<String>,
    /// Operators, `schema.op` or `op`.
    pub operators: Unique<String>,
    /// Last names of `a.b` and `(a).b`, which PostgreSQL can read as the function call `b(a)`.
    pub attributes: Unique<String>,
    /// Those of them in `(a).b` that are no functions of PostgreSQL, as far as known here.
    pub fields: Unique<String>,
}

/// A list without duplicates, in the order of first mention, that stays fast when a hostile text names a million things.
#[derive(Debug)]
pub struct Unique<T> {
    items: Vec<T>,
    seen: HashSet<T>,
}

impl<T> Default for Unique<T> {
    fn default() -> Self {
        Unique {
            items: Vec::new(),
            seen: HashSet::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Unique<T> {
    /// Lists shorter than this are searched, not hashed.
    const SHORT: usize = 16;

    /// Adds an item unless it is there.
    pub fn push(&mut self, item: T) {
        if self.items.len() < Self::SHORT {
            if !self.items.contains(&item) {
                self.items.push(item);
            }
            return;
        }
        if self.seen.is_empty() {
            self.seen.extend(self.items.iter().cloned());
        }
        if self.seen.insert(item.clone()) {
            self.items.push(item);
        }
    }

    pub fn items(&self) -> &[T] {
        &self.items
    }

    pub fn into_items(self) -> Vec<T> {
        self.items
    }
}

/// The walker: `ctes` is the stack of names that stand for a WITH query where the walk is.
#[derive(Default)]
pub struct Walker {
    pub found: Found,
    ctes: Vec<String>,
    /// How often each name is on the stack.
    visible: HashMap<String, u32>,
}

impl Walker {
    /// Visits `node`; relations in it are used as `mode` unless a statement inside says otherwise.
    pub fn node(&mut self, node: &Node, mode: Mode) {
        if !kinds::is_raw(node.kind) {
            self.found.unknown = true;
        }
        let depth = self.ctes.len();
        match node.kind {
            "SelectStmt" => {
                self.with(node);
                self.rest(node, Mode::Select, &["with_clause"]);
            }
            "InsertStmt" => self.insert(node),
            "UpdateStmt" | "DeleteStmt" => self.update_or_delete(node),
            "MergeStmt" => self.merge(node),
            "RangeVar" => self.relation(node, mode, Vec::new()),
            "IntoClause" => {
                self.found.into = true;
                self.target(node.node("rel"), Mode::Create, Vec::new());
                self.rest(node, mode, &["rel"]);
            }
            // FOR UPDATE OF names what FROM already did.
            "LockingClause" => {}
            "FuncCall" => {
                self.function(node);
                self.rest(node, mode, &["funcname"]);
            }
            "AExpr" => {
                self.found.operators.push(dotted(&node.names("name")));
                self.rest(node, mode, &["name"]);
            }
            "SubLink" | "SortBy" => {
                for field in ["oper_name", "use_op"] {
                    if node.fields.iter().any(|(name, _)| *name == field) {
                        let names = if field == "oper_name" {
                            node.names("oper_name")
                        } else {
                            node.names("use_op")
                        };
                        self.found.operators.push(dotted(&names));
                    }
                }
                self.rest(node, mode, &[]);
            }
            "TypeName" => {
                self.found.types.push(dotted(&node.names("names")));
                self.rest(node, mode, &["names"]);
            }
            "ColumnRef" => {
                let fields = node.list("fields");
                if fields.len() > 1
                    && let Some(last) = fields.last().and_then(Value::name)
                {
                    self.found.attributes.push(last.to_lowercase());
                }
            }
            "AIndirection" => {
                for name in node.list("indirection").iter().filter_map(Value::name) {
                    let name = name.to_lowercase();
                    // Of any value, not of rows alone: `('x').pg_read_file` reads a file.
                    if builtins::is_function(&name) {
                        self.found.functions.push(name.clone());
                    } else {
                        self.found.fields.push(name.clone());
                    }
                    self.found.attributes.push(name);
                }
                self.rest(node, mode, &[]);
            }
            "VariableSetStmt" => {
                self.found.settings.push(settings::of_set(node));
                self.rest(node, mode, &[]);
            }
            _ => {
                if !super::utility::visit(self, node) {
                    self.rest(node, mode, &[]);
                }
            }
        }
        for name in self.ctes.drain(depth..) {
            if let Some(count) = self.visible.get_mut(&name) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Visits every field of `node` but `except`.
    pub fn rest(&mut self, node: &Node, mode: Mode, except: &[&str]) {
        for (name, value) in node.fields {
            if !except.contains(name) {
                self.value(value, mode);
            }
        }
    }

    pub fn value(&mut self, value: &Value, mode: Mode) {
        match value {
            Value::Node(node) => self.node(node, mode),
            Value::List(items) => items.iter().for_each(|item| self.value(item, mode)),
            _ => {}
        }
    }

    /// WITH: a name is visible to what follows it, and under RECURSIVE to all of the list.
    fn with(&mut self, statement: &Node) {
        let Some(with) = statement.node("with_clause") else { return };
        if !kinds::is_raw(with.kind) {
            self.found.unknown = true;
        }
        let names = with
            .list("ctes")
            .iter()
            .filter_map(Value::node)
            .map(|cte| cte.str("ctename").to_owned());
        let recursive = with.bool("recursive");
        if recursive {
            names.clone().for_each(|name| self.see(name));
        }
        for (cte, name) in with.list("ctes").iter().filter_map(Value::node).zip(names) {
            if let Some(query) = cte.node("ctequery") {
                self.write(query);
            }
            self.rest(cte, Mode::Select, &[]);
            if !recursive {
                self.see(name);
            }
        }
    }

    fn see(&mut self, cte: String) {
        *self.visible.entry(cte.clone()).or_default() += 1;
        self.ctes.push(cte);
    }

    /// Remembers that a statement inside another one writes.
    pub fn write(&mut self, query: &Node) {
        let level = match query.kind {
            "MergeStmt" => 1,
            "InsertStmt" => 2,
            "UpdateStmt" => 3,
            "DeleteStmt" => 4,
            _ => 0,
        };
        self.found.write = self.found.write.max(level);
    }

    fn insert(&mut self, node: &Node) {
        self.with(node);
        let returning = node.node("returning_clause").is_some();
        self.target(node.node("relation"), Mode::Insert, target_columns(node.list("cols")));
        if let Some(conflict) = node.node("on_conflict_clause") {
            let columns = target_columns(conflict.list("target_list"));
            if !columns.is_empty() {
                self.target(node.node("relation"), Mode::Update, columns);
            }
        }
        self.returning(node, returning);
        self.rest(node, Mode::Select, &["with_clause", "relation"]);
    }

    fn update_or_delete(&mut self, node: &Node) {
        self.with(node);
        let (mode, columns) = if node.kind == "UpdateStmt" {
            (Mode::Update, target_columns(node.list("target_list")))
        } else {
            (Mode::Delete, Vec::new())
        };
        self.target(node.node("relation"), mode, columns);
        if mode == Mode::Update && node.node("relation").is_some_and(|r| r.str("relname") == "pg_settings") {
            self.found.dynamic_settings = true;
        }
        if *node.get("where_clause") == Value::None {
            self.found.without_where = true;
        }
        self.returning(node, node.node("returning_clause").is_some());
        self.rest(node, Mode::Select, &["with_clause", "relation"]);
    }

    fn merge(&mut self, node: &Node) {
        self.with(node);
        self.target(node.node("relation"), Mode::Merge, Vec::new());
        // `on true` matches every row.
        let matches_all = !names_column(node.get("join_condition"));
        for clause in node.list("merge_when_clauses").iter().filter_map(Value::node) {
            // Numbers of `CmdType`.
            let mode = match clause.int("command_type") {
                3 => Mode::Update,
                4 => Mode::Insert,
                5 => Mode::Delete,
                _ => continue,
            };
            let every_row = matches_all || clause.int("match_kind") == NOT_MATCHED_BY_SOURCE;
            if mode != Mode::Insert && every_row && *clause.get("condition") == Value::None {
                self.found.without_where = true;
            }
            let columns = if mode == Mode::Delete {
                Vec::new()
            } else {
                target_columns(clause.list("target_list"))
            };
            self.target(node.node("relation"), mode, columns);
        }
        self.returning(node, node.node("returning_clause").is_some());
        self.rest(node, Mode::Select, &["with_clause", "relation"]);
    }

    /// RETURNING reads the relation that the statement writes.
    fn returning(&mut self, node: &Node, present: bool) {
        if present {
            self.target(node.node("relation"), Mode::Select, Vec::new());
        }
    }

    /// A relation that is written or defined: never a CTE.
    pub fn target(&mut self, relation: Option<&Node>, mode: Mode, columns: Vec<String>) {
        match relation {
            Some(relation) if relation.kind == "RangeVar" => self.add(relation, mode, columns),
            _ => self.found.unknown = true,
        }
    }

    /// A relation that is read, or whatever `mode` says, unless its name stands for a CTE.
    pub fn relation(&mut self, relation: &Node, mode: Mode, columns: Vec<String>) {
        let name = relation.str("relname");
        let is_cte =
            mode == Mode::Select && relation.str("schemaname").is_empty() && self.visible.get(name).is_some_and(|count| *count > 0);
        if !is_cte {
            self.add(relation, mode, columns);
        }
    }

    fn add(&mut self, relation: &Node, mode: Mode, columns: Vec<String>) {
        self.table(relation.str("schemaname"), relation.str("relname"), mode, columns);
    }

    pub fn table(&mut self, schema: &str, name: &str, mode: Mode, columns: Vec<String>) {
        self.found.tables.push(TableUse {
            schema: schema.into(),
            name: name.into(),
            mode,
            columns,
        });
    }

    pub fn object(&mut self, kind: &'static str, name: String) {
        self.found.objects.push(Object { kind, name });
    }

    fn function(&mut self, call: &Node) {
        let names = call.names("funcname");
        if names.last().is_some_and(|name| name.eq_ignore_ascii_case("set_config")) {
            match settings::of_set_config(call) {
                Some(setting) => self.found.settings.push(setting),
                None => self.found.dynamic_settings = true,
            }
        }
        self.found.functions.push(dotted(&names).to_lowercase());
    }
}

/// `schema.name`, as far as written. A part with a dot of its own is quoted, so that `"pg_catalog.lower"` is not
/// mistaken for `pg_catalog.lower`.
pub fn dotted(names: &[&str]) -> String {
    let quoted = |name: &&str| {
        if name.contains(['.', '"']) {
            format!("\"{}\"", name.replace('"', "\"\""))
        } else {
            (*name).to_owned()
        }
    };
    names.iter().map(quoted).collect::<Vec<_>>().join(".")
}

fn names_column(value: &Value) -> bool {
    match value {
        Value::Node(node) => node.kind == "ColumnRef" || node.fields.iter().any(|(_, value)| names_column(value)),
        Value::List(items) => items.iter().any(names_column),
        _ => false,
    }
}

fn target_columns(targets: &[Value]) -> Vec<String> {
    targets
        .iter()
        .filter_map(Value::node)
        .map(|target| target.str("name").to_owned())
        .filter(|n| !n.is_empty())
        .collect()
}

/// The text of a constant, also below casts.
pub fn constant(value: &Value) -> Option<String> {
    match value {
        Value::Literal(Literal::String(text) | Literal::Float(text) | Literal::BitString(text)) => Some(text.to_string()),
        Value::Literal(Literal::Integer(number)) => Some(number.to_string()),
        Value::Literal(Literal::Boolean(flag)) => Some(flag.to_string()),
        Value::Node(node) => match node.kind {
            "TypeCast" => constant(node.get("arg")),
            "String" => Some(node.str("sval").to_owned()),
            "Integer" => Some(node.int("ival").to_string()),
            "Float" => Some(node.str("fval").to_owned()),
            "Boolean" => Some(node.bool("boolval").to_string()),
            // `copy t to stdout (header true)`, `(encoding utf8)`: bare words are type names or lists of names.
            "TypeName" => Some(dotted(&node.names("names"))),
            _ => None,
        },
        _ => None,
    }
}

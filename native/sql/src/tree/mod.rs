//! A parse tree without static types: every node knows its kind and its fields by name, so that one walk over it reaches
//! everything, whatever a new version of the grammar adds.
//!
//! It is read from what the C side says of PostgreSQL's own structs, by code that is generated from their definitions and visits
//! every field. Fields at their default (0, "", false, absent) and positions in the text are left out.
//!
//! All of a tree lies in one arena: building it out of boxes and vectors, and dropping them, took a third of the analysis.

pub mod read;
#[cfg(test)]
mod reference;

/// A constant of the SQL text (`A_Const`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Literal<'t> {
    /// `NULL`
    Null,
    /// An integer that fits `int4`.
    Integer(i64),
    /// Any other number, as written.
    Float(&'t str),
    /// `true` or `false`
    Boolean(bool),
    /// A string, its escapes resolved.
    String(&'t str),
    /// A bit string, `b` or `x` first.
    BitString(&'t str),
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'t> {
    /// Absent or NULL.
    None,
    /// A flag.
    Bool(bool),
    /// A number, or the number of an enum's variant.
    Int(i64),
    /// A name or a text.
    Str(&'t str),
    /// A constant of the SQL text.
    Literal(Literal<'t>),
    /// A node.
    Node(&'t Node<'t>),
    /// A list of nodes (or of numbers).
    List(&'t [Value<'t>]),
}

/// One node of the tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node<'t> {
    /// The struct's name, e.g. `SelectStmt`.
    pub kind: &'static str,
    /// The fields that are not at their default, in the order of the definition.
    pub fields: &'t [(&'static str, Value<'t>)],
}

impl<'t> Value<'t> {
    /// The node in this value.
    pub fn node(&self) -> Option<&'t Node<'t>> {
        match self {
            Value::Node(node) => Some(node),
            _ => None,
        }
    }

    /// The node, when it is of this kind.
    pub fn of_kind(&self, kind: &str) -> Option<&'t Node<'t>> {
        self.node().filter(|node| node.kind == kind)
    }

    /// The values of a list; nothing for anything else.
    pub fn items(&self) -> &'t [Value<'t>] {
        match self {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a `String` node (an identifier of a name list) or of a plain string.
    pub fn name(&self) -> Option<&'t str> {
        match self {
            Value::Str(text) => Some(text),
            Value::Node(node) if node.kind == "String" => Some(node.str("sval")),
            _ => None,
        }
    }
}

impl<'t> Node<'t> {
    /// A field by name; `Value::None` when it is at its default.
    pub fn get(&self, field: &'static str) -> &'t Value<'t> {
        #[cfg(test)]
        names::asked(self.kind, field);
        self.fields
            .iter()
            .find(|(name, _)| *name == field)
            .map_or(&Value::None, |(_, value)| value)
    }

    /// A string field, "" when absent.
    pub fn str(&self, field: &'static str) -> &'t str {
        match self.get(field) {
            Value::Str(text) => text,
            _ => "",
        }
    }

    /// A numeric or enum field, 0 when absent.
    pub fn int(&self, field: &'static str) -> i64 {
        match self.get(field) {
            Value::Int(number) => *number,
            _ => 0,
        }
    }

    /// A flag.
    pub fn bool(&self, field: &'static str) -> bool {
        matches!(self.get(field), Value::Bool(true))
    }

    /// A list, empty when absent.
    pub fn list(&self, field: &'static str) -> &'t [Value<'t>] {
        self.get(field).items()
    }

    /// A node, if there is one.
    pub fn node(&self, field: &'static str) -> Option<&'t Node<'t>> {
        self.get(field).node()
    }

    /// The identifiers of a name list (`schema.name` is two).
    pub fn names(&self, field: &'static str) -> Vec<&'t str> {
        self.list(field).iter().filter_map(Value::name).collect()
    }
}

/// Which fields exist and which were asked for: a misspelt field name would silently read as absent.
#[cfg(test)]
pub mod names {
    use std::collections::BTreeSet;
    use std::sync::{Mutex, PoisonError};

    static ASKED: Mutex<BTreeSet<(&str, &str)>> = Mutex::new(BTreeSet::new());
    static KNOWN: Mutex<BTreeSet<(&str, &str)>> = Mutex::new(BTreeSet::new());

    pub fn asked(kind: &'static str, field: &'static str) {
        ASKED.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, field));
    }
    pub fn known(kind: &'static str, field: &'static str) {
        KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, field));
    }
    pub fn misspelt() -> Vec<(&'static str, &'static str)> {
        let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        ASKED
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .difference(&known)
            .copied()
            .collect()
    }
}

#[cfg(test)]
pub mod tests {
    use crate::{Catalog, analyze, lineage};

    /// Every statement of the tables of tests.
    pub fn texts() -> impl Iterator<Item = &'static str> {
        let tables = [
            include_str!("../../tests/data/analysis.tsv"),
            include_str!("../../tests/data/lineage.tsv"),
            include_str!("../../tests/data/writes.tsv"),
            include_str!("../../tests/data/comparisons.tsv"),
        ];
        let lines = tables.into_iter().flat_map(str::lines).filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split('\t').next().unwrap_or_default())
    }

    #[test]
    fn every_field_that_is_asked_for_exists() {
        let catalog = Catalog::compile(include_str!("../../tests/data/catalog.json")).unwrap_or_else(|e| unreachable!("{e}"));
        for sql in texts() {
            let _ = analyze(sql.as_bytes());
            let _ = lineage(&catalog, sql.as_bytes());
            // Registers the names that there are.
            let parsed = pg_query::parse(sql, pg_query::ParserOptions::default());
            let _ = parsed.map(|parsed| super::reference::to_value(&parsed.protobuf.stmts));
        }
        let misspelt = super::names::misspelt();
        assert!(misspelt.is_empty(), "{misspelt:?}");
    }
}

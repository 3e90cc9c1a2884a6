//! What is known of a database: which columns are protected, and which names are those of users.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::builtins;

/// The class of protected data that something derives from, as an index into the catalog's classes.
pub type Taint = u16;
/// Certainly nothing protected.
pub const CLEAN: Taint = 0;
/// It cannot be told, or it derives from several classes.
pub const UNKNOWN: Taint = 1;
/// Sensitive authentication data: whatever it is mixed with, it stays that.
pub const SAD: Taint = 2;

/// The class of what derives from both.
pub fn join(a: Taint, b: Taint) -> Taint {
    match (a, b) {
        (CLEAN, other) | (other, CLEAN) => other,
        _ if a == b => a,
        _ if a == SAD || b == SAD => SAD,
        _ => UNKNOWN,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    relations: Vec<RelationSpec>,
    user_functions: Vec<String>,
    user_operators: Vec<String>,
    known_relations: Vec<NameSpec>,
}

#[derive(Deserialize)]
struct RelationSpec {
    schema: String,
    name: String,
    columns: Vec<ColumnSpec>,
}

#[derive(Deserialize)]
struct ColumnSpec {
    name: String,
    protect: Option<String>,
}

#[derive(Deserialize)]
struct NameSpec {
    schema: String,
    name: String,
}

/// A relation with at least one protected column.
#[derive(Debug)]
pub struct Relation {
    schema: String,
    /// In the relation's own order.
    pub columns: Vec<(String, Taint)>,
}

/// What a relation's name stands for. Names without a schema match that name in any schema.
pub enum Lookup<'a> {
    /// Relations with protected columns. `exact`: the name stands for this one and nothing else.
    Protected { relations: Vec<&'a Relation>, exact: bool },
    /// A catalog relation some of whose columns hold users' data.
    Data(&'static [&'static str]),
    /// Known, and nothing in it is protected.
    Clean,
    /// Nothing is known of it: temporary, or not committed yet.
    Unknown,
}

/// A compiled `CatalogSpec`.
#[derive(Debug)]
pub struct Catalog {
    classes: Vec<String>,
    relations: HashMap<String, Vec<Relation>>,
    /// Schemas in which a relation of this name exists.
    known: HashMap<String, Vec<String>>,
    user_functions: HashSet<String>,
    user_operators: HashSet<String>,
}

impl Catalog {
    /// Compiles the JSON of a `CatalogSpec` (see `analysis.ts`).
    ///
    /// # Errors
    /// The JSON is not of that form.
    pub fn compile(spec: &str) -> Result<Self, serde_json::Error> {
        let spec: Spec = serde_json::from_str(spec)?;
        let mut catalog = Catalog {
            classes: vec![String::new(), "unknown".into(), "sad".into()],
            relations: HashMap::new(),
            known: HashMap::new(),
            user_functions: last_names(&spec.user_functions),
            user_operators: last_names(&spec.user_operators),
        };
        for relation in spec.relations {
            let columns = relation
                .columns
                .into_iter()
                .map(|c| (c.name, catalog.class(c.protect.as_deref())))
                .collect();
            catalog
                .known
                .entry(relation.name.clone())
                .or_default()
                .push(relation.schema.clone());
            catalog.relations.entry(relation.name).or_default().push(Relation {
                schema: relation.schema,
                columns,
            });
        }
        for NameSpec { schema, name } in spec.known_relations {
            let schemas = catalog.known.entry(name).or_default();
            if !schemas.contains(&schema) {
                schemas.push(schema);
            }
        }
        Ok(catalog)
    }

    fn class(&mut self, protect: Option<&str>) -> Taint {
        let Some(name) = protect else { return CLEAN };
        let known = self.classes.iter().skip(1).position(|class| class == name);
        let index = known.map_or(self.classes.len(), |at| at + 1);
        if known.is_none() {
            self.classes.push(name.into());
        }
        // More classes than fit are all as good as unknown.
        Taint::try_from(index).unwrap_or(UNKNOWN)
    }

    /// The name of a class; `None` for clean.
    pub fn class_name(&self, taint: Taint) -> Option<&str> {
        if taint == CLEAN {
            None
        } else {
            self.classes.get(usize::from(taint)).map(String::as_str)
        }
    }

    /// What `schema.name` stands for; `schema` is "" when not written.
    pub fn lookup(&self, schema: &str, name: &str) -> Lookup<'_> {
        let data = match schema {
            "" | "pg_catalog" => builtins::data_columns(name),
            // An extension's view, in whatever schema.
            _ if name == "pg_stat_statements" => builtins::data_columns(name),
            _ => &[],
        };
        let relations: Vec<&Relation> = self
            .relations
            .get(name)
            .map(|all| all.iter().filter(|r| schema.is_empty() || r.schema == schema).collect())
            .unwrap_or_default();
        let schemas = self.known.get(name).map_or(&[][..], Vec::as_slice);
        if !relations.is_empty() {
            if !data.is_empty() {
                return Lookup::Unknown;
            }
            let exact = relations.len() == 1 && (!schema.is_empty() || schemas.len() == 1 && !builtins::is_relation("", name));
            Lookup::Protected { relations, exact }
        } else if !data.is_empty() {
            Lookup::Data(data)
        } else if builtins::is_relation(schema, name) || schemas.iter().any(|known| schema.is_empty() || known == schema) {
            Lookup::Clean
        } else {
            Lookup::Unknown
        }
    }

    /// Whether the result of a function (names as written) can hold anything at all.
    #[must_use]
    pub fn is_unknown_function(&self, names: &[&str]) -> bool {
        let Some((name, schema)) = names.split_last() else { return true };
        let name = name.to_lowercase();
        if builtins::reaches_data(&name) || !builtins::is_function(&name) {
            return true;
        }
        match schema.last() {
            Some(schema) => *schema != "pg_catalog",
            None => self.user_functions.contains(&name),
        }
    }

    /// Whether users have a function (or a cast's target type) of this name.
    #[must_use]
    pub fn is_user_function(&self, name: &str) -> bool {
        self.user_functions.contains(name)
    }

    /// Whether an operator (names as written) may be a user's.
    #[must_use]
    pub fn is_user_operator(&self, names: &[&str]) -> bool {
        let Some((name, schema)) = names.split_last() else { return false };
        // BETWEEN and its kin come under their key words.
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return false;
        }
        match schema.last() {
            Some(schema) => *schema != "pg_catalog",
            None => self.user_operators.contains(*name) || !builtins::is_operator(name),
        }
    }
}

/// Names come with or without their schema.
fn last_names(names: &[String]) -> HashSet<String> {
    names
        .iter()
        .map(|name| name.rsplit_once('.').map_or(name.as_str(), |(_, last)| last).to_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{CLEAN, SAD, UNKNOWN, join};

    #[test]
    fn classes_join_to_the_stronger_one() {
        assert_eq!(join(CLEAN, 3), 3);
        assert_eq!(join(3, 3), 3);
        assert_eq!(join(3, 4), UNKNOWN);
        assert_eq!(join(UNKNOWN, SAD), SAD);
        assert_eq!(join(SAD, 3), SAD);
        assert_eq!(join(UNKNOWN, CLEAN), UNKNOWN);
    }
}

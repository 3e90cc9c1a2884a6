//! Names in scope and what they may stand for.

use std::rc::Rc;

use super::catalog::{CLEAN, Catalog, Lookup, Taint, UNKNOWN, join};
use super::names::NAMELESS;
use crate::builtins;

/// A column of something in FROM, or of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub taint: Taint,
    /// The value is that of a stored column, unchanged.
    pub direct: bool,
}

/// Something in FROM, under the name it has there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    pub alias: String,
    pub columns: Vec<Column>,
    /// `columns` is all there is, in order.
    pub exact: bool,
    /// What columns that are not listed derive from.
    pub rest: Taint,
    /// A stored relation, and nothing that the statement makes.
    pub stored: bool,
}

impl Source {
    pub fn new(alias: &str, columns: Vec<Column>, exact: bool, rest: Taint) -> Self {
        Source {
            alias: alias.into(),
            columns,
            exact,
            rest,
            stored: false,
        }
    }

    /// A stored relation.
    pub fn of_relation(catalog: &Catalog, schema: &str, name: &str) -> Self {
        let direct = |name: &str, taint| Column {
            name: name.into(),
            taint,
            direct: true,
        };
        let source = match catalog.lookup(schema, name) {
            Lookup::Clean => Source::new(name, Vec::new(), false, CLEAN),
            Lookup::Unknown => Source::new(name, Vec::new(), false, UNKNOWN),
            Lookup::Data(columns) => Source::new(name, columns.iter().map(|column| direct(column, UNKNOWN)).collect(), false, CLEAN),
            Lookup::Protected { relations, exact } => {
                let mut columns: Vec<Column> = Vec::new();
                for (column, taint) in relations.iter().flat_map(|relation| &relation.columns) {
                    match columns.iter_mut().find(|known| known.name == *column) {
                        Some(known) => known.taint = join(known.taint, *taint),
                        None => columns.push(direct(column, *taint)),
                    }
                }
                Source::new(name, columns, exact, CLEAN)
            }
        };
        Source { stored: true, ..source }
    }

    /// What the whole row derives from.
    pub fn whole(&self) -> Taint {
        self.columns.iter().fold(self.rest, |taint, column| join(taint, column.taint))
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// What the columns whose names we cannot tell derive from: any name may be theirs.
    pub fn nameless(&self) -> Taint {
        let nameless = self.columns.iter().filter(|column| column.name == NAMELESS);
        nameless.fold(CLEAN, |taint, column| join(taint, column.taint))
    }

    /// `AS alias (names)`. Names go by position where positions are known; else each may be any column.
    pub fn rename(&mut self, alias: &str, names: &[&str]) {
        if !alias.is_empty() {
            self.alias = alias.into();
        }
        if names.is_empty() {
            return;
        }
        if self.exact && names.len() <= self.columns.len() {
            for (column, name) in self.columns.iter_mut().zip(names) {
                column.name = (*name).into();
            }
        } else {
            let whole = self.whole();
            self.columns = names
                .iter()
                .map(|name| Column {
                    name: (*name).into(),
                    taint: whole,
                    direct: false,
                })
                .collect();
            self.exact = false;
            self.rest = whole;
        }
    }
}

/// What a name resolved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    pub taint: Taint,
    pub direct: bool,
}

impl Resolved {
    pub const CLEAN: Resolved = Resolved {
        taint: CLEAN,
        direct: true,
    };

    pub fn derived(taint: Taint) -> Self {
        Resolved { taint, direct: false }
    }

    fn or(self, taint: Taint, direct: bool) -> Self {
        // What is clean says nothing of how the rest came about.
        let direct = match (self.taint, taint) {
            (_, CLEAN) => self.direct,
            (CLEAN, _) => direct,
            _ => self.direct && direct && self.taint == taint,
        };
        Resolved {
            taint: join(self.taint, taint),
            direct,
        }
    }
}

/// One query level.
#[derive(Default)]
pub struct Scope<'a> {
    pub sources: Vec<Rc<Source>>,
    pub outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    fn levels(&self) -> impl Iterator<Item = &Scope<'_>> {
        std::iter::successors(Some(self), |scope| scope.outer)
    }

    /// Everything in sight: for names that cannot be placed.
    pub fn everything(&self) -> Taint {
        self.levels()
            .flat_map(|level| &level.sources)
            .fold(CLEAN, |taint, source| join(taint, source.whole()))
    }

    /// Sources under this name in the innermost level that has any; in all levels when it is qualified by a schema, which
    /// aliases do not carry.
    pub fn named(&self, alias: &str, qualified: bool) -> Vec<&Rc<Source>> {
        let mut found = Vec::new();
        for level in self.levels() {
            found.extend(level.sources.iter().filter(|source| source.alias == alias));
            if !found.is_empty() && !qualified {
                break;
            }
        }
        found
    }

    /// What a column may be of: as in `resolve`, every reading counts.
    pub fn owners(&self, names: &[&str]) -> Vec<&Rc<Source>> {
        match names {
            [] | ["*"] => self.levels().flat_map(|level| &level.sources).collect(),
            [name] => {
                let mut owners = Vec::new();
                for level in self.levels() {
                    let may_have = |source: &&Rc<Source>| !source.exact || source.column(name).is_some() || source.alias == *name;
                    owners.extend(level.sources.iter().filter(may_have));
                    if level.sources.iter().any(|source| source.exact && source.column(name).is_some()) {
                        break;
                    }
                }
                owners
            }
            [qualifier @ .., source, _] => self.named(source, !qualifier.is_empty()),
        }
    }

    /// What a column reference may mean: every reading that the names allow counts, so that the search path, functions
    /// called in attribute notation and whole-row references need not be told apart.
    pub fn resolve(&self, catalog: &Catalog, names: &[&str]) -> Resolved {
        match names {
            [] => Resolved::derived(self.everything()),
            [name] => self.resolve_bare(name),
            [qualifier @ .., source, name] => self.resolve_qualified(catalog, source, name, !qualifier.is_empty()),
        }
    }

    fn resolve_bare(&self, name: &str) -> Resolved {
        if is_system_column(name) {
            return Resolved::CLEAN;
        }
        let mut result = Resolved::CLEAN;
        let mut possible = false;
        for level in self.levels() {
            let mut certain = false;
            for source in &level.sources {
                if let Some(column) = source.column(name) {
                    result = result.or(column.taint, column.direct);
                    possible = true;
                    certain |= source.exact;
                } else {
                    result = result.or(source.nameless(), false);
                    if !source.exact {
                        result = result.or(source.rest, false);
                        possible = true;
                    }
                }
                // `select t from t`: the row. A column of that name comes first, but may be elsewhere.
                if source.alias == name {
                    result = result.or(source.whole(), false);
                    possible = true;
                }
            }
            if certain {
                break;
            }
        }
        if possible { result } else { Resolved::derived(self.everything()) }
    }

    fn resolve_qualified(&self, catalog: &Catalog, source: &str, name: &str, qualified: bool) -> Resolved {
        if is_system_column(name) {
            return Resolved::CLEAN;
        }
        let found = self.named(source, qualified);
        if found.is_empty() {
            return Resolved::derived(self.everything());
        }
        let mut result = Resolved::CLEAN;
        for source in found {
            if let Some(column) = source.column(name) {
                result = result.or(column.taint, column.direct);
            } else if catalog.is_user_function(name) {
                // `t.f` is `f(t)`.
                result = result.or(UNKNOWN, false);
            } else if source.exact || builtins::is_function(name) {
                result = result.or(source.whole(), false);
            } else {
                result = result.or(source.rest, false);
            }
        }
        result
    }
}

fn is_system_column(name: &str) -> bool {
    matches!(name, "ctid" | "xmin" | "xmax" | "cmin" | "cmax" | "tableoid")
}

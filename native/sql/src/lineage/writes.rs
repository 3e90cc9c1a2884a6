//! Which columns a statement writes, and what the values derive from.

use std::collections::BTreeMap;

use super::catalog::{CLEAN, Catalog, Lookup, join};
use super::query::Output;
use super::scope::Resolved;
use super::{Mode, WriteLineage};
use crate::analysis::TableUse;
use crate::tree::Node;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Column {
    schema: String,
    table: String,
    /// "" when any column may be meant.
    name: String,
}

/// What is written into columns, as far as it derives from anything protected or unknown.
#[derive(Default)]
pub struct Writes {
    columns: BTreeMap<Column, Resolved>,
    /// What is written comes from a statement that is not in the text.
    pub from_prepared: bool,
}

impl Writes {
    /// A value goes into a column of the relation; `column` is "" when any may be meant.
    pub fn add(&mut self, relation: &Node, column: &str, value: Resolved) {
        if value.taint == CLEAN {
            return;
        }
        let column = Column {
            schema: relation.str("schemaname").into(),
            table: relation.str("relname").into(),
            name: column.into(),
        };
        self.columns
            .entry(column)
            .and_modify(|known| {
                known.direct &= value.direct && known.taint == value.taint;
                known.taint = join(known.taint, value.taint);
            })
            .or_insert(value);
    }

    /// A relation is made of the outputs of a query.
    pub fn add_all(&mut self, relation: &Node, outputs: &[Output]) {
        for output in outputs {
            let name = if output.star { "" } else { output.name.as_str() };
            let value = Resolved {
                taint: output.taint,
                direct: output.direct,
            };
            self.add(relation, name, value);
        }
    }

    /// The writes that can carry stored data: those of a statement that also reads a relation which is protected or unknown.
    /// An unknown relation that is written from nothing but itself says nothing new.
    pub fn into_lineage(self, catalog: &Catalog, used: &[TableUse]) -> Vec<WriteLineage> {
        let lookup = |schema: &str, name: &str| catalog.lookup(schema, name);
        let read: Vec<&TableUse> = used
            .iter()
            .filter(|table| {
                matches!(table.mode, Mode::Select | Mode::Update | Mode::Merge | Mode::Alter | Mode::CopyTo)
                    && !matches!(lookup(&table.schema, &table.name), Lookup::Clean)
            })
            .collect();
        let carries = |column: &Column| {
            let itself = |table: &&TableUse| table.schema == column.schema && table.name == column.table;
            let unknown = matches!(lookup(&column.schema, &column.table), Lookup::Unknown);
            self.from_prepared || !(read.is_empty() || unknown && read.iter().all(itself))
        };
        self.columns
            .into_iter()
            .filter(|(column, _)| carries(column))
            .map(|(column, value)| WriteLineage {
                protect: catalog.class_name(value.taint).unwrap_or("unknown").to_owned(),
                direct: value.direct,
                schema: column.schema,
                table: column.table,
                column: column.name,
            })
            .collect()
    }
}

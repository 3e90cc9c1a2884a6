//! What a SQL statement does and where its results come from, by PostgreSQL's own parser. No N-API in here.
//!
//! Texts are lexed with `standard_conforming_strings = on`; the gateway pins that setting on every connection.
#![expect(clippy::doc_markdown, reason = "PostgreSQL, N-API and libpg_query are names, not code")]

mod analysis;
mod builtins;
mod ffi;
mod fingerprint;
mod lineage;
mod parse;
mod shape;
mod tree;

pub use analysis::{Analysis, Copy, Mode, Object, Setting, StatementInfo, TableUse, analyze};
pub use fingerprint::fingerprint;
pub use lineage::{Catalog, Lineage, OutputLineage, StatementLineage, WriteLineage, lineage};
pub use shape::{shape_text, statement_shape};

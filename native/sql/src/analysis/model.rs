//! What the analysis says of a text: the Rust side of `src/protocols/postgres/analysis.ts`.

use serde::Serialize;

/// How a statement uses a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "SQL's own words")]
pub enum Mode {
    Select,
    Insert,
    Update,
    Delete,
    Merge,
    Truncate,
    Drop,
    Alter,
    Create,
    Lock,
    CopyTo,
    CopyFrom,
    Maintain,
    Grant,
}

/// A relation that a statement names, and what it does with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct TableUse {
    /// "" when not written.
    pub schema: String,
    /// The relation's name.
    pub name: String,
    /// The way it is used.
    pub mode: Mode,
    /// Columns written to, where that is certain.
    pub columns: Vec<String>,
}

/// An object of DDL that is not a relation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Object {
    /// `role`, `schema`, `function`, ...
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Dotted as written.
    pub name: String,
}

/// A run-time parameter that a statement sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Lower case.
    pub name: String,
    /// `None` when it is not a constant; "" for DEFAULT and RESET.
    pub value: Option<String>,
    /// For the transaction only.
    pub local: bool,
}

/// The options of COPY.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the options' own names")]
pub struct Copy {
    pub format: &'static str,
    pub columns: Vec<String>,
    pub table: Option<String>,
    pub header: bool,
    pub delimiter: String,
    pub quote: String,
    pub escape: String,
    pub null_string: String,
    pub encoding: String,
}

/// What one statement does. What most statements have is left out of the JSON: `analysisOf` of analysis.ts puts it in again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "documented in analysis.ts, the contract")]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, as the contract has them")]
pub struct StatementInfo {
    pub kind: &'static str,
    pub start: usize,
    pub end: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableUse>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Object>,
    #[serde(skip_serializing_if = "is_set")]
    pub has_where: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Setting>,
    #[serde(skip_serializing_if = "is_unset")]
    pub dynamic_settings: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub lock_mode: &'static str,
    #[serde(skip_serializing_if = "is_unset")]
    pub whole_rows: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<Copy>,
    #[serde(skip_serializing_if = "is_unset")]
    pub constant_writes: bool,
    #[serde(skip_serializing_if = "is_unset")]
    pub literals_matter: bool,
    #[serde(skip_serializing_if = "is_unset")]
    pub unknown: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_set(flag: &bool) -> bool {
    *flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_unset(flag: &bool) -> bool {
    !*flag
}

/// The analysis of a text, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Analysis {
    /// One entry per statement.
    Statements {
        /// In the order of the text.
        statements: Vec<StatementInfo>,
    },
    /// The text does not parse.
    Error {
        /// For people; can quote the text.
        error: String,
        /// 1-based character position.
        #[serde(skip_serializing_if = "Option::is_none")]
        position: Option<u32>,
    },
}

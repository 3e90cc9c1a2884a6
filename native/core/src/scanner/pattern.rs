//! Patterns of the operator, and why they are refused.

use std::fmt;

/// Why a specification was refused, with what to write instead.
#[derive(Debug)]
pub struct CompileError(pub(super) String);

impl CompileError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CompileError {}

/// A pattern of the operator.
pub(super) struct Pattern {
    pub id: String,
    pub regex: String,
    pub keep_last: usize,
}

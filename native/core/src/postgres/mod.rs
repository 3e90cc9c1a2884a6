//! Masks the messages in which `PostgreSQL` returns data: `DataRow` and `CopyData`.
//!
//! A [`RowPlan`] says per column what to do and in which type and format its values come. A mask keeps the type of a
//! value: what cannot carry one becomes NULL.

mod binary;
mod copy;
mod error;
mod escape;
mod fields;
mod json;
mod long;
mod nested;
mod numbers;
mod plan;
mod rows;
mod stream;
mod types;
mod value;

pub use copy::{CopyFormat, CopyOutcome, mask_copy};
pub use error::StreamError;
pub use plan::RowPlan;
pub use rows::mask_rows;
pub use stream::{StreamKind, StreamMasker};

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]
mod tests;

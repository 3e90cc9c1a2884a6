//! Masks the messages in which PostgreSQL returns data: `DataRow` and `CopyData`.
//!
//! A [`RowPlan`] says per column what to do and in which type and format its values come. A mask keeps the type of a
//! value: what cannot carry one becomes NULL.

mod binary;
mod json;
mod plan;
mod rows;
mod types;
mod value;

pub use plan::RowPlan;
pub use rows::mask_rows;

#[cfg(test)]
mod tests;

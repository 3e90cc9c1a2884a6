//! The N-API surface of the native crates: thin, typed, one module per crate behind it.

mod policy;
mod registry;
mod record;
mod scanner;
mod sql;

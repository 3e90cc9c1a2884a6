//! What Sluice does to bytes, without N-API: the scanner that masks, and the hash chain of the record.

pub mod postgres;
mod raw;
pub mod record;
pub mod scanner;

//! Finds cardholder data in bytes and covers it in place, whatever the protocol.
//!
//! [`RuleSet`] is a compiled, immutable set of rules: card numbers ([`pan`]) and what keywords and sentinels introduce
//! ([`keywords`]), for which one SIMD pass finds the places to look at, and the operator's own patterns, by Vectorscan
//! ([`expressions`]). A rule yields [`Finding`](finding::Finding)s, which say what to cover; nothing here copies data out
//! of the buffer.

mod brands;
mod expressions;
pub(crate) mod finding;
mod keywords;
pub(crate) mod pan;
mod pattern;
mod rules;
pub(crate) mod stream;
mod track;

pub use pattern::CompileError;
pub use rules::{RuleSet, ScanError};
pub(crate) use rules::{Scratch, digits_length, with_scratch};

#[cfg(test)]
mod tests;

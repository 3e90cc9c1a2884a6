//! The only module with `unsafe` in it: SIMD classification of bytes and the C interface of Vectorscan.
//!
//! Everything it exports is safe to call with any argument.

mod simd;
mod vectorscan;

pub(crate) use simd::{Fingerprints, Hot, Sweep, Work, accelerated, classes, luhn_sum};
pub(crate) use vectorscan::{Database, Expression, HsError, expression_width};

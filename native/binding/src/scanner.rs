//! The scanner: see `index.d.ts`. Rule sets and row plans live in process-wide registries, so that every thread that
//! loads the addon shares them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use napi::bindgen_prelude::{Error, Result, Status, Uint8ArraySlice, Uint32ArraySlice};
use napi_derive::napi;
use sluice_core::postgres::{RowPlan, mask_rows as mask_row_run};
use sluice_core::scanner::{RuleSet, ScanError};

use crate::registry::registry;

registry!(RULES, RuleSet, "rule set");
registry!(PLANS, RowPlan, "row plan");

/// Compiles a rule set.
///
/// # Errors
/// Names the offending pattern or member.
#[napi]
#[expect(clippy::needless_pass_by_value, reason = "N-API hands over the string")]
pub fn compile_rules(spec: String) -> Result<u32> {
    guarded(|| RULES::add(RuleSet::compile(&spec).map_err(|error| invalid(error.to_string()))?))
}

/// Frees a rule set; a call under way keeps its own reference.
#[napi]
pub fn drop_rules(rules: u32) {
    RULES::remove(rules);
}

/// Names of the rules, in the order in which counts count them.
///
/// # Errors
/// The id names no rule set.
#[napi]
pub fn rule_names(rules: u32) -> Result<Vec<String>> {
    RULES::with(rules, |rules| Ok(rules.names().to_vec()))
}

/// Masks free text in place.
///
/// # Errors
/// A bad argument, or the text could not be scanned.
#[napi]
pub fn mask_text(rules: u32, mut buf: Uint8ArraySlice, off: u32, len: u32, mut counts: Uint32ArraySlice) -> Result<u32> {
    guarded(|| {
        RULES::with(rules, |rules| {
            let (text, counts) = target(&mut buf, off, len, &mut counts, rules.names().len())?;
            rules.mask_text(text, counts).map_err(failed)
        })
    })
}

/// Compiles a row plan.
///
/// # Errors
/// Names what is wrong with the specification.
#[napi]
#[expect(clippy::needless_pass_by_value, reason = "N-API hands over the string")]
pub fn compile_row_plan(spec: String) -> Result<u32> {
    guarded(|| PLANS::add(RowPlan::compile(&spec).map_err(|error| invalid(error.to_string()))?))
}

/// Frees a row plan; a call under way keeps its own reference.
#[napi]
pub fn drop_row_plan(plan: u32) {
    PLANS::remove(plan);
}

/// Masks a run of complete `DataRow` messages in place; returns the new length, -1 when malformed.
///
/// # Errors
/// A bad argument, or the run could not be scanned.
#[napi]
pub fn mask_rows(rules: u32, plan: u32, mut buf: Uint8ArraySlice, off: u32, len: u32, mut counts: Uint32ArraySlice) -> Result<f64> {
    guarded(|| {
        RULES::with(rules, |rules| {
            PLANS::with(plan, |plan| {
                let (run, counts) = target(&mut buf, off, len, &mut counts, rules.names().len() + 1)?;
                Ok(mask_row_run(rules, plan, run, counts).map_err(failed)?.map_or(-1.0, length))
            })
        })
    })
}

/// Lengths come from a `u32`, so they are exact.
#[expect(clippy::cast_precision_loss, reason = "never above 2^32")]
fn length(bytes: usize) -> f64 {
    bytes as f64
}

/// The bytes to mask and the counts, once it is certain that both are there and are not the same memory.
fn target<'a>(
    buf: &'a mut Uint8ArraySlice,
    off: u32,
    len: u32,
    counts: &'a mut Uint32ArraySlice,
    needed: usize,
) -> Result<(&'a mut [u8], &'a mut [u32])> {
    if counts.len() < needed {
        return Err(invalid(format!("counts has {} elements; it takes {needed}", counts.len())));
    }
    let counted = counts.as_ptr_range();
    let masked = buf.as_ptr_range();
    if !buf.is_empty() && masked.start.addr() < counted.end.addr() && counted.start.addr() < masked.end.addr() {
        return Err(invalid("counts lies inside the buffer".to_owned()));
    }
    let total = buf.len();
    // SAFETY: both are JavaScript's memory, which stays where it is while this call runs, and they do not overlap (seen
    // above). No JavaScript of this thread runs meanwhile; memory shared with other threads has one owner at a time by
    // the rule of whoever shares it.
    let (bytes, counts) = unsafe { (buf.as_mut(), counts.as_mut()) };
    let span = (off as usize).checked_add(len as usize).and_then(|end| bytes.get_mut(off as usize..end));
    match span {
        Some(span) => Ok((span, counts)),
        None => Err(invalid(format!("offset {off} and length {len} reach past the buffer of {total} bytes"))),
    }
}

fn invalid(message: String) -> Error {
    Error::new(Status::InvalidArg, message)
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function for map_err")]
fn failed(error: ScanError) -> Error {
    Error::new(Status::GenericFailure, error.to_string())
}

/// A panic must not cross into JavaScript: it becomes an Error, and the caller withholds the bytes.
fn guarded<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|_| Err(Error::new(Status::GenericFailure, "internal error in the scanner".to_owned())))
}

//! The scanner: see `index.d.ts`. Rule sets and row plans live in process-wide registries, so that every thread that
//! loads the addon shares them.
#![expect(clippy::needless_pass_by_value, reason = "N-API hands over the strings")]

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use napi::bindgen_prelude::{Error, Result, Status};
use napi_derive::napi;
use sluice_core::postgres::{
    CopyFormat, CopyOutcome, RowPlan, StreamKind, StreamMasker as Stream, mask_copy as mask_copy_run, mask_rows as mask_row_run,
};
use sluice_core::scanner::{RuleSet, ScanError};

use crate::call::{Bytes, Call, Counts, Function, invalid};
use crate::registry::registry;

registry!(RULES, RuleSet, "rule set");
registry!(PLANS, RowPlan, "row plan");

/// Compiles a rule set.
///
/// # Errors
/// Names the offending pattern or member.
#[napi]
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
pub(crate) struct MaskText;

impl Function for MaskText {
    const NAME: &'static CStr = c"maskText";

    fn call(call: &Call) -> Result<f64> {
        let (off, len) = (call.integer(2)?, call.integer(3)?);
        RULES::with(call.integer(0)?, |rules| {
            let (text, counts) = call.bytes(1)?.with_counts(off, len, call.counts(4)?, rules.names().len())?;
            Ok(f64::from(rules.mask_text(text, counts).map_err(failed)?))
        })
    }
}

/// Compiles a row plan.
///
/// # Errors
/// Names what is wrong with the specification.
#[napi]
pub fn compile_row_plan(spec: String) -> Result<u32> {
    guarded(|| PLANS::add(RowPlan::compile(&spec).map_err(|error| invalid(error.to_string()))?))
}

/// Frees a row plan; a call under way keeps its own reference.
#[napi]
pub fn drop_row_plan(plan: u32) {
    PLANS::remove(plan);
}

/// Masks a run of complete `DataRow` messages in place; returns the new length, -1 when malformed.
pub(crate) struct MaskRows;

impl Function for MaskRows {
    const NAME: &'static CStr = c"maskRows";

    fn call(call: &Call) -> Result<f64> {
        let (off, len) = (call.integer(3)?, call.integer(4)?);
        RULES::with(call.integer(0)?, |rules| {
            PLANS::with(call.integer(1)?, |plan| {
                let (run, counts) = call.bytes(2)?.with_counts(off, len, call.counts(5)?, rules.names().len() + 1)?;
                Ok(mask_row_run(rules, plan, run, counts).map_err(failed)?.map_or(-1.0, length))
            })
        })
    }
}

/// Masks a run of complete `CopyData` messages in place; returns the new length, -1 when malformed, -2 when it does not end
/// at the end of a row.
pub(crate) struct MaskCopy;

impl Function for MaskCopy {
    const NAME: &'static CStr = c"maskCopy";

    fn call(call: &Call) -> Result<f64> {
        let format = match call.integer(2)? {
            1 => CopyFormat::Text,
            2 => CopyFormat::Csv,
            3 => CopyFormat::Binary,
            other => return Err(invalid(format!("there is no COPY format {other}; 1 is text, 2 CSV, 3 binary"))),
        };
        let first = call.boolean(3)?;
        let (off, len) = (call.integer(5)?, call.integer(6)?);
        RULES::with(call.integer(0)?, |rules| {
            PLANS::with(call.integer(1)?, |plan| {
                let (run, counts) = call.bytes(4)?.with_counts(off, len, call.counts(7)?, rules.names().len() + 1)?;
                Ok(match mask_copy_run(rules, plan, format, first, run, counts).map_err(failed)? {
                    CopyOutcome::Masked(bytes) => length(bytes),
                    CopyOutcome::Malformed => -1.0,
                    CopyOutcome::Unfinished => -2.0,
                })
            })
        })
    }
}

/// Masks one row too large to hold whole.
#[napi]
pub struct StreamMasker {
    rules: Arc<RuleSet>,
    plan: Arc<RowPlan>,
    stream: Stream,
    /// It failed once: what it knows of the stream no longer holds.
    failed: bool,
}

#[napi]
impl StreamMasker {
    /// A stream at its beginning; it keeps its rule set and plan. `first`: it begins the COPY, with the header if there is one.
    ///
    /// # Errors
    /// An id that names nothing, or no such kind.
    #[napi(constructor)]
    pub fn new(rules: u32, plan: u32, kind: u32, first: Option<bool>) -> Result<Self> {
        let kind = match kind {
            0 => StreamKind::DataRow,
            1 => StreamKind::CopyText,
            2 => StreamKind::CopyCsv,
            3 => StreamKind::CopyBinary,
            other => {
                return Err(invalid(format!(
                    "there is no kind of stream {other}; 0 is a DataRow, 1 COPY text, 2 CSV, 3 binary"
                )));
            }
        };
        let plan = PLANS::get(plan)?;
        Ok(Self {
            rules: RULES::get(rules)?,
            stream: Stream::new(&plan, kind, first.unwrap_or(false)),
            plan,
            failed: false,
        })
    }

    /// Masks in place what it can; returns how many bytes are final.
    ///
    /// # Errors
    /// A bad argument, a broken stream, or a value that cannot carry a mask.
    #[napi]
    pub fn feed(&mut self, buf: Bytes<'_>, off: u32, len: u32, last: bool, counts: Counts<'_>) -> Result<f64> {
        if self.failed {
            return Err(invalid("the stream has failed before".to_owned()));
        }
        let (chunk, counts) = buf.with_counts(off, len, counts, self.rules.names().len() + 1)?;
        self.failed = true;
        let done = guarded(|| {
            self.stream
                .feed(&self.rules, &self.plan, chunk, last, counts)
                .map_err(|error| Error::new(Status::GenericFailure, error.to_string()))
        })?;
        self.failed = false;
        Ok(length(done))
    }

    /// The most bytes a call can leave unconsumed.
    #[napi(getter)]
    #[must_use]
    pub fn hold(&self) -> f64 {
        length(Stream::hold(&self.rules))
    }
}

/// Lengths come from a `u32`, so they are exact.
#[expect(clippy::cast_precision_loss, reason = "never above 2^32")]
fn length(bytes: usize) -> f64 {
    bytes as f64
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

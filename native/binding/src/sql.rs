//! SQL analysis: see `index.d.ts`. Texts are borrowed from the caller's buffer for the duration of the call.

use std::panic::{AssertUnwindSafe, catch_unwind};

use napi::bindgen_prelude::{Error, Result, Uint8ArraySlice};
use napi_derive::napi;

/// The id of a statement's shape, 0 when it has none.
///
/// # Errors
/// Offset and length reach past the buffer.
#[napi]
pub fn statement_shape(buf: Uint8ArraySlice, off: u32, len: u32) -> Result<u32> {
    let text = span("statementShape", &buf, off, len)?;
    guarded("statementShape", || Ok(sluice_sql::statement_shape(text)))
}

/// The analysis of a text as JSON.
///
/// # Errors
/// Offset and length reach past the buffer. Bad SQL is no error: the analysis says so.
#[napi]
pub fn analyze_sql(buf: Uint8ArraySlice, off: u32, len: u32) -> Result<String> {
    let text = span("analyzeSql", &buf, off, len)?;
    guarded("analyzeSql", || {
        serde_json::to_string(&sluice_sql::analyze(text)).map_err(|error| Error::from_reason(error.to_string()))
    })
}

fn span<'a>(function: &str, buf: &'a [u8], off: u32, len: u32) -> Result<&'a [u8]> {
    let (off, len) = (off as usize, len as usize);
    off.checked_add(len)
        .and_then(|end| buf.get(off..end))
        .ok_or_else(|| Error::from_reason(format!("{function}: offset and length reach past the buffer")))
}

/// A panic must not cross into JavaScript: it becomes an Error, and the caller denies.
fn guarded<T>(function: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|_| Err(Error::from_reason(format!("{function}: internal error"))))
}

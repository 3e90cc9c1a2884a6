//! SQL analysis: see `index.d.ts`. Texts are borrowed from the caller's buffer for the duration of the call.
#![expect(clippy::needless_pass_by_value, reason = "N-API hands over the strings")]

use std::collections::HashMap;
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use napi::bindgen_prelude::{Error, Result};
use napi_derive::napi;
use sluice_sql::Catalog;

use crate::call::{Bytes, Call, Function};

static CATALOGS: LazyLock<RwLock<HashMap<u32, Arc<Catalog>>>> = LazyLock::new(RwLock::default);
static NEXT: AtomicU32 = AtomicU32::new(1);

/// The id of a statement's shape, 0 when it has none.
pub(crate) struct StatementShape;

impl Function for StatementShape {
    const NAME: &'static CStr = c"statementShape";

    fn call(call: &Call) -> Result<f64> {
        let (off, len) = (call.integer(1)?, call.integer(2)?);
        Ok(f64::from(sluice_sql::statement_shape(call.bytes(0)?.read(off, len)?)))
    }
}

/// The analysis of a text as JSON.
///
/// # Errors
/// Offset and length reach past the buffer. Bad SQL is no error: the analysis says so.
#[napi]
pub fn analyze_sql(buf: Bytes<'_>, off: u32, len: u32) -> Result<String> {
    let text = buf.read(off, len)?;
    guarded("analyzeSql", || {
        serde_json::to_string(&sluice_sql::analyze(text)).map_err(|error| Error::from_reason(error.to_string()))
    })
}

/// The fingerprint of a text, 16 hexadecimal digits; "" for what does not parse.
///
/// # Errors
/// Offset and length reach past the buffer.
#[napi]
pub fn fingerprint_sql(buf: Bytes<'_>, off: u32, len: u32) -> Result<String> {
    let text = buf.read(off, len)?;
    guarded("fingerprintSql", || Ok(sluice_sql::fingerprint(text).unwrap_or_default()))
}

/// Compiles a catalog snapshot.
///
/// # Errors
/// The JSON is not a `CatalogSpec`.
#[napi]
pub fn compile_catalog(spec: String) -> Result<u32> {
    guarded("compileCatalog", || {
        let catalog = Catalog::compile(&spec).map_err(|error| Error::from_reason(format!("compileCatalog: {error}")))?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        CATALOGS
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, Arc::new(catalog));
        Ok(id)
    })
}

/// Frees a catalog; a call under way keeps its own reference.
#[napi]
pub fn drop_catalog(catalog: u32) {
    CATALOGS.write().unwrap_or_else(PoisonError::into_inner).remove(&catalog);
}

/// The outputs of the statements of a text as JSON.
///
/// # Errors
/// The id names no catalog, or offset and length reach past the buffer.
#[napi]
pub fn lineage(catalog: u32, buf: Bytes<'_>, off: u32, len: u32) -> Result<String> {
    let text = buf.read(off, len)?;
    guarded("lineage", || {
        let found = CATALOGS.read().unwrap_or_else(PoisonError::into_inner).get(&catalog).cloned();
        let catalog = found.ok_or_else(|| Error::from_reason(format!("lineage: no catalog has the id {catalog}")))?;
        serde_json::to_string(&sluice_sql::lineage(&catalog, text)).map_err(|error| Error::from_reason(error.to_string()))
    })
}

/// A panic must not cross into JavaScript: it becomes an Error, and the caller denies.
fn guarded<T>(function: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| Err(Error::from_reason(format!("{function}: internal error"))))
}

//! SQL analysis: see `index.d.ts`. Texts are borrowed from the caller's buffer for the duration of the call.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use napi::bindgen_prelude::{Error, FromNapiValue, Result, Status};
use napi::sys;
use napi_derive::napi;
use sluice_sql::Catalog;

static CATALOGS: LazyLock<RwLock<HashMap<u32, Arc<Catalog>>>> = LazyLock::new(RwLock::default);
static NEXT: AtomicU32 = AtomicU32::new(1);

/// A `Uint8Array` argument, borrowed for the call. Unlike napi's own slice it asks for nothing but address and length:
/// no handle to the `ArrayBuffer` is made, which is most of the cost of a call.
pub struct Borrowed {
    data: *const u8,
    len: usize,
}

impl FromNapiValue for Borrowed {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        let (mut kind, mut len, mut data) = (0, 0, std::ptr::null_mut());
        // SAFETY: `env` and `value` are those of the call under way; null is allowed for what is not asked for.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                env,
                value,
                &raw mut kind,
                &raw mut len,
                &raw mut data,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        if status != sys::Status::napi_ok || kind != sys::TypedarrayType::uint8_array {
            return Err(Error::new(Status::InvalidArg, "a Uint8Array is expected"));
        }
        Ok(Borrowed { data: data.cast_const().cast(), len })
    }
}

impl Borrowed {
    /// The bytes of `[off, off+len)`.
    fn span(&self, function: &str, off: u32, len: u32) -> Result<&[u8]> {
        let (off, len) = (off as usize, len as usize);
        if off.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(Error::from_reason(format!("{function}: offset and length reach past the buffer")));
        }
        if len == 0 {
            return Ok(&[]);
        }
        // SAFETY: the engine reported `self.len` bytes at `data`, the span lies within them, and the buffer lives for the
        // call. Memory shared with other threads is the caller's to keep still: buffers have one owner at a time.
        Ok(unsafe { std::slice::from_raw_parts(self.data.add(off), len) })
    }
}

/// The id of a statement's shape, 0 when it has none.
///
/// # Errors
/// Offset and length reach past the buffer.
#[napi]
pub fn statement_shape(buf: Borrowed, off: u32, len: u32) -> Result<u32> {
    let text = buf.span("statementShape", off, len)?;
    guarded("statementShape", || Ok(sluice_sql::statement_shape(text)))
}

/// The analysis of a text as JSON.
///
/// # Errors
/// Offset and length reach past the buffer. Bad SQL is no error: the analysis says so.
#[napi]
pub fn analyze_sql(buf: Borrowed, off: u32, len: u32) -> Result<String> {
    let text = buf.span("analyzeSql", off, len)?;
    guarded("analyzeSql", || {
        serde_json::to_string(&sluice_sql::analyze(text)).map_err(|error| Error::from_reason(error.to_string()))
    })
}

/// Compiles a catalog snapshot.
///
/// # Errors
/// The JSON is not a `CatalogSpec`.
#[napi]
#[expect(clippy::needless_pass_by_value, reason = "N-API hands over the string")]
pub fn compile_catalog(spec: String) -> Result<u32> {
    guarded("compileCatalog", || {
        let catalog =
            Catalog::compile(&spec).map_err(|error| Error::from_reason(format!("compileCatalog: {error}")))?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        CATALOGS.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::new(catalog));
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
pub fn lineage(catalog: u32, buf: Borrowed, off: u32, len: u32) -> Result<String> {
    let text = buf.span("lineage", off, len)?;
    guarded("lineage", || {
        let found = CATALOGS.read().unwrap_or_else(PoisonError::into_inner).get(&catalog).cloned();
        let catalog =
            found.ok_or_else(|| Error::from_reason(format!("lineage: no catalog has the id {catalog}")))?;
        serde_json::to_string(&sluice_sql::lineage(&catalog, text))
            .map_err(|error| Error::from_reason(error.to_string()))
    })
}

/// A panic must not cross into JavaScript: it becomes an Error, and the caller denies.
fn guarded<T>(function: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|_| Err(Error::from_reason(format!("{function}: internal error"))))
}

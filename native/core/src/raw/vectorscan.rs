//! The few functions of Vectorscan (the Hyperscan 5.4 interface) that the scanner needs, in block mode.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

#[repr(C)]
struct HsDatabase {
    _opaque: [u8; 0],
}

#[repr(C)]
struct HsScratch {
    _opaque: [u8; 0],
}

#[repr(C)]
struct HsCompileError {
    message: *mut c_char,
    expression: c_int,
}

#[repr(C)]
struct HsExprInfo {
    min_width: c_uint,
    max_width: c_uint,
    unordered_matches: c_char,
    matches_at_eod: c_char,
    matches_only_at_eod: c_char,
}

type OnEvent = unsafe extern "C" fn(c_uint, c_ulonglong, c_ulonglong, c_uint, *mut c_void) -> c_int;

unsafe extern "C" {
    fn hs_valid_platform() -> c_int;
    fn hs_compile_multi(
        expressions: *const *const c_char,
        flags: *const c_uint,
        ids: *const c_uint,
        elements: c_uint,
        mode: c_uint,
        platform: *const c_void,
        database: *mut *mut HsDatabase,
        error: *mut *mut HsCompileError,
    ) -> c_int;
    fn hs_free_compile_error(error: *mut HsCompileError) -> c_int;
    fn hs_free_database(database: *mut HsDatabase) -> c_int;
    fn hs_expression_info(expression: *const c_char, flags: c_uint, info: *mut *mut HsExprInfo, error: *mut *mut HsCompileError) -> c_int;
    fn hs_alloc_scratch(database: *const HsDatabase, scratch: *mut *mut HsScratch) -> c_int;
    fn hs_free_scratch(scratch: *mut HsScratch) -> c_int;
    fn hs_scan(
        database: *const HsDatabase,
        data: *const c_char,
        length: c_uint,
        flags: c_uint,
        scratch: *mut HsScratch,
        on_event: OnEvent,
        context: *mut c_void,
    ) -> c_int;
    /// Of the C library: `hs_expression_info` allocates its answer with the default allocator, malloc.
    fn free(pointer: *mut c_void);
}

const HS_SUCCESS: c_int = 0;
const HS_SCAN_TERMINATED: c_int = -3;
const HS_MODE_BLOCK: c_uint = 1;
const HS_FLAG_DOTALL: c_uint = 2;
const HS_FLAG_SOM_LEFTMOST: c_uint = 256;

/// What Vectorscan said. `expression` is the index of the one it could not compile.
#[derive(Debug)]
pub(crate) struct HsError {
    pub expression: Option<usize>,
    pub message: String,
}

impl fmt::Display for HsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// One expression of a database; matches are reported under its `id`.
pub(crate) struct Expression {
    pub regex: CString,
    pub id: u32,
    /// Report where a match begins too. Costs speed.
    pub start: bool,
}

impl Expression {
    fn flags(&self) -> c_uint {
        HS_FLAG_DOTALL | if self.start { HS_FLAG_SOM_LEFTMOST } else { 0 }
    }
}

/// A compiled set of expressions, immutable and shared by threads.
#[derive(Debug)]
pub(crate) struct Database {
    handle: NonNull<HsDatabase>,
    serial: u64,
}

// SAFETY: a compiled database is read-only; Hyperscan documents that any number of threads may scan with one, each with
// its own scratch, which is what `SCRATCH` below gives them.
unsafe impl Send for Database {}
// SAFETY: as above.
unsafe impl Sync for Database {}

impl Database {
    pub(crate) fn compile(expressions: &[Expression]) -> Result<Self, HsError> {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let plain = |message: &str| HsError {
            expression: None,
            message: message.to_owned(),
        };
        let count = c_uint::try_from(expressions.len()).map_err(|_| plain("too many patterns"))?;
        let regexes: Vec<*const c_char> = expressions.iter().map(|e| e.regex.as_ptr()).collect();
        let flags: Vec<c_uint> = expressions.iter().map(Expression::flags).collect();
        let ids: Vec<c_uint> = expressions.iter().map(|e| e.id).collect();
        let mut handle = ptr::null_mut();
        let mut error = ptr::null_mut();
        // SAFETY: hs_valid_platform has no precondition. The three arrays hold `count` elements and outlive the call,
        // the strings are NUL-terminated and borrowed from `expressions`, and both out-pointers are valid. A null
        // platform means this machine.
        let status = unsafe {
            if hs_valid_platform() != HS_SUCCESS {
                return Err(plain("Vectorscan does not run on this processor (it needs SSE4.2 or NEON)"));
            }
            hs_compile_multi(
                regexes.as_ptr(),
                flags.as_ptr(),
                ids.as_ptr(),
                count,
                HS_MODE_BLOCK,
                ptr::null(),
                &raw mut handle,
                &raw mut error,
            )
        };
        match NonNull::new(handle) {
            Some(handle) if status == HS_SUCCESS => Ok(Self {
                handle,
                serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            }),
            _ => Err(take_error(error)),
        }
    }

    /// Calls `on_match(id, start, end)` for every end of every match; `start` is 0 unless asked for at compilation.
    /// Stops when it returns false. An error of Vectorscan itself (out of memory) comes back as `Err`.
    pub(crate) fn scan<F: FnMut(u32, usize, usize) -> bool>(&self, text: &[u8], mut on_match: F) -> Result<(), HsError> {
        let length = c_uint::try_from(text.len()).map_err(|_| HsError {
            expression: None,
            message: "the text exceeds 4 GB".to_owned(),
        })?;
        SCRATCH.with_borrow_mut(|scratch| {
            let scratch = scratch.for_database(self)?;
            // SAFETY: the database is live as long as `self`; `text` is `length` readable bytes; the scratch belongs to
            // this thread, was sized for this database and is in use by this call alone (the borrow above is
            // exclusive); `report::<F>` gets back the `F` that the context points to, which outlives the call.
            let status = unsafe {
                hs_scan(
                    self.handle.as_ptr(),
                    text.as_ptr().cast(),
                    length,
                    0,
                    scratch,
                    report::<F>,
                    (&raw mut on_match).cast(),
                )
            };
            match status {
                HS_SUCCESS | HS_SCAN_TERMINATED => Ok(()),
                code => Err(HsError {
                    expression: None,
                    message: format!("Vectorscan failed with code {code}"),
                }),
            }
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: the handle came from hs_compile_multi and is freed once; no scan can run, it would borrow `self`.
        unsafe { hs_free_database(self.handle.as_ptr()) };
    }
}

/// # Safety
/// `context` points to a live `F` that nothing else uses meanwhile. A panic in `F` would abort: callers pass none that can.
unsafe extern "C" fn report<F: FnMut(u32, usize, usize) -> bool>(
    id: c_uint,
    from: c_ulonglong,
    to: c_ulonglong,
    _flags: c_uint,
    context: *mut c_void,
) -> c_int {
    // SAFETY: see above; `scan` passes exactly that.
    let on_match = unsafe { &mut *context.cast::<F>() };
    // A block is below 4 GB, so the offsets fit.
    c_int::from(!on_match(id, from as usize, to as usize))
}

/// The longest a match of the expression can be; `None` when there is no bound.
pub(crate) fn expression_width(expression: &Expression) -> Result<Option<u32>, HsError> {
    let mut info = ptr::null_mut();
    let mut error = ptr::null_mut();
    // SAFETY: the string is NUL-terminated and outlives the call, both out-pointers are valid.
    let status = unsafe { hs_expression_info(expression.regex.as_ptr(), expression.flags(), &raw mut info, &raw mut error) };
    if status != HS_SUCCESS || info.is_null() {
        return Err(take_error(error));
    }
    // SAFETY: on success `info` points to a filled structure, allocated with malloc and ours to free, once.
    let width = unsafe {
        let width = (*info).max_width;
        free(info.cast());
        width
    };
    Ok((width != c_uint::MAX).then_some(width))
}

fn take_error(error: *mut HsCompileError) -> HsError {
    if error.is_null() {
        return HsError {
            expression: None,
            message: "Vectorscan gave no reason".to_owned(),
        };
    }
    // SAFETY: a non-null error is a valid structure with a NUL-terminated message, ours to free, once.
    unsafe {
        let message = CStr::from_ptr((*error).message).to_string_lossy().into_owned();
        let expression = usize::try_from((*error).expression).ok();
        hs_free_compile_error(error);
        HsError { expression, message }
    }
}

/// The working memory of one thread. It grows to fit every database the thread has scanned with.
struct Scratch {
    handle: *mut HsScratch,
    sized_for: Vec<u64>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch { handle: ptr::null_mut(), sized_for: Vec::new() }) };
}

impl Scratch {
    fn for_database(&mut self, database: &Database) -> Result<*mut HsScratch, HsError> {
        if !self.sized_for.contains(&database.serial) {
            // SAFETY: the handle is null or came from an earlier call and is not in use (exclusive borrow); the call
            // reallocates it when it is too small.
            let status = unsafe { hs_alloc_scratch(database.handle.as_ptr(), &raw mut self.handle) };
            if status != HS_SUCCESS {
                return Err(HsError {
                    expression: None,
                    message: format!("no scratch for Vectorscan: code {status}"),
                });
            }
            // Serials are never reused; forgetting old ones only costs a second look at the size.
            if self.sized_for.len() >= 32 {
                self.sized_for.clear();
            }
            self.sized_for.push(database.serial);
        }
        Ok(self.handle)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: null (a no-op) or allocated by hs_alloc_scratch, freed once, at the end of its thread.
        unsafe { hs_free_scratch(self.handle) };
    }
}

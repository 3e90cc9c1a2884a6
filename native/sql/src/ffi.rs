//! The C entry points of `libpg_query` that this crate calls itself: the `pg_query` crate's own wrappers drop the position
//! of a syntax error, and walk the tree once more for lists that we do not use.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;

#[repr(C)]
struct PgQueryError {
    message: *mut c_char,
    funcname: *mut c_char,
    filename: *mut c_char,
    lineno: c_int,
    cursorpos: c_int,
    context: *mut c_char,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct PgQueryProtobuf {
    len: usize,
    data: *mut c_char,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct PgQueryProtobufParseResult {
    parse_tree: PgQueryProtobuf,
    stderr_buffer: *mut c_char,
    error: *mut PgQueryError,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct PgQueryFingerprintResult {
    fingerprint: u64,
    fingerprint_str: *mut c_char,
    stderr_buffer: *mut c_char,
    error: *mut PgQueryError,
}

unsafe extern "C" {
    fn pg_query_parse_protobuf(input: *const c_char) -> PgQueryProtobufParseResult;
    fn pg_query_free_protobuf_parse_result(result: PgQueryProtobufParseResult);
    fn pg_query_fingerprint(input: *const c_char) -> PgQueryFingerprintResult;
    fn pg_query_free_fingerprint_result(result: PgQueryFingerprintResult);
}

/// Why PostgreSQL's parser refused a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The parser's message; it can quote the text near the error.
    pub message: String,
    /// Character position as PostgreSQL reports it, 1-based; 0 when there is none.
    pub position: u32,
}

/// A parse tree in protobuf, owned by C.
pub struct ParseTree(PgQueryProtobufParseResult);

impl ParseTree {
    /// The encoded `ParseResult` message.
    pub fn bytes(&self) -> &[u8] {
        let tree = self.0.parse_tree;
        match NonNull::new(tree.data) {
            // SAFETY: without an error the C side guarantees `len` initialised bytes at `data`, which live until `drop`.
            Some(data) => unsafe { std::slice::from_raw_parts(data.as_ptr().cast::<u8>(), tree.len) },
            None => &[],
        }
    }
}

impl Drop for ParseTree {
    fn drop(&mut self) {
        // SAFETY: the result came from `pg_query_parse_protobuf` and is freed once, here.
        unsafe { pg_query_free_protobuf_parse_result(self.0) }
    }
}

/// SAFETY: `error` is what libpg_query returned and has not been freed.
unsafe fn syntax_error(error: NonNull<PgQueryError>) -> SyntaxError {
    // SAFETY: by this function's contract the struct is live.
    let error = unsafe { error.as_ref() };
    let message = if error.message.is_null() {
        String::from("syntax error")
    } else {
        // SAFETY: libpg_query's messages are NUL-terminated copies (strdup).
        unsafe { CStr::from_ptr(error.message) }.to_string_lossy().into_owned()
    };
    SyntaxError {
        message,
        position: u32::try_from(error.cursorpos).unwrap_or(0),
    }
}

/// Parses a text with PostgreSQL's own grammar. Deep nesting is an error: libpg_query measures the stack it stands on.
///
/// # Errors
/// What the parser says, with the position.
pub fn parse(text: &CString) -> Result<ParseTree, SyntaxError> {
    // SAFETY: `text` is NUL-terminated and outlives the call; `ParseTree` frees the result on every path.
    let tree = ParseTree(unsafe { pg_query_parse_protobuf(text.as_ptr()) });
    match NonNull::new(tree.0.error) {
        // SAFETY: the error belongs to `tree`, which is alive.
        Some(error) => Err(unsafe { syntax_error(error) }),
        None => Ok(tree),
    }
}

/// `pg_query`'s fingerprint of a text in 16 hex digits, or "" when it has none.
pub fn fingerprint(text: &CString) -> String {
    // SAFETY: `text` is NUL-terminated and outlives the call; the result is freed once, below.
    let result = unsafe { pg_query_fingerprint(text.as_ptr()) };
    let hex = if result.error.is_null() && !result.fingerprint_str.is_null() {
        // SAFETY: without an error this is a NUL-terminated string.
        unsafe { CStr::from_ptr(result.fingerprint_str) }.to_string_lossy().into_owned()
    } else {
        String::new()
    };
    // SAFETY: as above.
    unsafe { pg_query_free_fingerprint_result(result) };
    hex
}

//! The C side (`csrc/tree.c`): PostgreSQL's own grammar, and its tree as a list of items.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, NonNull};

// Links the C library that `csrc/tree.c` calls.
use pg_query as _;

#[repr(C)]
struct PgQueryError {
    message: *mut c_char,
    funcname: *mut c_char,
    filename: *mut c_char,
    lineno: c_int,
    cursorpos: c_int,
    context: *mut c_char,
}

/// Numbers of `SluiceKind` in `csrc/tree.c`.
pub mod kind {
    pub const STATEMENT: u16 = 0;
    pub const NODE: u16 = 1;
    pub const LIST: u16 = 2;
    pub const NULL: u16 = 3;
    pub const INTEGER: u16 = 4;
    pub const BOOLEAN: u16 = 5;
    pub const STRING: u16 = 6;
    pub const CONSTANT_NULL: u16 = 7;
    pub const CONSTANT_INTEGER: u16 = 8;
    pub const CONSTANT_FLOAT: u16 = 9;
    pub const CONSTANT_BOOLEAN: u16 = 10;
    pub const CONSTANT_STRING: u16 = 11;
    pub const CONSTANT_BIT_STRING: u16 = 12;
}

/// One item of a tree; see `SluiceItem` in `csrc/tree.c`.
#[repr(C)]
pub struct Item {
    field: *const c_char,
    text: *const c_char,
    /// The number; of a node its fields, of a list its elements that follow; of a statement its start.
    pub number: i64,
    /// Length of the text; of a statement its own.
    pub length: u32,
    field_length: u16,
    /// One of [`kind`].
    pub kind: u16,
}

impl Item {
    /// Name of the field that holds this; "" in a list.
    pub fn field(&self) -> &'static str {
        // SAFETY: C takes names of fields from its own string literals, which are ASCII.
        unsafe { text_of(self.field, self.field_length.into()) }
    }

    /// Of a node, its kind.
    pub fn node_kind(&self) -> Option<&'static str> {
        // SAFETY: C takes kinds of nodes from its own string literals, which are ASCII.
        (self.kind == kind::NODE).then(|| unsafe { text_of(self.text, self.length as usize) })
    }

    /// The text of a string or a constant; None when it is not UTF-8.
    pub fn text(&self) -> Option<&str> {
        if self.text.is_null() || self.kind == kind::STATEMENT {
            return Some("");
        }
        // SAFETY: `length` bytes lie at `text`, which live as long as the tree that lends this item.
        let bytes = unsafe { std::slice::from_raw_parts(self.text.cast::<u8>(), self.length as usize) };
        std::str::from_utf8(bytes).ok()
    }
}

/// # Safety
/// `length` bytes of UTF-8 lie at `text` for good, or it is null.
unsafe fn text_of(text: *const c_char, length: usize) -> &'static str {
    if text.is_null() {
        return "";
    }
    // SAFETY: as this function's own.
    unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(text.cast::<u8>(), length)) }
}

#[repr(C)]
struct SluiceTree {
    items: *const Item,
    count: usize,
    error: *mut PgQueryError,
    stderr_buffer: *mut c_char,
    context: *mut c_void,
}

unsafe extern "C" {
    fn sluice_tree_parse(text: *const c_char, most: usize, tree: *mut SluiceTree);
    fn sluice_tree_free(tree: *mut SluiceTree);
}

/// Why PostgreSQL's parser refused a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The parser's message; it can quote the text near the error.
    pub message: String,
    /// Character position as PostgreSQL reports it, 1-based; 0 when there is none.
    pub position: u32,
}

/// Frees on every path, also when the reader panics.
struct Owned(SluiceTree);

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the tree came from `sluice_tree_parse` on this thread and is freed once, here.
        unsafe { sluice_tree_free(&raw mut self.0) }
    }
}

/// Parses a text with PostgreSQL's own grammar and gives `read` the items of its tree, at most `most`. Deep nesting is an error:
/// C measures the stack it stands on. `read` must not parse.
///
/// # Errors
/// What the parser says, with the position.
pub fn parse<T>(text: &CStr, most: usize, read: impl FnOnce(&[Item]) -> T) -> Result<T, SyntaxError> {
    let mut tree = Owned(SluiceTree {
        items: ptr::null(),
        count: 0,
        error: ptr::null_mut(),
        stderr_buffer: ptr::null_mut(),
        context: ptr::null_mut(),
    });
    // SAFETY: `text` is NUL-terminated and outlives the call; the tree is freed by its owner before the next one.
    unsafe { sluice_tree_parse(text.as_ptr(), most, &raw mut tree.0) };
    if let Some(error) = NonNull::new(tree.0.error) {
        // SAFETY: the error belongs to `tree`, which is alive.
        return Err(unsafe { syntax_error(error) });
    }
    // SAFETY: without an error `count` items lie at `items`, which live until the tree is freed.
    let items =
        NonNull::new(tree.0.items.cast_mut()).map_or(&[][..], |items| unsafe { std::slice::from_raw_parts(items.as_ptr(), tree.0.count) });
    Ok(read(items))
}

/// # Safety
/// `error` points to an error that C made and has not freed.
unsafe fn syntax_error(error: NonNull<PgQueryError>) -> SyntaxError {
    // SAFETY: as this function's own.
    let error = unsafe { error.as_ref() };
    let message = if error.message.is_null() {
        "syntax error".to_owned()
    } else {
        // SAFETY: C's messages are NUL-terminated.
        unsafe { CStr::from_ptr(error.message) }.to_string_lossy().into_owned()
    };
    SyntaxError {
        message,
        position: u32::try_from(error.cursorpos).unwrap_or(0),
    }
}

//! From bytes to trees: bounds, spans, and a stack that is large enough.

use std::cell::RefCell;
use std::ffi::CString;

use crate::ffi;
use crate::tree::Node;
use crate::tree::read;

/// Texts up to this length are worked on where the caller stands. A level of nesting takes at least two bytes of text, so
/// they cannot need more than about a megabyte of stack.
const INLINE_TEXT: usize = 1024;
/// For longer texts. libpg_query bounds the depth of a tree (10,000 levels, 2 MB of its own frames), which bounds ours.
/// Only what is touched is ever backed by memory.
const BIG_STACK: usize = 256 << 20;
/// Trees of more nodes and fields than this are refused: each takes a hundred bytes or so while the tree is read.
const MAX_ITEMS: usize = 4 << 20;

/// Why a text has no analysis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// For people; can quote the text.
    pub message: String,
    /// 1-based character position, when there is one.
    pub position: Option<u32>,
}

impl ParseError {
    pub(crate) fn new(message: &str) -> Self {
        ParseError {
            message: message.into(),
            position: None,
        }
    }
}

/// One statement of a text.
#[derive(Debug)]
pub struct Statement {
    /// The statement's node.
    pub node: Node,
    /// Byte span in the text, without surrounding white space.
    pub start: usize,
    /// End of the span.
    pub end: usize,
}

/// Runs `work` where the stack is large enough for trees of a text of `len` bytes.
///
/// # Errors
/// When no thread can be had, or the work panicked.
pub fn with_stack<T: Send>(len: usize, work: impl FnOnce() -> T + Send) -> Result<T, ParseError> {
    if len <= INLINE_TEXT {
        return Ok(work());
    }
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(BIG_STACK)
            .spawn_scoped(scope, work)
            .map_err(|_| ParseError::new("no thread for a long statement"))?
            .join()
            .map_err(|_| ParseError::new("internal error in SQL analysis"))
    })
}

/// The text as C wants it.
///
/// # Errors
/// On NUL bytes and invalid UTF-8, which PostgreSQL refuses too.
pub fn to_c_text(sql: &[u8]) -> Result<CString, ParseError> {
    if std::str::from_utf8(sql).is_err() {
        return Err(ParseError::new("invalid byte sequence for encoding \"UTF8\""));
    }
    CString::new(sql).map_err(|_| ParseError::new("a statement cannot contain a NUL byte"))
}

thread_local! {
    /// What was kept last, with its text.
    static KEPT: RefCell<(Vec<u8>, Vec<Statement>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Keeps the statements of a short text for the next [`parse`] of it on this thread: where results come from is nearly always
/// asked right after what the statement does.
pub fn keep(sql: &[u8], statements: Vec<Statement>) {
    if sql.len() <= INLINE_TEXT {
        KEPT.with_borrow_mut(|(text, kept)| {
            text.clear();
            text.extend_from_slice(sql);
            *kept = statements;
        });
    }
}

/// Parses a text into its statements. Call it inside [`with_stack`].
///
/// # Errors
/// A syntax error with its position, or a text that is too large, too deep or not UTF-8.
pub fn parse(sql: &[u8]) -> Result<Vec<Statement>, ParseError> {
    let kept = KEPT.with_borrow_mut(|(text, statements)| (text == sql).then(|| std::mem::take(statements)));
    match kept {
        // Without statements it was taken before, or there are none.
        Some(statements) if !statements.is_empty() => Ok(statements),
        _ => parse_anew(sql),
    }
}

/// The same, whatever was kept.
///
/// # Errors
/// As [`parse`].
pub fn parse_anew(sql: &[u8]) -> Result<Vec<Statement>, ParseError> {
    let text = to_c_text(sql)?;
    let read = ffi::parse(&text, MAX_ITEMS, read::statements).map_err(|e| ParseError {
        message: e.message,
        position: (e.position > 0).then_some(e.position),
    })?;
    let raw = read.map_err(|_| ParseError::new("the parse tree cannot be read"))?;
    let mut statements = Vec::with_capacity(raw.len());
    for read::RawStatement { node, start, length } in raw {
        let start = start.min(sql.len());
        // The parser leaves the length of the last statement 0: it ends with the text.
        let end = if length == 0 { sql.len() } else { (start + length).min(sql.len()) };
        let (start, end) = trim(sql, start, end);
        statements.push(Statement { node, start, end });
    }
    Ok(statements)
}

fn trim(sql: &[u8], start: usize, end: usize) -> (usize, usize) {
    let span = sql.get(start..end).unwrap_or_default();
    let left = span.len() - span.trim_ascii_start().len();
    let right = span.len() - span.trim_ascii_end().len();
    (start + left.min(span.len()), (end - right).max(start + left))
}

//! From bytes to trees: bounds, spans, and a stack that is large enough.

use std::ffi::CString;

use prost::Message;

use crate::convert;
use crate::ffi;
use crate::tree::{Node, Value};

/// Texts up to this length are worked on where the caller stands. A level of nesting takes at least two bytes of text, so
/// they cannot need more than about a megabyte of stack.
const INLINE_TEXT: usize = 1024;
/// For longer texts. libpg_query bounds the depth of a tree (10,000 levels, 2 MB of its own frames), which bounds ours.
/// Only what is touched is ever backed by memory.
const BIG_STACK: usize = 256 << 20;
/// Encoded trees beyond this are refused: they take some fifty times their size in memory while they are converted.
const MAX_TREE: usize = 32 << 20;

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

/// Parses a text into its statements. Call it inside [`with_stack`].
///
/// # Errors
/// A syntax error with its position, or a text that is too large, too deep or not UTF-8.
pub fn parse(sql: &[u8]) -> Result<Vec<Statement>, ParseError> {
    let text = to_c_text(sql)?;
    let tree = ffi::parse(&text).map_err(|e| ParseError {
        message: e.message,
        position: (e.position > 0).then_some(e.position),
    })?;
    if tree.bytes().len() > MAX_TREE {
        return Err(ParseError::new("the statement is too complex"));
    }
    let message = pg_query::protobuf::ParseResult::decode(tree.bytes()).map_err(|_| ParseError::new("the parse tree cannot be read"))?;
    drop(tree);
    let mut statements = Vec::with_capacity(message.stmts.len());
    for raw in message.stmts {
        let (location, length) = (raw.stmt_location, raw.stmt_len);
        let value = convert::to_value(&raw.stmt).map_err(|e| ParseError::new(&e.to_string()))?;
        let Value::Node(node) = value else {
            return Err(ParseError::new("the parser left a statement empty"));
        };
        let start = usize::try_from(location).unwrap_or(0).min(sql.len());
        // The parser leaves the length of the last statement 0: it ends with the text.
        let end = usize::try_from(length)
            .ok()
            .filter(|n| *n > 0)
            .map_or(sql.len(), |n| (start + n).min(sql.len()));
        let (start, end) = trim(sql, start, end);
        statements.push(Statement { node: *node, start, end });
    }
    Ok(statements)
}

fn trim(sql: &[u8], start: usize, end: usize) -> (usize, usize) {
    let span = sql.get(start..end).unwrap_or_default();
    let left = span.len() - span.trim_ascii_start().len();
    let right = span.len() - span.trim_ascii_end().len();
    (start + left.min(span.len()), (end - right).max(start + left))
}

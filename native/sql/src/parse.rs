//! From bytes to trees: bounds, spans, and a stack that is large enough.

use std::cell::RefCell;
use std::ffi::CString;

use bumpalo::Bump;

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
pub struct Statement<'t> {
    /// The statement's node.
    pub node: &'t Node<'t>,
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
    /// The trees of the last short text of this thread: where results come from is nearly always asked right after what the
    /// statement does. Its arena is used again for the next text. Empty while it is worked on.
    static KEPT: RefCell<Option<Trees>> = const { RefCell::new(None) };
}

/// What `work` makes of the statements of a text. Call it inside [`with_stack`].
///
/// # Errors
/// A syntax error with its position, or a text that is too large, too deep or not UTF-8.
pub fn parse<T>(sql: &[u8], work: impl FnOnce(&[Statement<'_>]) -> T) -> Result<T, ParseError> {
    let mut trees = KEPT.take().unwrap_or_default();
    if trees.text != sql || trees.statements().is_empty() {
        trees.read(sql)?;
    }
    let result = work(trees.statements());
    if sql.len() <= INLINE_TEXT {
        KEPT.set(Some(trees));
    }
    Ok(result)
}

/// The trees of a text with the arena that they lie in.
#[derive(Default)]
struct Trees {
    text: Vec<u8>,
    /// Lie in `arena`. Their lifetime is that of the borrow in `statements`.
    statements: Vec<Statement<'static>>,
    arena: Bump,
}

impl Trees {
    fn statements(&self) -> &[Statement<'_>] {
        &self.statements
    }

    fn read(&mut self, sql: &[u8]) -> Result<(), ParseError> {
        self.text.clear();
        self.statements.clear();
        self.arena.reset();
        let arena = &raw const self.arena;
        // SAFETY: what is borrowed lies in the arena's chunks, which stay where they are until `reset` above or the drop of
        // `self`; `statements` is emptied before the one and gone with the other, and lends nothing for longer than `self`.
        let arena = unsafe { &*arena };
        self.statements = read(sql, arena)?;
        self.text.extend_from_slice(sql);
        Ok(())
    }
}

fn read<'t>(sql: &[u8], arena: &'t Bump) -> Result<Vec<Statement<'t>>, ParseError> {
    let text = to_c_text(sql)?;
    let read = ffi::parse(&text, MAX_ITEMS, |items| read::statements(items, arena)).map_err(|e| ParseError {
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

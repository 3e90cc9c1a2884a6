//! From the items of the C side to nodes.

use bumpalo::Bump;

use super::{Literal, Node, Value};
use crate::ffi::{Item, kind};

/// Why the items make no tree: none of it can happen unless the C side is wrong, but for text that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// A statement with its span as the parser gives it.
pub struct RawStatement<'t> {
    /// The statement.
    pub node: &'t Node<'t>,
    /// Byte position in the text.
    pub start: usize,
    /// Its length; 0 when it ends with the text.
    pub length: usize,
}

/// The statements of a text, with all that they hold in `arena`.
///
/// # Errors
/// See [`Unreadable`].
pub fn statements<'t>(items: &[Item], arena: &'t Bump) -> Result<Vec<RawStatement<'t>>, Unreadable> {
    let mut reader = Reader {
        items: items.iter(),
        arena,
    };
    let mut statements = Vec::with_capacity(1);
    while let Some(item) = reader.items.next() {
        let (kind::STATEMENT, Value::Node(node)) = (item.kind, reader.value()?.1) else {
            return Err(Unreadable);
        };
        statements.push(RawStatement {
            node,
            start: usize::try_from(item.number).unwrap_or(0),
            length: item.length as usize,
        });
    }
    Ok(statements)
}

struct Reader<'items, 't> {
    items: std::slice::Iter<'items, Item>,
    arena: &'t Bump,
}

impl<'t> Reader<'_, 't> {
    /// The next value with the field that holds it.
    fn value(&mut self) -> Result<(&'static str, Value<'t>), Unreadable> {
        let arena = self.arena;
        let item = self.items.next().ok_or(Unreadable)?;
        let text = || item.text().map(|text| &*arena.alloc_str(text)).ok_or(Unreadable);
        let value = match item.kind {
            kind::NODE => {
                let count = self.count(item)?;
                Value::Node(arena.alloc(Node {
                    kind: item.node_kind().ok_or(Unreadable)?,
                    fields: arena.alloc_slice_try_fill_with(count, |_| self.value())?,
                }))
            }
            kind::LIST => {
                let count = self.count(item)?;
                Value::List(arena.alloc_slice_try_fill_with(count, |_| self.value().map(|(_, value)| value))?)
            }
            kind::NULL => Value::None,
            kind::INTEGER => Value::Int(item.number),
            kind::BOOLEAN => Value::Bool(true),
            kind::STRING => Value::Str(text()?),
            kind::CONSTANT_NULL => Value::Literal(Literal::Null),
            kind::CONSTANT_INTEGER => Value::Literal(Literal::Integer(item.number)),
            kind::CONSTANT_FLOAT => Value::Literal(Literal::Float(text()?)),
            kind::CONSTANT_BOOLEAN => Value::Literal(Literal::Boolean(item.number != 0)),
            kind::CONSTANT_STRING => Value::Literal(Literal::String(text()?)),
            kind::CONSTANT_BIT_STRING => Value::Literal(Literal::BitString(text()?)),
            _ => return Err(Unreadable),
        };
        Ok((item.field(), value))
    }

    /// How many values follow as parts of this one: no more than there are.
    fn count(&self, item: &Item) -> Result<usize, Unreadable> {
        usize::try_from(item.number)
            .ok()
            .filter(|count| *count <= self.items.len())
            .ok_or(Unreadable)
    }
}

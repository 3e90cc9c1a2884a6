//! Binary formats that hold other values.

use super::binary::read_i32;
use super::plan::Column;
use super::types::Class;

/// A value inside of another one: how to read it, and where it lies.
pub(super) type Inner = (Column, usize, usize);

/// The values inside of a value in binary format, without those that are NULL; `None` when it holds none, or is not laid out
/// like that to the last byte. Of an unknown type every layout is tried.
pub(super) fn values(class: Class, bytes: &[u8]) -> Option<Vec<Inner>> {
    match class {
        Class::Array(_) => array(bytes),
        Class::Record => record(bytes),
        Class::Range(of) => range(bytes, of),
        Class::Multirange(of) => multirange(bytes, of),
        Class::Unknown => array(bytes)
            .or_else(|| record(bytes))
            .or_else(|| multirange(bytes, 0))
            .or_else(|| range(bytes, 0)),
        _ => None,
    }
}

fn record(bytes: &[u8]) -> Option<Vec<Inner>> {
    let count = usize::try_from(read_i32(bytes, 0)?).ok()?;
    let mut at = 4;
    let mut fields = Vec::new();
    for _ in 0..count {
        let oid = read_i32(bytes, at)?.cast_unsigned();
        at = field(bytes, at + 4, Column::nested(oid), &mut fields)?;
    }
    (at == bytes.len() && count > 0).then_some(fields)
}

fn array(bytes: &[u8]) -> Option<Vec<Inner>> {
    let dimensions = usize::try_from(read_i32(bytes, 0)?).ok().filter(|n| (1..=6).contains(n))?;
    // Whether there are NULLs: a record has a type in this place.
    read_i32(bytes, 4).filter(|flag| matches!(flag, 0 | 1))?;
    let oid = read_i32(bytes, 8)?.cast_unsigned();
    let mut count = 1usize;
    for dimension in 0..dimensions {
        count = count.checked_mul(usize::try_from(read_i32(bytes, 12 + 8 * dimension)?).ok()?)?;
    }
    let mut at = 12 + 8 * dimensions;
    let mut elements = Vec::new();
    for _ in 0..count {
        at = field(bytes, at, Column::nested(oid), &mut elements)?;
    }
    (at == bytes.len()).then_some(elements)
}

/// No lower bound, no upper bound, and nothing at all (`rangetypes.h`).
const EMPTY: u8 = 0x01;
const LOWER_INFINITE: u8 = 0x08;
const UPPER_INFINITE: u8 = 0x10;
const KNOWN_FLAGS: u8 = 0x1f;

fn range(bytes: &[u8], of: u32) -> Option<Vec<Inner>> {
    let flags = *bytes.first().filter(|flags| **flags & !KNOWN_FLAGS == 0)?;
    let mut at = 1;
    let mut bounds = Vec::new();
    for infinite in [LOWER_INFINITE, UPPER_INFINITE] {
        if flags & (infinite | EMPTY) == 0 {
            at = field(bytes, at, Column::nested(of), &mut bounds)?;
        }
    }
    (at == bytes.len()).then_some(bounds)
}

fn multirange(bytes: &[u8], of: u32) -> Option<Vec<Inner>> {
    let count = usize::try_from(read_i32(bytes, 0)?).ok()?;
    let mut at = 4;
    let mut ranges = Vec::new();
    for _ in 0..count {
        at = field(bytes, at, Column::inner(Class::Range(of)), &mut ranges)?;
    }
    let whole = at == bytes.len() && count > 0;
    let is_range = |(_, start, end): &Inner| bytes.get(*start..*end).is_some_and(|inner| range(inner, of).is_some());
    (whole && ranges.iter().all(is_range)).then_some(ranges)
}

/// The value behind the length at `at`; returns where the next one is.
fn field(bytes: &[u8], at: usize, column: Column, fields: &mut Vec<Inner>) -> Option<usize> {
    let length = read_i32(bytes, at)?;
    let start = at + 4;
    if length == -1 {
        return Some(start);
    }
    let end = start.checked_add(usize::try_from(length).ok()?).filter(|end| *end <= bytes.len())?;
    fields.push((column, start, end));
    Some(end)
}

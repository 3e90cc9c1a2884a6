//! Masks one value.

use super::escape::Unescaped;
use super::plan::{Column, Mask};
use super::types::{Class, Element};
use super::{binary, json, nested, numbers};
use crate::scanner::finding::Finding;
use crate::scanner::{RuleSet, ScanError, Scratch, digits_length};

/// Records nest; a deeper one than this is not looked into further.
const MAX_DEPTH: usize = 8;

/// What a scan is still to look for in a value.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub pans: bool,
    pub expressions: bool,
}

impl Look {
    pub(super) const ALL: Self = Self {
        pans: true,
        expressions: true,
    };
}

/// The value was masked by its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Covered {
    InPlace,
    /// Its type cannot carry a mask: it has to become NULL.
    Null,
}

/// Masks a value of a `pan` or `whole` column, whatever is in it.
pub(super) fn cover(rules: &RuleSet, column: Column, value: &mut [u8], scratch: &mut Scratch) -> Covered {
    let keep_last = if column.mask == Mask::Pan { rules.keep_last } else { 0 };
    let done = match (column.class, column.binary) {
        (Class::Text, _) => {
            let kept = if keep_last == 0 { None } else { kept_digits(rules, value, scratch) };
            cover_text(value, kept);
            true
        }
        (Class::Json { version_byte: true }, true) => {
            json::whole(value.get_mut(1..).unwrap_or_default());
            true
        }
        (Class::Json { .. }, _) => {
            json::whole(value);
            true
        }
        (Class::Bytea, true) => {
            value.fill(b'*');
            true
        }
        (Class::Bytea, false) => cover_hex(value),
        (Class::Bits, true) => {
            value.get_mut(4..).unwrap_or_default().fill(0);
            true
        }
        (Class::Bits, false) => {
            value.fill(b'0');
            true
        }
        (Class::Integer { .. }, true) => binary::cover_integer(value, keep_last),
        (Class::Numeric, true) => binary::cover_numeric(value, keep_last),
        (Class::Integer { .. } | Class::Numeric, false) => {
            cover_number_text(value, keep_last);
            true
        }
        (
            Class::Xml
            | Class::Array(_)
            | Class::Record
            | Class::Range(_)
            | Class::Multirange(_)
            | Class::Floats
            | Class::Money
            | Class::Opaque
            | Class::Unknown,
            _,
        ) => false,
    };
    if done { Covered::InPlace } else { Covered::Null }
}

/// The bytes that hold the digits a `pan` text may keep: the last ones of the card number it holds. A text that is not
/// plainly one card number keeps nothing, so that a verification code behind the number never shows.
fn kept_digits(rules: &RuleSet, value: &[u8], scratch: &mut Scratch) -> Option<(usize, usize)> {
    rules.find_pans_in(value, scratch);
    let found = scratch.findings.iter().find(|finding| finding.digits_only);
    let bare = (12..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let (start, end) = match found {
        Some(finding) => (finding.start, finding.end),
        None if bare => (0, value.len()),
        None => return None,
    };
    let length = digits_length(value.get(start..end)?.iter().rev(), rules.keep_last);
    Some((end - length, end))
}

fn cover_text(value: &mut [u8], kept: Option<(usize, usize)>) {
    let (from, to) = kept.unwrap_or((0, 0));
    for (at, byte) in value.iter_mut().enumerate() {
        if !(from..to).contains(&at) {
            *byte = b'*';
        }
    }
}

/// `\x` and pairs of hexadecimal digits; the old escape format has no such form, false then.
fn cover_hex(value: &mut [u8]) -> bool {
    let [b'\\', b'x', digits @ ..] = value else { return false };
    for pair in digits.as_chunks_mut::<2>().0 {
        *pair = *b"2a";
    }
    true
}

fn cover_number_text(value: &mut [u8], keep_last: usize) {
    let integer_end = value.iter().position(|byte| *byte == b'.').unwrap_or(value.len());
    let integer = value.get(..integer_end).unwrap_or_default();
    let digits = integer.iter().filter(|byte| byte.is_ascii_digit()).count();
    let kept = if digits < 12 {
        0
    } else {
        digits_length(integer.iter().rev(), keep_last)
    };
    for (at, byte) in value.iter_mut().enumerate() {
        if byte.is_ascii_digit() && !(integer_end - kept..integer_end).contains(&at) {
            *byte = b'0';
        }
    }
}

/// Counts a value masked by its column.
pub(super) fn count_covered(rules: &RuleSet, counts: &mut [u32]) {
    if let Some(count) = counts.get_mut(rules.names().len()) {
        *count = count.saturating_add(1);
    }
}

/// Looks for patterns in a value and covers what they find, in a form that its type can carry.
pub(super) fn scan(
    rules: &RuleSet,
    column: Column,
    value: &mut [u8],
    look: Look,
    scratch: &mut Scratch,
    counts: &mut [u32],
) -> Result<(), ScanError> {
    scan_nested(rules, column, value, look, scratch, counts, 0)
}

fn scan_nested(
    rules: &RuleSet,
    column: Column,
    value: &mut [u8],
    look: Look,
    scratch: &mut Scratch,
    counts: &mut [u32],
    depth: usize,
) -> Result<(), ScanError> {
    let number = |is_pan: bool, counts: &mut [u32]| {
        if is_pan && let Some(count) = counts.first_mut() {
            *count = count.saturating_add(1);
        }
        is_pan
    };
    if column.binary
        && depth < MAX_DEPTH
        && let Some(inner) = nested::values(column.class, value)
    {
        for (column, start, end) in inner {
            if let Some(value) = value.get_mut(start..end).filter(|_| column.mask == Mask::Scan) {
                scan_nested(rules, column, value, Look::ALL, scratch, counts, depth + 1)?;
            }
        }
        return Ok(());
    }
    match (column.class, column.binary) {
        (Class::Integer { .. }, true) => {
            if number(binary::integer_is_pan(&rules.kernel, value), counts) {
                binary::cover_integer(value, rules.keep_last);
            }
            return Ok(());
        }
        (Class::Numeric, true) => {
            if number(binary::numeric_is_pan(&rules.kernel, value), counts) {
                binary::cover_numeric(value, rules.keep_last);
            }
            return Ok(());
        }
        (Class::Floats, true) => {
            numbers::cover_binary_floats(&rules.kernel, value, counts);
            return Ok(());
        }
        (Class::Money, true) => {
            numbers::cover_binary_money(&rules.kernel, value, counts);
            return Ok(());
        }
        (Class::Unknown, true) => numbers::cover_unknown(&rules.kernel, value, counts),
        (Class::Floats | Class::Array(Element::Float), false) => {
            numbers::cover_text_floats(&rules.kernel, value, counts);
            return Ok(());
        }
        (Class::Money | Class::Array(Element::Money), false) => {
            numbers::cover_text_money(&rules.kernel, value, counts);
            return Ok(());
        }
        (Class::Unknown | Class::Record | Class::Array(Element::Other), false) => {
            scan_hex_runs(rules, value, scratch, counts)?;
            numbers::cover_exponents(&rules.kernel, value, counts);
            numbers::cover_grouped(&rules.kernel, value, counts);
        }
        (Class::Json { .. }, _) => numbers::cover_exponents(&rules.kernel, value, counts),
        (Class::Bytea, false) if value.starts_with(b"\\x") => return scan_hex(rules, value, scratch, counts),
        (Class::Bytea, false) => return scan_escape(rules, value, scratch, counts),
        (Class::Opaque | Class::Bits, _) => return Ok(()),
        _ => {}
    }
    let is_number = column.class.is_number();
    let look = if is_number {
        Look {
            pans: look.pans,
            expressions: false,
        }
    } else {
        look
    };
    rules.find_parts(value, look.pans, look.expressions, scratch)?;
    if is_number {
        // A point inside is a decimal point, not a separator.
        let spans_point = |f: &Finding| value.get(f.start..f.end).unwrap_or_default().contains(&b'.');
        scratch.findings.retain(|finding| !spans_point(finding));
    }
    if scratch.findings.is_empty() {
        return Ok(());
    }
    scratch.tally.clear();
    for finding in &scratch.findings {
        scratch.tally.add(finding, counts);
    }
    match column.class {
        Class::Json { .. } => {
            json::Cover::default().apply(value, value.len(), &scratch.findings, 0);
        }
        class if class.is_number() => {
            for finding in &scratch.findings {
                finding.cover(value, 0, b'0');
            }
        }
        _ => {
            for finding in &scratch.findings {
                finding.cover(value, 0, b'*');
            }
        }
    }
    Ok(())
}

/// Each `bytea` in text format inside of a longer text.
fn scan_hex_runs(rules: &RuleSet, value: &mut [u8], scratch: &mut Scratch, counts: &mut [u32]) -> Result<(), ScanError> {
    let mut at = 0;
    while let Some(found) = value.get(at..).and_then(|rest| rest.windows(2).position(|pair| pair == b"\\x")) {
        let start = at + found;
        let rest = value.get(start + 2..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        at = start + 2 + digits;
        if let Some(run) = value.get_mut(start..at) {
            scan_hex(rules, run, scratch, counts)?;
        }
    }
    Ok(())
}

/// `bytea` in text format: what its bytes say, not what its digits look like.
fn scan_hex(rules: &RuleSet, value: &mut [u8], scratch: &mut Scratch, counts: &mut [u32]) -> Result<(), ScanError> {
    let Some(([b'\\', b'x'], digits)) = value.split_first_chunk_mut::<2>() else {
        return Ok(());
    };
    let mut bytes = from_hex(digits);
    rules.find_parts(&bytes, true, true, scratch)?;
    if scratch.findings.is_empty() {
        return Ok(());
    }
    scratch.tally.clear();
    for finding in &scratch.findings {
        scratch.tally.add(finding, counts);
        finding.cover(&mut bytes, 0, b'*');
    }
    to_hex(&bytes, digits);
    Ok(())
}

/// `bytea` in the escape format: the digits of an escape are not those of a number beside it.
fn scan_escape(rules: &RuleSet, value: &mut [u8], scratch: &mut Scratch, counts: &mut [u32]) -> Result<(), ScanError> {
    let unescaped = Unescaped::new(value, true);
    rules.find_parts(&unescaped.bytes, true, true, scratch)?;
    if scratch.findings.is_empty() {
        return Ok(());
    }
    let mut bytes = unescaped.bytes.clone();
    scratch.tally.clear();
    for finding in &scratch.findings {
        scratch.tally.add(finding, counts);
        finding.cover(&mut bytes, 0, b'*');
    }
    unescaped.write(&bytes, value);
    Ok(())
}

/// The bytes that pairs of hexadecimal digits stand for; half a pair at the end is left out.
pub(super) fn from_hex(digits: &[u8]) -> Vec<u8> {
    let nibble = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    digits
        .as_chunks::<2>()
        .0
        .iter()
        .map(|[high, low]| nibble(*high) << 4 | nibble(*low))
        .collect()
}

/// Writes bytes as pairs of hexadecimal digits.
pub(super) fn to_hex(bytes: &[u8], digits: &mut [u8]) {
    let hex = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0') as u8;
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [hex(byte >> 4), hex(byte & 15)];
    }
}

//! Fields of COPY's text and CSV formats.

use super::plan::{Column, CopyOptions, Mask, RowPlan};
use super::value::{self, Covered, Look};
use crate::scanner::{RuleSet, ScanError, Scratch};

/// How rows are written.
#[derive(Debug)]
pub(super) struct Dialect {
    csv: bool,
    delimiter: u8,
    quote: u8,
    escape: u8,
    null: Vec<u8>,
}

/// What ends a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Field,
    Row,
}

/// Where in a field the reader stands; fields may come in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FieldState {
    quoted: bool,
    escaped: bool,
}

impl FieldState {
    /// The beginning of a field.
    pub(super) const START: Self = Self {
        quoted: false,
        escaped: false,
    };
}

impl Dialect {
    pub(super) fn new(csv: bool, options: &CopyOptions) -> Self {
        let quote = options.quote.unwrap_or(b'"');
        Self {
            csv,
            delimiter: options.delimiter.unwrap_or(if csv { b',' } else { b'\t' }),
            quote,
            escape: options.escape.unwrap_or(quote),
            null: options
                .null
                .clone()
                .unwrap_or_else(|| if csv { Vec::new() } else { b"\\N".to_vec() }),
        }
    }

    /// The end of the field that goes on in `bytes`: how many bytes of it there are, and what follows; `None` when it
    /// does not end here.
    pub(super) fn field_end(&self, state: &mut FieldState, bytes: &[u8]) -> Option<(usize, End)> {
        bytes
            .iter()
            .enumerate()
            .find_map(|(at, byte)| self.step(state, *byte).map(|end| (at, end)))
    }

    fn step(&self, state: &mut FieldState, byte: u8) -> Option<End> {
        if self.csv {
            // Doubled quotes leave and enter the quoted part, which comes to the same.
            if state.quoted && self.escape != self.quote {
                let escaped = std::mem::take(&mut state.escaped);
                if escaped && (byte == self.quote || byte == self.escape) {
                    return None;
                }
                if byte == self.escape {
                    state.escaped = true;
                    return None;
                }
            }
            if byte == self.quote {
                state.quoted = !state.quoted;
            }
            if state.quoted {
                return None;
            }
        } else if std::mem::take(&mut state.escaped) {
            return None;
        } else if byte == b'\\' {
            state.escaped = true;
            return None;
        }
        match byte {
            b'\n' => Some(End::Row),
            _ if byte == self.delimiter => Some(End::Field),
            _ => None,
        }
    }

    /// Whether the field is the end marker of the old protocol.
    pub(super) fn is_end_marker(field: &[u8]) -> bool {
        matches!(field, b"\\." | b"\\.\r")
    }

    fn is_plain(&self, field: &[u8]) -> bool {
        !field.contains(if self.csv { &self.quote } else { &b'\\' })
    }

    /// What the field says, and which bytes of it say each byte of that. Quotes around it say nothing.
    fn decode(&self, field: &[u8]) -> (Vec<u8>, Vec<(usize, usize)>) {
        let mut value = Vec::with_capacity(field.len());
        let mut spans = Vec::with_capacity(field.len());
        let mut at = 0;
        let mut quoted = false;
        while let Some(byte) = field.get(at).copied() {
            let rest = field.get(at + 1..).unwrap_or_default();
            let (decoded, length) = if self.csv {
                let escapes = quoted && byte == self.escape;
                match rest.first() {
                    Some(next) if escapes && (*next == self.quote || *next == self.escape) => (*next, 2),
                    _ if byte == self.quote => {
                        quoted = !quoted;
                        at += 1;
                        continue;
                    }
                    _ => (byte, 1),
                }
            } else if byte == b'\\' {
                unescape(rest)
            } else {
                (byte, 1)
            };
            value.push(decoded);
            spans.push((at, (at + length).min(field.len())));
            at += length;
        }
        (value, spans)
    }

    /// Masks one whole field in place. `look`: what a scan of the raw bytes left to look for.
    pub(super) fn mask_field(
        &self,
        rules: &RuleSet,
        column: Column,
        field: &mut [u8],
        look: Look,
        scratch: &mut Scratch,
        counts: &mut [u32],
    ) -> Result<(), ScanError> {
        if column.mask == Mask::None || field.is_empty() || *field == *self.null {
            return Ok(());
        }
        if self.is_plain(field) {
            return mask_value(rules, column, field, look, scratch, counts);
        }
        let (mut value, spans) = self.decode(field);
        let before = value.clone();
        mask_value(rules, column, &mut value, Look::ALL, scratch, counts)?;
        for ((old, new), (start, end)) in before.iter().zip(&value).zip(spans) {
            if old != new
                && let Some(bytes) = field.get_mut(start..end)
            {
                bytes.fill(*new);
            }
        }
        Ok(())
    }

    /// Covers a piece of a long field. Quotes around the content stay.
    pub(super) fn cover_piece(&self, state: &mut FieldState, piece: &mut [u8]) {
        for byte in piece {
            let was = *state;
            self.step(state, *byte);
            let opens_or_closes = self.csv && was.quoted != state.quoted;
            if !opens_or_closes && *byte != b'\r' {
                *byte = b'*';
            }
        }
    }
}

/// The byte behind a backslash in text format, and how many bytes there are with the backslash.
fn unescape(rest: &[u8]) -> (u8, usize) {
    let octal = |byte: &u8| matches!(byte, b'0'..=b'7').then(|| u32::from(byte - b'0'));
    let number = |digits: &[u8], radix: u32| {
        digits
            .iter()
            .fold(0u32, |sum, byte| sum * radix + (*byte as char).to_digit(radix).unwrap_or(0)) as u8
    };
    match rest {
        [] => (b'\\', 1),
        [b'b', ..] => (8, 2),
        [b'f', ..] => (12, 2),
        [b'n', ..] => (b'\n', 2),
        [b'r', ..] => (b'\r', 2),
        [b't', ..] => (b'\t', 2),
        [b'v', ..] => (11, 2),
        [b'x', digits @ ..] => {
            let length = digits.iter().take(2).take_while(|b| b.is_ascii_hexdigit()).count();
            if length == 0 {
                (b'x', 2)
            } else {
                (number(digits.get(..length).unwrap_or_default(), 16), 2 + length)
            }
        }
        [first, ..] if octal(first).is_some() => {
            let length = rest.iter().take(3).take_while(|b| octal(b).is_some()).count();
            (number(rest.get(..length).unwrap_or_default(), 8), 1 + length)
        }
        [other, ..] => (*other, 2),
    }
}

fn mask_value(
    rules: &RuleSet,
    column: Column,
    value: &mut [u8],
    look: Look,
    scratch: &mut Scratch,
    counts: &mut [u32],
) -> Result<(), ScanError> {
    match column.mask {
        Mask::None => Ok(()),
        Mask::Scan => {
            let look = if column.all_hidden() { Look::ALL } else { look };
            if column.opaque_bytes || look.pans || look.expressions {
                value::scan(rules, column, value, look, scratch, counts)?;
            }
            Ok(())
        }
        Mask::Pan | Mask::Whole => {
            if value::cover(rules, column, value, scratch) == Covered::Null {
                // The null string has another length; whoever reads a COPY reads text first.
                value.fill(b'*');
            }
            value::count_covered(rules, counts);
            Ok(())
        }
    }
}

/// The column of field number `index`. With a plan that knows no columns, everything is covered.
pub(super) fn column_of(plan: &RowPlan, index: usize, is_header: bool) -> Option<Column> {
    let column = if plan.columns.is_empty() {
        Column::new(Mask::Whole, TEXT, false)
    } else {
        *plan.columns.get(index)?
    };
    Some(if is_header {
        Column::new(Mask::Scan, TEXT, false)
    } else {
        column.in_text()
    })
}

const TEXT: u32 = 25;

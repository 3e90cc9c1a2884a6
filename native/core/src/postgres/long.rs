//! Values too long to hold whole, masked as they pass.

use super::error::{StreamError, broken};
use super::escape::Unescaped;
use super::fields::{Dialect, FieldState};
use super::json;
use super::plan::{Column, Mask, RowPlan};
use super::types::{Class, Element};
use super::value::{self, Covered, Look};
use crate::scanner::stream::TextStream;
use crate::scanner::{RuleSet, Scratch};

/// How a value too long to hold is masked.
pub(super) enum Long {
    Pass,
    Stars,
    Zeros,
    /// A JSON string of stars; whether its first quote is written.
    JsonString {
        opened: bool,
    },
    /// `\x` and pairs of digits: how many bytes of it have passed.
    Hex {
        passed: usize,
    },
    /// A field with quotes and escapes.
    Field {
        state: FieldState,
    },
    Scan {
        text: Box<TextStream>,
        json: Option<json::Cover>,
        fill: u8,
    },
    /// `bytea` in the escape format.
    ScanEscape {
        text: Box<TextStream>,
    },
    /// Hexadecimal digits of what is scanned, behind `\x`, if `\x` is what it begins with.
    ScanHex {
        text: Box<TextStream>,
        prefix: bool,
    },
}

/// One call's worth of context.
pub(super) struct Feed<'a> {
    pub(super) rules: &'a RuleSet,
    pub(super) plan: &'a RowPlan,
    pub(super) scratch: &'a mut Scratch,
    pub(super) counts: &'a mut [u32],
    pub(super) last: bool,
}

impl Feed<'_> {
    pub(super) fn whole_value(&mut self, column: Column, value: &mut [u8]) -> Result<(), StreamError> {
        match column.mask {
            Mask::None => {}
            Mask::Scan => value::scan(self.rules, column, value, Look::ALL, self.scratch, self.counts)?,
            Mask::Pan | Mask::Whole => {
                if value::cover(self.rules, column, value, self.scratch) == Covered::Null {
                    return Err(cannot_carry(column));
                }
                value::count_covered(self.rules, self.counts);
            }
        }
        Ok(())
    }

    /// How a long value of a column is masked. One in a `pan` column is no card number and keeps nothing.
    pub(super) fn long(&mut self, column: Column) -> Result<Long, StreamError> {
        let scan = |json: Option<json::Cover>, fill| Long::Scan {
            text: Box::default(),
            json,
            fill,
        };
        Ok(match (column.mask, column.class, column.binary) {
            // A number of thousands of digits is no card number.
            (Mask::None, ..) | (Mask::Scan, Class::Opaque | Class::Bits | Class::Integer { .. } | Class::Numeric | Class::Money, _) => {
                Long::Pass
            }
            (Mask::Scan, Class::Bytea, false) => Long::ScanHex {
                text: Box::default(),
                prefix: false,
            },
            // Numbers in them do not show in their bytes, and a piece cannot be told apart into values.
            (Mask::Scan, Class::Floats | Class::Array(Element::Float | Element::Money | Element::Other), _)
            | (Mask::Scan, Class::Array(Element::Number) | Class::Record | Class::Multirange(_), true) => return Err(cannot_carry(column)),
            (Mask::Scan, Class::Json { .. }, _) => scan(Some(json::Cover::default()), b'*'),
            (Mask::Scan, class, false) if class.is_number() => scan(None, b'0'),
            (Mask::Scan, ..) => scan(None, b'*'),
            (Mask::Pan | Mask::Whole, class, binary) => {
                let long = match (class, binary) {
                    (Class::Text, _) | (Class::Bytea, true) => Long::Stars,
                    (Class::Bytea, false) => Long::Hex { passed: 0 },
                    (Class::Json { version_byte }, binary) if !(version_byte && binary) => Long::JsonString { opened: false },
                    (Class::Numeric | Class::Bits, false) => Long::Zeros,
                    _ => return Err(cannot_carry(column)),
                };
                value::count_covered(self.rules, self.counts);
                long
            }
        })
    }

    pub(super) fn long_field(&mut self, column: Column) -> Long {
        match column.mask {
            Mask::None => Long::Pass,
            Mask::Scan => Long::Scan {
                text: Box::default(),
                json: None,
                fill: if column.class.is_number() { b'0' } else { b'*' },
            },
            Mask::Pan | Mask::Whole => {
                value::count_covered(self.rules, self.counts);
                Long::Field {
                    state: FieldState::default(),
                }
            }
        }
    }

    /// Masks a piece of a long value; returns how many bytes of it are final. `ends`: the value ends with it.
    pub(super) fn piece(&mut self, dialect: &Dialect, long: &mut Long, piece: &mut [u8], ends: bool) -> Result<usize, StreamError> {
        match long {
            Long::Pass => {}
            Long::Stars => piece.fill(b'*'),
            Long::Zeros => piece.iter_mut().filter(|byte| byte.is_ascii_digit()).for_each(|byte| *byte = b'0'),
            Long::JsonString { opened } => {
                let first = !std::mem::replace(opened, true);
                piece.fill(b'*');
                if first && let Some(byte) = piece.first_mut() {
                    *byte = b'"';
                }
                if ends && let Some(byte) = piece.last_mut() {
                    *byte = b'"';
                }
            }
            Long::Hex { passed } => {
                for byte in piece.iter_mut() {
                    match (*passed, *passed % 2) {
                        (0, _) if *byte != b'\\' => return Err(broken("bytea in the escape format")),
                        (0 | 1, _) => {}
                        (_, 0) => *byte = b'2',
                        _ => *byte = b'a',
                    }
                    *passed += 1;
                }
            }
            Long::Field { state } => dialect.cover_piece(state, piece),
            Long::Scan { text, json, fill } => {
                let decided = text.decide(self.rules, piece, ends, self.scratch, self.counts)?;
                let (findings, origin) = text.findings();
                if let Some(json) = json {
                    json.apply(piece, decided, findings, origin);
                } else if let Some(part) = piece.get_mut(..decided) {
                    for finding in findings {
                        finding.cover(part, origin, *fill);
                    }
                }
                text.advance(decided);
                return Ok(decided);
            }
            Long::ScanEscape { text } => {
                let unescaped = Unescaped::new(piece, ends);
                let decided = text.decide(self.rules, &unescaped.bytes, ends, self.scratch, self.counts)?;
                let (findings, origin) = text.findings();
                let mut bytes = unescaped.bytes.clone();
                if let Some(part) = bytes.get_mut(..decided).filter(|_| !findings.is_empty()) {
                    for finding in findings {
                        finding.cover(part, origin, b'*');
                    }
                    unescaped.write(part, piece);
                }
                text.advance(decided);
                return Ok(unescaped.length(decided));
            }
            Long::ScanHex { text, prefix } => {
                if !*prefix && piece.len() < 2 && !ends {
                    return Ok(0);
                }
                let skip = if *prefix { 0 } else { 2 };
                if !*prefix && !piece.starts_with(b"\\x") {
                    *long = Long::ScanEscape {
                        text: std::mem::take(text),
                    };
                    return self.piece(dialect, long, piece, ends);
                }
                *prefix = true;
                let digits = piece.get_mut(skip..).unwrap_or_default();
                let mut bytes = value::from_hex(digits);
                let decided = text.decide(self.rules, &bytes, ends, self.scratch, self.counts)?;
                let (findings, origin) = text.findings();
                if let Some(part) = bytes.get_mut(..decided).filter(|_| !findings.is_empty()) {
                    for finding in findings {
                        finding.cover(part, origin, b'*');
                    }
                    value::to_hex(part, digits);
                }
                text.advance(decided);
                return Ok(skip + 2 * decided);
            }
        }
        Ok(piece.len())
    }
}

fn cannot_carry(column: Column) -> StreamError {
    StreamError::new(format!(
        "a value of a column to mask cannot carry a mask in a row this large ({:?})",
        column.class
    ))
}

//! Runs of complete `CopyData` messages.

use super::binary::{read_i32, read_u16};
use super::fields::{Dialect, End, FieldState, column_of};
use super::plan::{Column, Mask, RowPlan};
use super::rows::Hints;
use super::value::{self, Covered, Look};
use crate::scanner::{RuleSet, ScanError, Scratch, with_scratch};

/// The format of a COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// Fields with backslash escapes.
    Text,
    /// Quoted fields.
    Csv,
    /// Fields with their lengths.
    Binary,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyOutcome {
    /// Masked; the run has this length now.
    Masked(usize),
    /// Not COPY data of this format and plan: nothing may be sent.
    Malformed,
    /// The run ends inside a row. Nothing was changed.
    Unfinished,
}

/// Why the payload of a run was not masked.
enum Stop {
    Outcome(CopyOutcome),
    Failed(ScanError),
}

impl From<ScanError> for Stop {
    fn from(error: ScanError) -> Self {
        Self::Failed(error)
    }
}

const MALFORMED: Stop = Stop::Outcome(CopyOutcome::Malformed);
const UNFINISHED: Stop = Stop::Outcome(CopyOutcome::Unfinished);

/// What a binary COPY begins with.
pub(super) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Masks a run of complete `CopyData` messages in place. Rows may span messages. `first`: the run begins the COPY.
/// Counts as in [`super::mask_rows`].
///
/// # Errors
/// Only when Vectorscan itself fails; nothing of the run may then be sent.
pub fn mask_copy(
    rules: &RuleSet,
    plan: &RowPlan,
    format: CopyFormat,
    first: bool,
    run: &mut [u8],
    counts: &mut [u32],
) -> Result<CopyOutcome, ScanError> {
    with_scratch(|scratch| {
        let mut payload = std::mem::take(&mut scratch.spare_bytes);
        payload.clear();
        let mut counted = counts.to_vec();
        let outcome = if gather(run, &mut payload).is_some() {
            let mut rows = Payload {
                rules,
                plan,
                scratch,
                counts: &mut counted,
                removed: Vec::new(),
            };
            let masked = match format {
                CopyFormat::Text => rows.lines(&Dialect::new(false, &plan.copy), first, &mut payload),
                CopyFormat::Csv => rows.lines(&Dialect::new(true, &plan.copy), first, &mut payload),
                CopyFormat::Binary => rows.tuples(first, &mut payload),
            };
            match masked {
                Ok(()) => {
                    let removed = rows.removed;
                    counts.copy_from_slice(&counted);
                    Ok(CopyOutcome::Masked(scatter(run, &payload, &removed)))
                }
                Err(Stop::Outcome(outcome)) => Ok(outcome),
                Err(Stop::Failed(error)) => Err(error),
            }
        } else {
            Ok(CopyOutcome::Malformed)
        };
        scratch.spare_bytes = payload;
        outcome
    })
}

/// Type byte and length.
const HEADER: usize = 5;

/// Start and end of the payload of the message at `at`.
fn message(run: &[u8], at: usize) -> Option<(usize, usize)> {
    if run.get(at) != Some(&b'd') {
        return None;
    }
    let length = usize::try_from(read_i32(run, at + 1)?).ok().filter(|length| *length >= 4)?;
    let end = at + 1 + length;
    (end <= run.len()).then_some((at + HEADER, end))
}

fn gather(run: &[u8], payload: &mut Vec<u8>) -> Option<()> {
    let mut at = 0;
    while at < run.len() {
        let (start, end) = message(run, at)?;
        payload.extend_from_slice(run.get(start..end)?);
        at = end;
    }
    Some(())
}

/// Puts the payload back into its messages, without the removed bytes; returns the length of the run.
fn scatter(run: &mut [u8], payload: &[u8], removed: &[(usize, usize)]) -> usize {
    let mut removed = removed.iter().peekable();
    let (mut at, mut write, mut read) = (0, 0, 0);
    while let Some((start, end)) = message(run, at) {
        let last = read + (end - start);
        let mut to = write + HEADER;
        while read < last {
            let (gap_start, gap_end) = removed.peek().map_or((last, last), |(from, to)| (*from, *to));
            let stop = gap_start.clamp(read, last);
            if let (Some(into), Some(from)) = (run.get_mut(to..to + stop - read), payload.get(read..stop)) {
                into.copy_from_slice(from);
            }
            to += stop - read;
            read = stop;
            if gap_start <= read {
                read = gap_end.clamp(read, last);
                if gap_end <= last {
                    removed.next();
                }
            }
        }
        // Never more than the message had, so its length fits. The next message lies behind `end`, not yet overwritten.
        let length = (to - write - 1) as u32;
        if let Some([kind, field @ ..]) = run.get_mut(write..write + HEADER) {
            *kind = b'd';
            field.copy_from_slice(&length.to_be_bytes());
        }
        write = to;
        at = end;
    }
    write
}

struct Payload<'a> {
    rules: &'a RuleSet,
    plan: &'a RowPlan,
    scratch: &'a mut Scratch,
    counts: &'a mut [u32],
    /// Values that became NULL: where their bytes were.
    removed: Vec<(usize, usize)>,
}

impl Payload<'_> {
    fn lines(&mut self, dialect: &Dialect, first: bool, payload: &mut [u8]) -> Result<(), Stop> {
        let mut hints = Hints::take(self.scratch);
        let result = hints
            .collect(self.rules, payload, self.scratch)
            .map_err(Stop::from)
            .and_then(|()| self.fields(dialect, first, payload, &mut hints));
        hints.give_back(self.scratch);
        result
    }

    fn fields(&mut self, dialect: &Dialect, first: bool, payload: &mut [u8], hints: &mut Hints) -> Result<(), Stop> {
        let mut header = first && self.plan.copy.header;
        let mut at = 0;
        while at < payload.len() {
            let mut index = 0;
            loop {
                let rest = payload.get_mut(at..).unwrap_or_default();
                let Some((length, end)) = dialect.field_end(&mut FieldState::default(), rest) else {
                    return Err(UNFINISHED);
                };
                let field = rest.get_mut(..length).unwrap_or_default();
                let marker = index == 0 && end == End::Row && Dialect::is_end_marker(field);
                let field = match field {
                    [inner @ .., b'\r'] if end == End::Row => inner,
                    all => all,
                };
                if !marker {
                    let column = column_of(self.plan, index, header).ok_or(MALFORMED)?;
                    let look = hints.look(at, at + length);
                    dialect.mask_field(self.rules, column, field, look, self.scratch, self.counts)?;
                }
                at += length + 1;
                index += 1;
                if end == End::Row {
                    if !marker && !self.plan.columns.is_empty() && index != self.plan.columns.len() {
                        return Err(MALFORMED);
                    }
                    break;
                }
            }
            header = false;
        }
        Ok(())
    }

    fn tuples(&mut self, first: bool, payload: &mut [u8]) -> Result<(), Stop> {
        let mut at = 0;
        if first {
            at = header_length(payload)?;
        }
        while at < payload.len() {
            let count = read_u16(payload, at).ok_or(UNFINISHED)?;
            at += 2;
            if count == u16::MAX {
                // The trailer.
                return if at == payload.len() { Ok(()) } else { Err(MALFORMED) };
            }
            let known = !self.plan.columns.is_empty();
            if known && usize::from(count) != self.plan.columns.len() {
                return Err(MALFORMED);
            }
            for index in 0..usize::from(count) {
                let length = read_i32(payload, at).ok_or(UNFINISHED)?;
                at += 4;
                if length <= 0 {
                    if length < -1 {
                        return Err(MALFORMED);
                    }
                    continue;
                }
                let end = at + length.cast_unsigned() as usize;
                if end > payload.len() {
                    return Err(UNFINISHED);
                }
                let column = self.plan.columns.get(index).copied().unwrap_or(Column::new(Mask::Whole, 0, true));
                self.binary_value(column, payload, at, end)?;
                at = end;
            }
        }
        Ok(())
    }

    fn binary_value(&mut self, column: Column, payload: &mut [u8], at: usize, end: usize) -> Result<(), Stop> {
        let Some(value) = payload.get_mut(at..end) else {
            return Err(UNFINISHED);
        };
        match column.mask {
            Mask::None => {}
            Mask::Scan => value::scan(self.rules, column, value, Look::ALL, self.scratch, self.counts)?,
            Mask::Pan | Mask::Whole => {
                if value::cover(self.rules, column, value, self.scratch) == Covered::Null {
                    if let Some(length) = payload.get_mut(at - 4..at) {
                        length.copy_from_slice(&(-1i32).to_be_bytes());
                    }
                    self.removed.push((at, end));
                }
                value::count_covered(self.rules, self.counts);
            }
        }
        Ok(())
    }
}

/// The length of a binary COPY's header: signature, flags, extension.
fn header_length(payload: &[u8]) -> Result<usize, Stop> {
    let known = payload.len().min(SIGNATURE.len());
    if payload.get(..known) != SIGNATURE.get(..known) {
        return Err(MALFORMED);
    }
    let extension = read_i32(payload, SIGNATURE.len() + 4).ok_or(UNFINISHED)?;
    let end = SIGNATURE.len() + 8 + usize::try_from(extension).map_err(|_| MALFORMED)?;
    if end > payload.len() { Err(UNFINISHED) } else { Ok(end) }
}

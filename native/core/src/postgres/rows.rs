//! Runs of complete `DataRow` messages.

use super::binary::{read_i32, read_u16};
use super::plan::{Mask, RowPlan};
use super::value::{self, Covered, Look};
use crate::scanner::{RuleSet, ScanError, Scratch, with_scratch};

/// Masks a run of complete `DataRow` messages in place and returns its new length, or `None` when a message is malformed
/// or does not fit the plan (nothing of the run may then be sent). `counts[rule]` counts findings, and
/// `counts[rules.names().len()]` values masked by their column.
///
/// # Errors
/// Only when Vectorscan itself fails; nothing of the run may then be sent.
pub fn mask_rows(rules: &RuleSet, plan: &RowPlan, run: &mut [u8], counts: &mut [u32]) -> Result<Option<usize>, ScanError> {
    with_scratch(|scratch| {
        let mut hints = Hints::take(scratch);
        if plan.scans {
            hints.collect(rules, run, scratch)?;
        }
        let length = Rows {
            rules,
            plan,
            scratch,
            counts,
            nulls: Vec::new(),
        }
        .mask(run, &mut hints);
        hints.give_back(scratch);
        length
    })
}

/// The end of the row at `at`, if it is well-formed, without looking into its values.
#[inline]
fn check(run: &[u8], at: usize, columns: usize) -> Option<usize> {
    let end = row_end(run, at, columns)?;
    let mut at = at + HEADER;
    for _ in 0..columns {
        let length = read_i32(run, at)?;
        at += 4 + if length == -1 { 0 } else { usize::try_from(length).ok()? };
    }
    (at == end).then_some(end)
}

/// Type byte, length, number of columns.
const HEADER: usize = 7;

/// The end of the message at `at`, if it is a `DataRow` of so many columns that lies within the run.
fn row_end(run: &[u8], at: usize, columns: usize) -> Option<usize> {
    if run.get(at) != Some(&b'D') {
        return None;
    }
    let length = usize::try_from(read_i32(run, at + 1)?).ok()?;
    let count = usize::from(read_u16(run, at + 5)?);
    let end = at + 1 + length;
    (count == columns && length >= HEADER - 1 && end <= run.len()).then_some(end)
}

/// Where a scan of the raw run saw something. It is a superset of what a scan of each value would see, because every
/// value lies in the run as it is.
pub(super) struct Hints {
    spans: Vec<(usize, usize)>,
    ends: Vec<usize>,
    next_span: usize,
    next_end: usize,
    least: usize,
}

impl Hints {
    pub(super) fn take(scratch: &mut Scratch) -> Self {
        let mut spans = std::mem::take(&mut scratch.spans);
        let mut ends = std::mem::take(&mut scratch.ends);
        spans.clear();
        ends.clear();
        Self {
            spans,
            ends,
            next_span: 0,
            next_end: 0,
            least: 0,
        }
    }

    pub(super) fn give_back(self, scratch: &mut Scratch) {
        scratch.spans = self.spans;
        scratch.ends = self.ends;
    }

    pub(super) fn collect(&mut self, rules: &RuleSet, run: &[u8], scratch: &mut Scratch) -> Result<(), ScanError> {
        self.least = rules.kernel.least() as usize;
        rules.hints(run, &mut self.spans, &mut self.ends, scratch)
    }

    /// Where the next thing not yet gone past begins or ends.
    fn next(&self) -> usize {
        let span = self.spans.get(self.next_span).map_or(usize::MAX, |(start, _)| *start);
        let end = self.ends.get(self.next_end).copied().unwrap_or(usize::MAX);
        span.min(end)
    }

    /// What to look for in the value at `[start, end)`. Values must be asked for in order.
    pub(super) fn look(&mut self, start: usize, end: usize) -> Look {
        while self.spans.get(self.next_span).is_some_and(|(_, span_end)| *span_end <= start) {
            self.next_span += 1;
        }
        while self.ends.get(self.next_end).is_some_and(|at| *at <= start) {
            self.next_end += 1;
        }
        let enough = |(from, to): &(usize, usize)| (*to).min(end).saturating_sub((*from).max(start)) >= self.least;
        let spans = self.spans.get(self.next_span..).unwrap_or_default();
        Look {
            pans: spans.iter().take_while(|(from, _)| *from < end).any(enough),
            expressions: self.ends.get(self.next_end).is_some_and(|at| *at <= end),
        }
    }
}

struct Rows<'a> {
    rules: &'a RuleSet,
    plan: &'a RowPlan,
    scratch: &'a mut Scratch,
    counts: &'a mut [u32],
    /// Length field and length of each value of the row that becomes NULL.
    nulls: Vec<(usize, usize)>,
}

impl Rows<'_> {
    fn mask(&mut self, run: &mut [u8], hints: &mut Hints) -> Result<Option<usize>, ScanError> {
        let mut at = 0;
        let mut write = 0;
        // Up to here there is nothing to find.
        let mut quiet = hints.next();
        while at < run.len() {
            let columns = self.plan.columns.len();
            let looks = self.plan.every_row || row_end(run, at, columns).is_none_or(|end| end >= quiet);
            let checked = if looks {
                let end = self.row(run, at, hints)?;
                hints.look(end.unwrap_or(0), end.unwrap_or(0));
                quiet = hints.next();
                end
            } else {
                check(run, at, columns)
            };
            let Some(end) = checked else { return Ok(None) };
            write = self.put(run, at, end, write);
            at = end;
        }
        Ok(Some(write))
    }

    fn row(&mut self, run: &mut [u8], start: usize, hints: &mut Hints) -> Result<Option<usize>, ScanError> {
        let Some(end) = row_end(run, start, self.plan.columns.len()) else {
            return Ok(None);
        };
        let mut at = start + HEADER;
        for column in &self.plan.columns {
            let Some(length) = read_i32(run, at) else { return Ok(None) };
            at += 4;
            if length <= 0 {
                if length < -1 {
                    return Ok(None);
                }
                continue;
            }
            let value_end = at + length.cast_unsigned() as usize;
            if value_end > end {
                return Ok(None);
            }
            let Some(value) = run.get_mut(at..value_end) else { return Ok(None) };
            match column.mask {
                Mask::None => {}
                Mask::Scan => {
                    let hinted = hints.look(at, value_end);
                    let look = if column.all_hidden() { Look::ALL } else { hinted };
                    if column.opaque_bytes || look.pans || look.expressions {
                        value::scan(self.rules, *column, value, look, self.scratch, self.counts)?;
                    }
                }
                Mask::Pan | Mask::Whole => {
                    if value::cover(self.rules, *column, value, self.scratch) == Covered::Null {
                        self.nulls.push((at - 4, length.cast_unsigned() as usize));
                    }
                    value::count_covered(self.rules, self.counts);
                }
            }
            at = value_end;
        }
        Ok((at == end).then_some(end))
    }

    /// Moves a row to `write`, without the values that became NULL; returns where the next one goes.
    fn put(&mut self, run: &mut [u8], start: usize, end: usize, write: usize) -> usize {
        if self.nulls.is_empty() {
            if write != start {
                run.copy_within(start..end, write);
            }
            return write + (end - start);
        }
        let (mut from, mut to) = (start, write);
        for (field, length) in self.nulls.drain(..) {
            run.copy_within(from..field, to);
            to += field - from;
            if let Some(null) = run.get_mut(to..to + 4) {
                null.copy_from_slice(&(-1i32).to_be_bytes());
            }
            to += 4;
            from = field + 4 + length;
        }
        run.copy_within(from..end, to);
        to += end - from;
        // The row only shrank, so its length still fits.
        let length = (to - write - 1) as u32;
        if let Some(field) = run.get_mut(write + 1..write + 5) {
            field.copy_from_slice(&length.to_be_bytes());
        }
        to
    }
}

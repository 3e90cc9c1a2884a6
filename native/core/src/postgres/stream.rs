//! One row too large to hold whole, masked as it passes.

use super::binary::{read_i32, read_u16};
use super::copy::SIGNATURE;
use super::error::{StreamError, broken};
use super::fields::{Dialect, End, FieldState, column_of};
use super::long::{Feed, Long};
use super::plan::{Column, Mask, RowPlan};
use super::value::Look;
use crate::scanner::{RuleSet, with_scratch};

/// What a stream consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// The body of one `DataRow`, behind its length.
    DataRow,
    /// Payload of a COPY in text format.
    CopyText,
    /// Payload of a COPY in CSV format.
    CopyCsv,
    /// Payload of a COPY in binary format.
    CopyBinary,
}

/// Values up to this many bytes are held until they are whole, and then masked as in a small row.
const SMALL: usize = 4096;

/// What goes on at the next byte.
enum State {
    /// A binary COPY may begin here.
    Start,
    /// A row: its number of columns.
    Row,
    /// A column: its length.
    Column { index: usize, count: usize },
    /// Inside a value of known length.
    Value {
        index: usize,
        count: usize,
        left: usize,
        long: Long,
    },
    /// Inside the field of a line.
    Field {
        index: usize,
        start: bool,
        reader: FieldState,
        long: Option<Long>,
    },
    /// Behind the trailer.
    Done,
}

/// Masks one row that comes in chunks. Memory is bounded by [`StreamMasker::hold`], whatever the row's size.
pub struct StreamMasker {
    kind: StreamKind,
    dialect: Dialect,
    state: State,
    rows: usize,
    /// The row under way holds the names of the columns.
    header: bool,
}

impl StreamMasker {
    /// A stream at its beginning. `first`: the beginning of the COPY too, where the header is.
    #[must_use]
    pub fn new(plan: &RowPlan, kind: StreamKind, first: bool) -> Self {
        let state = match kind {
            StreamKind::DataRow => State::Row,
            StreamKind::CopyBinary => State::Start,
            StreamKind::CopyText | StreamKind::CopyCsv => FIRST_FIELD,
        };
        Self {
            kind,
            dialect: Dialect::new(kind == StreamKind::CopyCsv, &plan.copy),
            state,
            rows: 0,
            header: first && plan.copy.header,
        }
    }

    /// The most bytes a call can leave unconsumed.
    #[must_use]
    pub fn hold(rules: &RuleSet) -> usize {
        // A byte that is looked at takes four in the escape format of bytea, and the last escape may be cut.
        (4 * rules.reach() + 4).max(SMALL + 4)
    }

    /// Masks in place what it can of `chunk`, which follows what the last call made final, and returns how many bytes are
    /// final. The rest must come again, first, in the next call. `last`: nothing follows.
    ///
    /// # Errors
    /// The stream broke its format, or a value cannot carry a mask.
    pub fn feed(
        &mut self,
        rules: &RuleSet,
        plan: &RowPlan,
        chunk: &mut [u8],
        last: bool,
        counts: &mut [u32],
    ) -> Result<usize, StreamError> {
        with_scratch(|scratch| {
            let mut feed = Feed {
                rules,
                plan,
                scratch,
                counts,
                last,
            };
            let mut at = 0;
            loop {
                let rest = chunk.get_mut(at..).unwrap_or_default();
                if rest.is_empty() && self.at_rest() {
                    break;
                }
                let took = self.step(&mut feed, rest)?;
                match took {
                    Some(bytes) => at += bytes,
                    None if last => return Err(broken("it ends too early")),
                    None => break,
                }
            }
            if last && !self.complete() {
                return Err(broken("it ends too early"));
            }
            Ok(at)
        })
    }

    /// Nothing can be done without more bytes. (Columns of no length, and the ends of values, need none.)
    fn at_rest(&self) -> bool {
        match &self.state {
            State::Column { index, count } => index < count,
            State::Value { left, .. } => *left > 0,
            _ => true,
        }
    }

    fn complete(&self) -> bool {
        match &self.state {
            State::Done => true,
            State::Row | State::Start => self.kind == StreamKind::CopyBinary,
            State::Field { index, start, .. } => *index == 0 && *start,
            State::Column { .. } | State::Value { .. } => false,
        }
    }

    /// Takes one step: how many bytes became final, or `None` when more are needed.
    fn step(&mut self, feed: &mut Feed, rest: &mut [u8]) -> Result<Option<usize>, StreamError> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Done => Err(broken("bytes behind its end")),
            State::Start => self.start(feed, rest),
            State::Row => self.row(feed, rest),
            State::Column { index, count } if index == count => {
                self.rows += 1;
                self.state = if self.kind == StreamKind::DataRow {
                    State::Done
                } else {
                    State::Row
                };
                Ok(Some(0))
            }
            State::Column { index, count } => self.column(feed, index, count, rest),
            State::Value { index, count, left: 0, .. } => {
                self.state = State::Column { index: index + 1, count };
                Ok(Some(0))
            }
            State::Value {
                index,
                count,
                left,
                mut long,
            } => {
                let ends = left <= rest.len();
                let piece = rest.get_mut(..left.min(rest.len())).unwrap_or_default();
                let took = feed.piece(&self.dialect, &mut long, piece, ends)?;
                self.state = State::Value {
                    index,
                    count,
                    left: left - took,
                    long,
                };
                Ok((took > 0).then_some(took))
            }
            State::Field {
                index,
                start,
                reader,
                long,
            } => self.field(feed, index, start, reader, long, rest),
        }
    }

    fn start(&mut self, feed: &Feed, rest: &[u8]) -> Result<Option<usize>, StreamError> {
        let known = rest.len().min(SIGNATURE.len());
        if rest.get(..known) != SIGNATURE.get(..known) {
            // Not the beginning of the COPY, so it is the beginning of a row.
            self.state = State::Row;
            return Ok(Some(0));
        }
        let end =
            read_i32(rest, SIGNATURE.len() + 4).map(|extension| SIGNATURE.len() + 8 + usize::try_from(extension).unwrap_or(usize::MAX / 2));
        if end.is_some_and(|end| end > SMALL) {
            return Err(broken("an extension of its header"));
        }
        match end.filter(|end| *end <= rest.len()) {
            Some(end) => {
                self.state = State::Row;
                Ok(Some(end))
            }
            None if feed.last => Err(broken("it ends in its header")),
            None => {
                self.state = State::Start;
                Ok(None)
            }
        }
    }

    fn row(&mut self, feed: &Feed, rest: &[u8]) -> Result<Option<usize>, StreamError> {
        let Some(count) = read_u16(rest, 0) else {
            self.state = State::Row;
            return Ok(None);
        };
        if count == u16::MAX && self.kind == StreamKind::CopyBinary {
            self.state = State::Done;
            return Ok(Some(2));
        }
        let count = usize::from(count);
        let fits = count == feed.plan.columns.len() || (feed.plan.columns.is_empty() && self.kind == StreamKind::CopyBinary);
        if !fits {
            return Err(broken("another number of columns than was described"));
        }
        self.state = State::Column { index: 0, count };
        Ok(Some(2))
    }

    fn column(&mut self, feed: &mut Feed, index: usize, count: usize, rest: &mut [u8]) -> Result<Option<usize>, StreamError> {
        self.state = State::Column { index, count };
        let Some(length) = read_i32(rest, 0) else { return Ok(None) };
        if length <= 0 {
            if length < -1 {
                return Err(broken("a negative length"));
            }
            self.state = State::Column { index: index + 1, count };
            return Ok(Some(4));
        }
        let length = length.cast_unsigned() as usize;
        let column = feed.plan.columns.get(index).copied().unwrap_or(Column::new(Mask::Whole, 0, true));
        if let Some(value) = rest.get_mut(4..4 + length) {
            feed.whole_value(column, value)?;
            self.state = State::Column { index: index + 1, count };
            return Ok(Some(4 + length));
        }
        if length <= SMALL {
            return Ok(None);
        }
        self.state = State::Value {
            index,
            count,
            left: length,
            long: feed.long(column)?,
        };
        Ok(Some(4))
    }

    fn field(
        &mut self,
        feed: &mut Feed,
        index: usize,
        start: bool,
        reader: FieldState,
        long: Option<Long>,
        rest: &mut [u8],
    ) -> Result<Option<usize>, StreamError> {
        let column = column_of(feed.plan, index, self.header).ok_or_else(|| broken("more columns than were described"))?;
        let found = self.dialect.field_end(&mut reader.clone(), rest);
        let next = |end: End| match end {
            End::Row => FIRST_FIELD,
            End::Field => State::Field {
                index: index + 1,
                start: true,
                reader: FieldState::default(),
                long: None,
            },
        };
        if let Some((_, End::Row)) = found
            && !feed.plan.columns.is_empty()
            && index + 1 != feed.plan.columns.len()
            && !(index == 0 && start && rest.starts_with(b"\\."))
        {
            return Err(broken("fewer columns than were described"));
        }
        match (found, long) {
            (Some((length, end)), None) => {
                let field = rest.get_mut(..length).unwrap_or_default();
                if !(index == 0 && Dialect::is_end_marker(field)) {
                    self.dialect
                        .mask_field(feed.rules, column, field, Look::ALL, feed.scratch, feed.counts)?;
                }
                self.header &= end != End::Row;
                self.state = next(end);
                Ok(Some(length + 1))
            }
            (Some((length, end)), Some(mut long)) => {
                let piece = rest.get_mut(..length).unwrap_or_default();
                let took = feed.piece(&self.dialect, &mut long, piece, true)?;
                if took < length {
                    return Err(broken("a field could not be finished"));
                }
                self.header &= end != End::Row;
                self.state = next(end);
                Ok(Some(length + 1))
            }
            (None, None) if rest.len() <= SMALL => {
                self.state = State::Field {
                    index,
                    start,
                    reader,
                    long: None,
                };
                Ok(None)
            }
            (None, long) => {
                let mut long = match long {
                    Some(long) => long,
                    None => feed.long_field(column),
                };
                let before = rest.to_vec();
                let took = feed.piece(&self.dialect, &mut long, rest, false)?;
                let mut reader = reader;
                self.dialect.field_end(&mut reader, before.get(..took).unwrap_or_default());
                self.state = State::Field {
                    index,
                    start: false,
                    reader,
                    long: Some(long),
                };
                Ok((took > 0).then_some(took))
            }
        }
    }
}

const FIRST_FIELD: State = State::Field {
    index: 0,
    start: true,
    reader: FieldState::START,
    long: None,
};

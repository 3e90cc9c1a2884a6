//! The card number kernel.
//!
//! A *chain* is a run of digits in which single separators (space, hyphen, full stop, slash) may stand between digits;
//! they cut it into *groups*. A *window* is a sequence of whole groups of one chain. A window of 12 to 19 digits whose
//! first digits and length belong to a card brand and whose last digit is its Luhn check digit is a card number. So
//! `order 12 4111 1111 1111 1111 99` holds one, and a bare run of more than 19 digits holds none.

#![expect(
    clippy::inline_always,
    reason = "these must be compiled with the processor features of their caller"
)]

use super::brands::Lengths;
use crate::raw::{Hot, Work, accelerated, classes, luhn_sum};

/// The most digits a card number has (ISO/IEC 7812).
const MAX_DIGITS: usize = 19;

/// The most bytes that decide about a window: 19 digits, 18 separators, and two bytes behind to see that it ends.
pub(crate) const REACH: usize = 2 * MAX_DIGITS + 1;

/// A card number: the bytes from its first to behind its last digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub start: usize,
    pub end: usize,
    pub digits: usize,
}

/// Finds card numbers of the chosen brands.
pub(crate) struct Kernel {
    lengths: Lengths,
}

#[inline(always)]
fn digit(text: &[u8], at: usize) -> Option<u8> {
    text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|value| *value <= 9)
}

/// The low `count` bits.
#[inline(always)]
fn low_bits(count: usize) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// 64 bytes of a text, as far as they belong to the chain that begins with them.
struct View {
    base: usize,
    digits: u64,
    /// How many bytes belong to the chain. What separators follow the last byte is not seen, so from 63 on it may go on.
    length: usize,
}

impl View {
    #[inline(always)]
    fn new(text: &[u8], base: usize) -> Self {
        let (digits, separators) = classes(text, base);
        let chain = digits | separators & digits << 1 & digits >> 1;
        let length = chain.trailing_ones() as usize;
        Self {
            base,
            digits: digits & low_bits(length),
            length,
        }
    }

    #[inline(always)]
    fn goes_on(&self) -> bool {
        self.length >= 63
    }

    /// The first four digits from byte `at` on, as a number.
    #[inline(always)]
    fn first_four(&self, text: &[u8], at: usize) -> Option<usize> {
        let mut rest = self.digits >> at << at;
        if self.digits >> at & 15 == 15 {
            let four = text.get(self.base + at..)?.first_chunk()?;
            let digits = u32::from_le_bytes(*four) & 0x0f0f_0f0f;
            let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff;
            return Some(((pairs & 0xff) * 100 + (pairs >> 16)) as usize);
        }
        let mut number = 0;
        for _ in 0..4 {
            let digit = digit(text, self.base + rest.trailing_zeros() as usize).filter(|_| rest != 0)?;
            number = number * 10 + usize::from(digit);
            rest &= rest - 1;
        }
        Some(number)
    }

    /// Luhn's test of the digits in `window`, whose last is at `last`.
    #[inline(always)]
    fn checks(&self, text: &[u8], window: u64, last: usize) -> bool {
        // Bit `i`: how many digits there are up to byte `i` is odd.
        let mut odd = self.digits;
        for shift in [1, 2, 4, 8, 16, 32] {
            odd ^= odd << shift;
        }
        // Every second digit is doubled, and the last is not: those whose parity differs from the last one's.
        let doubled = if odd >> last & 1 == 1 { !odd } else { odd };
        luhn_sum(text, self.base, window, window & doubled).is_multiple_of(10)
    }
}

/// Where chains begin that may hold a card number, given the runs seen in the whole text.
struct Starts<'a> {
    runs: std::slice::Iter<'a, Hot>,
    /// The runs of the current block, and where it begins.
    ends: u64,
    base: usize,
    least: usize,
    /// What is before this is done.
    done: usize,
}

impl<'a> Starts<'a> {
    fn new(kernel: &Kernel, runs: &'a [Hot], from: usize) -> Self {
        Self {
            runs: runs.iter(),
            ends: 0,
            base: 0,
            least: kernel.least() as usize,
            done: from,
        }
    }

    /// The next chain; `done`: where the last one is known to have ended.
    #[inline(always)]
    fn next(&mut self, done: usize) -> Option<usize> {
        self.done = self.done.max(done);
        loop {
            self.ends &= !low_bits(self.done.saturating_sub(self.base));
            if self.ends != 0 {
                break;
            }
            let run = self.runs.next()?;
            self.base = run.block * 64;
            self.ends = run.ends;
        }
        // The first end of a run stands `least - 1` bytes behind its start; later ones are of a chain that is done.
        let at = self.base + self.ends.trailing_zeros() as usize;
        let start = (at + 1 - self.least).max(self.done);
        // Not behind `at`: a chain that was cut in front of a separator begins with the byte behind that.
        self.done = start + 1;
        Some(start)
    }
}

/// [`Kernel::find`], as a piece of work.
struct Search<'a, E> {
    kernel: &'a Kernel,
    text: &'a [u8],
    runs: &'a [Hot],
    from: usize,
    before: usize,
    emit: &'a mut E,
}

impl<E: FnMut(Window)> Work for Search<'_, E> {
    #[inline(always)]
    fn run(self) {
        let mut starts = Starts::new(self.kernel, self.runs, self.from);
        let mut done = self.from;
        while let Some(start) = starts.next(done).filter(|start| *start < self.before) {
            done = self.kernel.chain(self.text, start, self.before, self.emit);
        }
    }
}

/// [`Kernel::spans`], as a piece of work.
struct Survey<'a> {
    kernel: &'a Kernel,
    text: &'a [u8],
    runs: &'a [Hot],
    spans: &'a mut Vec<(usize, usize)>,
}

impl Work for Survey<'_> {
    #[inline(always)]
    fn run(self) {
        let mut starts = Starts::new(self.kernel, self.runs, 0);
        let mut done = 0;
        while let Some(start) = starts.next(done) {
            done = self.kernel.span(self.text, start, self.spans);
        }
    }
}

impl Kernel {
    pub(super) fn new(lengths: Lengths) -> Self {
        Self { lengths }
    }

    /// The least bytes that a card number has.
    pub(crate) fn least(&self) -> u32 {
        // Card numbers have 12 digits at least and 19 at most, so this fits.
        self.lengths.shortest as u32
    }

    /// Appends the spans of the chains that have enough digits for a card number. A chain of any part of the text lies
    /// within one of them, if it has.
    pub(crate) fn spans(&self, text: &[u8], runs: &[Hot], spans: &mut Vec<(usize, usize)>) {
        accelerated(Survey {
            kernel: self,
            text,
            runs,
            spans,
        });
    }

    /// The span of the chain that begins at `start`, if it is long enough; returns where the chain is known to have ended.
    #[inline(always)]
    fn span(&self, text: &[u8], start: usize, spans: &mut Vec<(usize, usize)>) -> usize {
        let view = View::new(text, start);
        let mut end = start + view.length;
        if view.goes_on() {
            while digit(text, end).is_some() || digit(text, end + 1).is_some() {
                end += 1;
            }
        } else if view.digits.count_ones() < self.least() {
            return end + 1;
        }
        spans.push((start, end));
        end + 1
    }

    /// Emits, in the order of their starts, the card numbers whose first digit lies in `[from, before)`, given the runs
    /// seen in the whole `text`. Bytes before `from` are context: a group that begins there is cut, and not one.
    pub(crate) fn find(&self, text: &[u8], runs: &[Hot], from: usize, before: usize, emit: &mut impl FnMut(Window)) {
        accelerated(Search {
            kernel: self,
            text,
            runs,
            from,
            before,
            emit,
        });
    }

    /// The card numbers of the chain that begins at `start`; returns where the chain is known to have ended.
    #[inline(always)]
    fn chain(&self, text: &[u8], start: usize, before: usize, emit: &mut impl FnMut(Window)) -> usize {
        let mut view = View::new(text, start);
        let mut cut = start.checked_sub(1).is_some_and(|left| digit(text, left).is_some());
        loop {
            if !view.goes_on() && view.digits.count_ones() < self.least() {
                return view.base + view.length + 1;
            }
            let mut groups = view.digits & !(view.digits << 1);
            if cut {
                groups &= !1;
            }
            // A window that begins further on may reach out of the view, if the chain does.
            let seen = if view.goes_on() { 64 - REACH } else { 64 };
            while groups != 0 {
                let at = groups.trailing_zeros() as usize;
                if at >= seen {
                    break;
                }
                if !view.goes_on() && (view.digits >> at).count_ones() < self.least() {
                    // Too few digits are left for a card number.
                    break;
                }
                if view.base + at >= before {
                    return view.base + at;
                }
                self.windows(text, &view, at, emit);
                groups &= groups - 1;
            }
            if !view.goes_on() {
                return view.base + view.length + 1;
            }
            // Go on with the next group, or else with the last digit seen, which is not the first of its group.
            cut = groups == 0;
            let next = if cut {
                63 - view.digits.leading_zeros() as usize
            } else {
                groups.trailing_zeros() as usize
            };
            view = View::new(text, view.base + next);
        }
    }

    /// The card numbers that begin with the group at byte `first` of a view.
    #[inline(always)]
    fn windows(&self, text: &[u8], view: &View, first: usize, emit: &mut impl FnMut(Window)) {
        let lengths = view.first_four(text, first).map_or(0, |number| self.lengths.of(number));
        if lengths == 0 {
            return;
        }
        let from_first = view.digits >> first << first;
        let mut ends = from_first & !(view.digits >> 1);
        while ends != 0 {
            let last = ends.trailing_zeros() as usize;
            ends &= ends - 1;
            let window = from_first & low_bits(last + 1);
            let digits = window.count_ones() as usize;
            if digits > MAX_DIGITS {
                return;
            }
            if digits >= 12 && lengths >> (digits - 12) & 1 == 1 && view.checks(text, window, last) {
                emit(Window {
                    start: view.base + first,
                    end: view.base + last + 1,
                    digits,
                });
            }
        }
    }

    /// Whether the decimal digits of a number are a card number.
    pub(crate) fn is_pan(&self, number: u64) -> bool {
        let mut text = [0u8; 20];
        let mut at = text.len();
        let mut rest = number;
        while rest > 0 {
            at -= 1;
            if let Some(byte) = text.get_mut(at) {
                *byte = b'0' + (rest % 10) as u8;
            }
            rest /= 10;
        }
        let mut found = false;
        self.chain(text.get(at..).unwrap_or_default(), 0, text.len(), &mut |_| found = true);
        found
    }
}

//! The card number kernel.
//!
//! A *chain* is a run of digits in which single separators (space, hyphen, full stop, slash) may stand between digits;
//! they cut it into *groups*. A *window* is a sequence of whole groups of one chain. A window of 12 to 19 digits whose
//! first digits and length belong to a card brand and whose last digit is its Luhn check digit is a card number. So
//! `order 12 4111 1111 1111 1111 99` holds one, and a bare run of more than 19 digits holds none.

use super::brands::Lengths;
use crate::raw::{Hot, digit_runs};

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

#[inline]
fn digit(text: &[u8], at: usize) -> Option<u8> {
    text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|value| *value <= 9)
}

#[inline]
fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'/')
}

/// A digit doubled, as Luhn counts it: 2d, and 2d - 9 from 5 on.
#[inline]
fn doubled(digit: u8) -> u32 {
    let twice = u32::from(digit) * 2;
    if twice > 9 { twice - 9 } else { twice }
}

impl Kernel {
    pub(super) fn new(lengths: Lengths) -> Self {
        Self { lengths }
    }

    /// Appends the blocks of `text` that may hold a card number: a superset, at many GB/s.
    pub(crate) fn prefilter(&self, text: &[u8], hot: &mut Vec<Hot>) {
        digit_runs(text, self.run(), hot);
    }

    fn run(&self) -> u32 {
        // Card numbers have 12 digits at least, so this fits.
        self.lengths.shortest as u32
    }

    /// Emits, in the order of their starts, the card numbers whose first digit lies in `[from, before)`, given the hot
    /// blocks of the whole `text`. Bytes before `from` are context: a group that begins there is cut, and not one.
    pub(crate) fn find(&self, text: &[u8], hot: &[Hot], from: usize, before: usize, emit: &mut impl FnMut(Window)) {
        let run = self.run() as usize;
        let mut done = from;
        for block in hot {
            let mut ends = block.ends;
            while ends != 0 {
                let at = block.block * 64 + ends.trailing_zeros() as usize;
                ends &= ends - 1;
                // The first end of a run stands `run - 1` bytes behind its start; later ones are of the chain just done.
                if at >= done {
                    let start = (at + 1 - run).max(done);
                    if start >= before {
                        return;
                    }
                    done = self.chain(text, start, before, emit);
                    if done >= before {
                        return;
                    }
                }
            }
        }
    }

    /// The card numbers of the chain that begins at `start`; returns where the chain is known to have ended.
    fn chain(&self, text: &[u8], start: usize, before: usize, emit: &mut impl FnMut(Window)) -> usize {
        let mut group = start;
        let cut = start.checked_sub(1).is_some_and(|left| digit(text, left).is_some());
        if !cut {
            self.windows(text, group, emit);
        }
        loop {
            let mut end = group;
            while digit(text, end).is_some() {
                end += 1;
            }
            if !text.get(end).is_some_and(|byte| is_separator(*byte)) || digit(text, end + 1).is_none() {
                return end + 1;
            }
            group = end + 1;
            if group >= before {
                return group;
            }
            self.windows(text, group, emit);
        }
    }

    /// The card numbers that begin with the group at `start`.
    fn windows(&self, text: &[u8], start: usize, emit: &mut impl FnMut(Window)) {
        // Luhn doubles every second digit from the right. Where the right end will be is not known yet, so both sums are
        // kept: with the first, third, ... digit doubled, and with the second, fourth, ...
        let (mut odd_doubled, mut even_doubled) = (0u32, 0u32);
        let mut lengths = 0u8;
        let mut first_four = 0usize;
        let mut digits = 0usize;
        let mut at = start;
        while let Some(value) = digit(text, at) {
            digits += 1;
            if digits % 2 == 1 {
                odd_doubled += doubled(value);
                even_doubled += u32::from(value);
            } else {
                odd_doubled += u32::from(value);
                even_doubled += doubled(value);
            }
            if digits <= 4 {
                first_four = first_four * 10 + usize::from(value);
                if digits == 4 {
                    lengths = self.lengths.of(first_four);
                    if lengths == 0 {
                        return;
                    }
                }
            } else if digits > MAX_DIGITS {
                return;
            }
            at += 1;
            if digit(text, at).is_some() {
                continue;
            }
            // The check digit itself is never doubled.
            let sum = if digits.is_multiple_of(2) { odd_doubled } else { even_doubled };
            if digits >= 12 && lengths >> (digits - 12) & 1 == 1 && sum % 10 == 0 {
                emit(Window { start, end: at, digits });
            }
            if !text.get(at).is_some_and(|byte| is_separator(*byte)) {
                return;
            }
            at += 1;
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
        self.windows(text.get(at..).unwrap_or_default(), 0, &mut |_| found = true);
        found
    }
}

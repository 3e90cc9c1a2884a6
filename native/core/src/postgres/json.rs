//! Covers parts of a JSON text so that it stays JSON.

use crate::scanner::finding::Finding;

/// Where in a JSON text a piece of it begins.
///
/// In strings, stars go over what is covered; quotes, escapes and structure stay. A covered number stays a number: spaces
/// in front of the digits that remain, and a zero where none does (RFC 8259 allows no leading zeros).
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one position")]
pub(super) struct Cover {
    in_string: bool,
    /// How many bytes of an escape are still to come.
    escape: usize,
    /// Inside a number, behind its point or exponent.
    in_fraction: bool,
    /// A digit of the number stayed visible.
    visible: bool,
    in_number: bool,
}

impl Cover {
    /// Covers the findings in the first `length` bytes of `text`, which begins at `origin` of what they refer to. The
    /// byte behind, where there is one, is looked at but not changed.
    pub(super) fn apply(&mut self, text: &mut [u8], length: usize, findings: &[Finding], origin: usize) {
        let mut covers: Vec<(usize, usize)> = findings
            .iter()
            .map(|f| (f.cover_start.saturating_sub(origin), f.cover_end.saturating_sub(origin)))
            .filter(|(start, end)| start < end)
            .collect();
        covers.sort_unstable();
        let mut at = 0;
        let mut covered_to = 0;
        let mut next = covers.iter().peekable();
        while at < length {
            // One byte ahead, because a minus sign goes with the number behind it.
            while let Some((_, end)) = next.next_if(|(start, _)| *start <= at) {
                covered_to = covered_to.max(*end);
            }
            let follower = text.get(at + 1).copied();
            let next_covered = covered_to > at + 1 || next.peek().is_some_and(|(start, _)| *start == at + 1);
            if let Some(byte) = text.get_mut(at) {
                *byte = self.step(*byte, follower, at < covered_to, next_covered);
            }
            at += 1;
        }
    }

    fn step(&mut self, byte: u8, next: Option<u8>, covered: bool, next_covered: bool) -> u8 {
        if self.in_string {
            return self.in_string(byte, next, covered);
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.in_number = false;
                byte
            }
            b'0'..=b'9' => {
                if !self.in_number {
                    *self = Self {
                        in_number: true,
                        ..Self::default()
                    };
                }
                self.digit(byte, next, covered)
            }
            b'-' if !self.in_number && next_covered && next.is_some_and(|b| b.is_ascii_digit()) => b' ',
            b'.' | b'e' | b'E' | b'+' | b'-' if self.in_number => {
                self.in_fraction = true;
                byte
            }
            _ => {
                self.in_number = false;
                byte
            }
        }
    }

    fn in_string(&mut self, byte: u8, next: Option<u8>, covered: bool) -> u8 {
        if self.escape > 0 {
            self.escape -= 1;
            return byte;
        }
        match byte {
            b'"' => self.in_string = false,
            b'\\' => self.escape = if next == Some(b'u') { 5 } else { 1 },
            _ if covered => return b'*',
            _ => {}
        }
        byte
    }

    fn digit(&mut self, byte: u8, next: Option<u8>, covered: bool) -> u8 {
        let byte = if covered { b'0' } else { byte };
        if self.in_fraction || self.visible {
            return byte;
        }
        // A zero in front of other digits: not allowed, unless the text had it, and then it is not JSON anyway.
        if byte == b'0' && next.is_some_and(|b| b.is_ascii_digit()) {
            return b' ';
        }
        self.visible = true;
        byte
    }
}

/// A JSON string of stars, of the same length as the value.
pub(super) fn whole(value: &mut [u8]) {
    match value {
        [] => {}
        [one] => *one = b'0',
        [first, middle @ .., last] => {
            *first = b'"';
            middle.fill(b'*');
            *last = b'"';
        }
    }
}

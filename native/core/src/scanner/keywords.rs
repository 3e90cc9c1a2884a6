//! What the built-in keywords and sentinels introduce.
//!
//! Vectorscan finds the keyword, which is cheap; what follows it is read here, because a bounded grammar of gaps and
//! values would make an expression too large to report where it begins.

use super::finding::Finding;

/// The most bytes from the start of a keyword that decide about its value.
pub(super) const REACH: usize = 160;

/// The most bytes of a keyword, with the letter that may stand before it.
pub(super) const CONTEXT: usize = 32;

/// The most bytes between a keyword and its value.
const GAP: usize = 24;

pub(super) const TRACK: usize = 1;
pub(super) const CVV: usize = 2;
pub(super) const PIN: usize = 3;

#[derive(Clone, Copy, Debug)]
pub(super) enum Keyword {
    /// `%B`: ISO/IEC 7813 track 1, format code B.
    Track1,
    /// `;` and digits: track 2. The match includes eight digits.
    Track2,
    Cvv,
    /// A word short enough to be the end of another.
    ShortCvv,
    PinBlock,
    Pin,
}

/// The expressions that find each keyword.
pub(super) const KEYWORDS: [(&str, Keyword); 6] = [
    ("%(?:25)?[Bb][0-9]", Keyword::Track1),
    ("(?:;|%3[bB])[0-9]{8}", Keyword::Track2),
    (
        "(?i)(?:cvv2?|cvc2?|cav2|card[ _-]?verification|security[ _-]?code|verification[ _-]?(?:code|value|number))",
        Keyword::Cvv,
    ),
    ("(?i)(?:csc|cvd|cvn2?)", Keyword::ShortCvv),
    ("(?i)pin[ _-]?bl(?:oc)?k", Keyword::PinBlock),
    ("(?i)pin[\"'\\\\ :=]", Keyword::Pin),
];

impl Keyword {
    /// What the keyword that ends at `end` introduces. A finding begins with the last byte of its keyword, or with the
    /// sentinel of a track.
    pub(super) fn finding(self, text: &[u8], end: usize) -> Option<Finding> {
        let start = end.checked_sub(1)?;
        match self {
            // The match ends with the first digit of the number.
            Self::Track1 => {
                let sentinel = preceded(text, start - 1, &[b"%", b"%25"])?;
                Some(Finding::whole(TRACK, sentinel, track1(text, start)?))
            }
            Self::Track2 => {
                let number = end.checked_sub(8)?;
                let sentinel = preceded(text, number, &[b";", b"%3b", b"%3B"])?;
                Some(Finding::whole(TRACK, sentinel, track2(text, number)?))
            }
            Self::Cvv => value(text, start, gap(text, end), CVV, 3, 4, u8::is_ascii_digit),
            Self::ShortCvv => {
                let word = end.checked_sub(if text.get(start) == Some(&b'2') { 4 } else { 3 })?;
                let at = gap(text, end).filter(|at| *at > end && !after_letter(text, word));
                value(text, start, at, CVV, 3, 4, u8::is_ascii_digit)
            }
            Self::PinBlock => value(text, start, gap(text, end), PIN, 16, 16, u8::is_ascii_hexdigit),
            Self::Pin => {
                // Pins are common words: only an assignment counts.
                let at = gap(text, start).filter(|_| !after_letter(text, end - 4))?;
                text.get(start..at)?.iter().find(|byte| matches!(byte, b':' | b'='))?;
                value(text, start, Some(at), PIN, 4, 12, u8::is_ascii_digit)
            }
        }
    }
}

/// Where the one of `marks` begins that ends at `end`.
fn preceded(text: &[u8], end: usize, marks: &[&[u8]]) -> Option<usize> {
    let head = text.get(..end)?;
    marks.iter().filter(|mark| head.ends_with(mark)).map(|mark| end - mark.len()).min()
}

fn after_letter(text: &[u8], start: usize) -> bool {
    start
        .checked_sub(1)
        .and_then(|left| text.get(left))
        .is_some_and(u8::is_ascii_alphabetic)
}

/// A run of `least..=most` bytes of a kind at `at`, no shorter and no longer.
fn value(text: &[u8], start: usize, at: Option<usize>, rule: usize, least: usize, most: usize, kind: fn(&u8) -> bool) -> Option<Finding> {
    let at = at?;
    let length = run(text, at, most + 1, kind);
    let mut finding = Finding::whole(rule, start, at + length);
    finding.cover_start = at;
    (least..=most).contains(&length).then_some(finding)
}

fn run(text: &[u8], at: usize, most: usize, kind: impl Fn(&u8) -> bool) -> usize {
    text.get(at..)
        .unwrap_or_default()
        .iter()
        .take(most)
        .take_while(|byte| kind(byte))
        .count()
}

/// Where the value begins behind quotes, colons, tags and filler words, in plain, escaped or URL-encoded form.
fn gap(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    let mut words = 0;
    while at - from <= GAP {
        let rest = text.get(at..)?;
        match rest {
            [b'0'..=b'9', ..] => return Some(at),
            [
                b' ' | b'\t' | b'"' | b'\'' | b'\\' | b':' | b'=' | b'>' | b'|' | b',' | b';' | b'(' | b')' | b'[' | b']' | b'{' | b'}'
                | b'#' | b'_' | b'-',
                ..,
            ] => {
                at += 1;
            }
            [b'%', b'2' | b'3', b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..] => at += 3,
            _ => {
                let word = ["code", "value", "number", "num", "no", "is", "was"].iter().find(|word| {
                    rest.get(..word.len())
                        .is_some_and(|text| text.eq_ignore_ascii_case(word.as_bytes()))
                });
                words += 1;
                match word {
                    Some(word) if words <= 2 => at += word.len(),
                    // Whatever it is (a hexadecimal digit, say), the caller looks at it.
                    _ => return Some(at),
                }
            }
        }
    }
    None
}

/// The end of a track 1 whose number begins at `at`.
fn track1(text: &[u8], at: usize) -> Option<usize> {
    let number = run(text, at, 24, |byte| byte.is_ascii_digit() || *byte == b' ');
    if !(12..=23).contains(&number) {
        return None;
    }
    let name_at = caret(text, at + number)?;
    let name = run(text, name_at, 41, |byte| !matches!(byte, b'^' | b'%' | b'?' | b'\r' | b'\n'));
    if !(2..=40).contains(&name) {
        return None;
    }
    let data_at = caret(text, name_at + name)?;
    if run(text, data_at, 4, u8::is_ascii_digit) < 4 {
        return None;
    }
    let end = data_at
        + run(text, data_at, 64, |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'=')
        });
    Some(end + usize::from(text.get(end) == Some(&b'?')))
}

/// The end of a track 2 whose number begins at `at`.
fn track2(text: &[u8], at: usize) -> Option<usize> {
    let number = run(text, at, 20, u8::is_ascii_digit);
    if !(12..=19).contains(&number) {
        return None;
    }
    let at = at + number;
    let data_at = match text.get(at..)? {
        [b'=' | b'D' | b'd', ..] => at + 1,
        [b'%', b'3', b'D' | b'd', ..] => at + 3,
        _ => return None,
    };
    let data = run(text, data_at, 40, u8::is_ascii_digit);
    let end = data_at + data;
    (data >= 4).then(|| end + usize::from(text.get(end) == Some(&b'?')))
}

/// The position behind a caret, plain or URL-encoded.
fn caret(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at..)? {
        [b'^', ..] => Some(at + 1),
        [b'%', b'5', b'e' | b'E', ..] => Some(at + 3),
        _ => None,
    }
}

//! The built-in keywords and sentinels, and what they introduce.
//!
//! Fingerprints of three bytes are found by SIMD ([`crate::raw`]); what stands around one is read here. A general matcher
//! costs as much for its call alone on a short value, and several times as much per byte on a long one.

use super::finding::Finding;
use crate::raw::Fingerprints;

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

/// Three bytes in the middle of each keyword, chosen to be rare in prose.
pub(super) const FINGERPRINTS: Fingerprints = Fingerprints::new(&[
    [b"c", b"v", b"vcdn"],
    [b"c", b"a", b"v"],
    [b"c", b"s", b"c"],
    // verification
    [b"r", b"i", b"f"],
    // security
    [b"c", b"u", b"r"],
    [b"p", b"i", b"n"],
    [b"%", b"b23", b"0123456789b"],
    [b";", b"0123456789", b"0123456789"],
]);

/// Emits the keywords whose fingerprint ends with byte `mark`, and the end of each.
pub(super) fn keywords_at(text: &[u8], mark: usize, emit: &mut impl FnMut(Keyword, usize)) {
    let Some(start) = mark.checked_sub(2) else { return };
    let Some([first, second, third]) = text.get(start..).and_then(<[u8]>::first_chunk) else {
        return;
    };
    let end = start + 3;
    let two = text.get(end) == Some(&b'2');
    match [first.to_ascii_lowercase(), second.to_ascii_lowercase(), third.to_ascii_lowercase()] {
        [b'c', b'v', b'v' | b'c'] => {
            emit(Keyword::Cvv, end);
            if two {
                emit(Keyword::Cvv, end + 1);
            }
        }
        [b'c', b'a', b'v'] if two => emit(Keyword::Cvv, end + 1),
        [b'c', b's', b'c'] | [b'c', b'v', b'd'] => emit(Keyword::ShortCvv, end),
        [b'c', b'v', b'n'] => {
            emit(Keyword::ShortCvv, end);
            if two {
                emit(Keyword::ShortCvv, end + 1);
            }
        }
        [b'r', b'i', b'f'] => verification(text, start, emit),
        [b'c', b'u', b'r'] => {
            let word = follows(text, end, b"ity").filter(|_| precedes(text, start, b"se").is_some());
            if let Some(end) = word.and_then(|end| follows(text, joint(text, end), b"code")) {
                emit(Keyword::Cvv, end);
            }
        }
        [b'p', b'i', b'n'] => {
            if matches!(text.get(end), Some(b'"' | b'\'' | b'\\' | b' ' | b':' | b'=')) {
                emit(Keyword::Pin, end + 1);
            }
            let block = joint(text, end);
            if let Some(end) = follows(text, block, b"blk").or_else(|| follows(text, block, b"block")) {
                emit(Keyword::PinBlock, end);
            }
        }
        [b'%', b'b', b'0'..=b'9'] => emit(Keyword::Track1, end),
        [b'%', b'2', b'5'] => {
            if matches!(text.get(end..), Some([b'b' | b'B', b'0'..=b'9', ..])) {
                emit(Keyword::Track1, end + 2);
            }
        }
        [b'%', b'3', b'b'] => track2_sentinel(text, end, emit),
        [b';', ..] => track2_sentinel(text, start + 1, emit),
        _ => {}
    }
}

/// `card verification`, `verification code` and the like around `rif`.
fn verification(text: &[u8], middle: usize, emit: &mut impl FnMut(Keyword, usize)) {
    let Some(end) = follows(text, middle + 3, b"ication") else { return };
    let Some(start) = precedes(text, middle, b"ve") else { return };
    if precedes(text, start, b"card").is_some()
        || start
            .checked_sub(1)
            .filter(|left| joint(text, *left) == start)
            .is_some_and(|left| precedes(text, left, b"card").is_some())
    {
        emit(Keyword::Cvv, end);
    }
    let next = joint(text, end);
    for word in [b"code".as_slice(), b"value", b"number"] {
        if let Some(end) = follows(text, next, word) {
            emit(Keyword::Cvv, end);
        }
    }
}

/// The match of track 2 includes eight digits.
fn track2_sentinel(text: &[u8], number: usize, emit: &mut impl FnMut(Keyword, usize)) {
    if text
        .get(number..)
        .and_then(<[u8]>::first_chunk::<8>)
        .is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
    {
        emit(Keyword::Track2, number + 8);
    }
}

/// The position behind one space, underscore or hyphen, if there is one.
fn joint(text: &[u8], at: usize) -> usize {
    at + usize::from(matches!(text.get(at), Some(b' ' | b'_' | b'-')))
}

/// The end of `word`, when it stands at `at`.
fn follows(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    let end = at + word.len();
    text.get(at..end)?.eq_ignore_ascii_case(word).then_some(end)
}

/// The start of `word`, when it ends at `end`.
fn precedes(text: &[u8], end: usize, word: &[u8]) -> Option<usize> {
    let start = end.checked_sub(word.len())?;
    follows(text, start, word).map(|_| start)
}

impl Keyword {
    /// What the keyword that ends at `end` introduces. A finding begins with the last byte of its keyword, or with the
    /// sentinel of a track.
    pub(super) fn finding(self, text: &[u8], end: usize) -> Option<Finding> {
        let start = end.checked_sub(1)?;
        match self {
            // It ends with the first digit of the number.
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use std::ffi::CString;

    use proptest::prelude::*;

    use super::{FINGERPRINTS, Keyword, keywords_at};
    use crate::raw::{Database, Expression, Hot, Sweep};

    /// The definition of the keywords, for a general matcher.
    const DEFINITION: [(&str, Keyword); 6] = [
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

    fn ours(text: &[u8]) -> Vec<(usize, u32)> {
        let mut marks = Vec::new();
        Sweep {
            least: 12,
            fingerprints: &FINGERPRINTS,
            runs: None,
            marks: Some(&mut marks),
        }
        .over(text);
        let mut found = Vec::new();
        for mark in marks.into_iter().flat_map(Hot::positions) {
            keywords_at(text, mark, &mut |keyword, end| found.push((end, keyword as u32)));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn text() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "cvv",
            "CVC",
            "cvd",
            "cvn",
            "2",
            "cav2",
            "ca",
            "csc",
            "card",
            "Card",
            "verification",
            "Veri",
            "fication",
            "rif",
            "code",
            "value",
            "number",
            "security",
            "secur",
            "ity",
            "pin",
            "PIN",
            "bl",
            "oc",
            "k",
            "block",
            " ",
            "_",
            "-",
            "%",
            "25",
            "B",
            "b4",
            "3b",
            "%3B",
            ";",
            "12345678",
            "1234567",
            ":",
            "=",
            "\"",
            "\\",
            "'",
            "x",
            "\u{e9}",
            "lorem ipsum dolor sit amet ",
        ]);
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn keywords_are_those_of_the_definition(text in text()) {
            static MATCHER: std::sync::LazyLock<Database> = std::sync::LazyLock::new(|| {
                let expressions: Vec<Expression> = DEFINITION
                    .iter()
                    .map(|(regex, keyword)| Expression { regex: CString::new(*regex).unwrap(), id: *keyword as u32, start: false })
                    .collect();
                Database::compile(&expressions).unwrap()
            });
            let mut expected = Vec::new();
            MATCHER
                .scan(text.as_bytes(), |id, _, end| {
                    expected.push((end, id));
                    true
                })
                .unwrap();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(ours(text.as_bytes()), expected);
        }
    }
}

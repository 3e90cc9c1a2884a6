//! Covers parts of a JSON text so that it stays JSON.

/// Covers the marked bytes of `text`: in strings with stars, in numbers with spaces in front and zeros. Quotes, escapes
/// and structure stay.
pub(super) fn cover(text: &mut [u8], marked: &[bool]) {
    let is_marked = |at: usize| marked.get(at).copied().unwrap_or(false);
    let mut at = 0;
    let mut in_string = false;
    while let Some(byte) = text.get_mut(at) {
        match *byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                // The escape and what it escapes stay as they are; \u takes four more.
                at += if text.get(at + 1) == Some(&b'u') { 6 } else { 2 };
                continue;
            }
            _ if in_string => {
                if is_marked(at) {
                    *byte = b'*';
                }
            }
            b'0'..=b'9' => {
                let length = text
                    .get(at..)
                    .unwrap_or_default()
                    .iter()
                    .take_while(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
                    .count();
                if (at..at + length).any(is_marked) {
                    let negative = at.checked_sub(1).and_then(|left| text.get_mut(left)).filter(|b| **b == b'-');
                    if let Some(sign) = negative {
                        *sign = b' ';
                    }
                    if let Some(number) = text.get_mut(at..at + length) {
                        cover_number(number, marked.get(at..).unwrap_or_default());
                    }
                }
                at += length;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
}

/// Leaves a number that JSON allows: no leading zeros, a digit before the point.
fn cover_number(number: &mut [u8], marked: &[bool]) {
    let integer = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let last_marked = marked.iter().take(number.len()).rposition(|m| *m).unwrap_or(0);
    for (at, byte) in number.iter_mut().enumerate().take(last_marked + 1) {
        // Digits in front of a covered one go as well: a gap in a number is not a number.
        if byte.is_ascii_digit() && (at < integer || marked.get(at).copied().unwrap_or(false)) {
            *byte = b'0';
        }
    }
    for at in 0..integer.saturating_sub(1) {
        match number.get_mut(at) {
            Some(byte) if *byte == b'0' => *byte = b' ',
            _ => break,
        }
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

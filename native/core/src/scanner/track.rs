//! Magnetic stripe data that follows a card number.
//!
//! Vectorscan finds tracks by their start sentinels. A track copied without them begins with the card number itself, so
//! the bytes behind each card number are looked at too (ISO/IEC 7813).

/// The most bytes behind a card number that [`tail`] looks at.
pub(crate) const REACH: usize = 1 + NAME + 1 + REST + 1;

const NAME: usize = 26;
const REST: usize = 60;

/// Where the track ends that goes on at `at`, behind a card number; `None` when none does.
pub(crate) fn tail(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let (separator, rest) = rest.split_first()?;
    let (head, allowed): (usize, fn(u8) -> bool) = match separator {
        // Track 2, as on the stripe and as chips write it (D in hexadecimal).
        b'=' | b'D' | b'd' => (1, |byte| byte.is_ascii_digit()),
        // Track 1: the holder's name up to another caret.
        b'^' => {
            let name = rest.iter().take(NAME + 1).position(|byte| *byte == b'^')?;
            (1 + name + 1, |byte| byte.is_ascii_alphanumeric() || byte == b' ' || byte == b'=')
        }
        _ => return None,
    };
    let data = text.get(at + head..)?;
    // Expiry (4 digits) and service code (3) are always there.
    if data.len() < 7 || !data.iter().take(7).all(u8::is_ascii_digit) {
        return None;
    }
    let length = data.iter().take(REST).take_while(|byte| allowed(**byte)).count();
    let end = at + head + length;
    Some(end + usize::from(text.get(end) == Some(&b'?')))
}

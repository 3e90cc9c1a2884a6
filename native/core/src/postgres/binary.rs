//! Binary formats that hold other values or numbers.

use crate::scanner::pan::Kernel;

/// Big-endian readers that return `None` at the end of the bytes.
pub(super) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

pub(super) fn read_i32(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().map(|b| i32::from_be_bytes(*b))
}

/// The value of an integer of 2, 4 or 8 bytes, without its sign.
pub(super) fn integer(value: &[u8]) -> Option<u64> {
    Some(
        match value.len() {
            2 => i64::from(i16::from_be_bytes(value.try_into().ok()?)),
            4 => i64::from(i32::from_be_bytes(value.try_into().ok()?)),
            8 => i64::from_be_bytes(value.try_into().ok()?),
            _ => return None,
        }
        .unsigned_abs(),
    )
}

/// Keeps the last digits of an integer. Numbers too short to be a card number keep none. False when it is no integer.
pub(super) fn cover_integer(value: &mut [u8], keep_last: usize) -> bool {
    let Some(number) = integer(value) else { return false };
    let kept = if number < 100_000_000_000 {
        0
    } else {
        number % 10u64.pow(keep_last.min(4) as u32)
    };
    // At most four digits: they fit in any width.
    for (to, from) in value.iter_mut().rev().zip(kept.to_le_bytes().iter().chain(std::iter::repeat(&0))) {
        *to = *from;
    }
    true
}

pub(super) fn integer_is_pan(kernel: &Kernel, value: &[u8]) -> bool {
    integer(value).is_some_and(|number| kernel.is_pan(number))
}

/// Offset of the base-10000 digits of a binary numeric, behind their count, weight, sign and scale.
const NUMERIC_HEADER: usize = 8;

/// The integer part of a binary numeric, when it has at most 19 digits.
fn numeric_integer(value: &[u8]) -> Option<u64> {
    let count = usize::from(read_u16(value, 0)?);
    let weight = read_u16(value, 2)?.cast_signed();
    let groups = usize::try_from(weight).ok()? + 1;
    if groups > 5 {
        return None;
    }
    let mut number = 0u64;
    for group in 0..groups {
        let digits = if group < count {
            read_u16(value, NUMERIC_HEADER + 2 * group)?
        } else {
            0
        };
        number = number.checked_mul(10_000)?.checked_add(u64::from(digits))?;
    }
    Some(number)
}

pub(super) fn numeric_is_pan(kernel: &Kernel, value: &[u8]) -> bool {
    numeric_integer(value).is_some_and(|number| kernel.is_pan(number))
}

/// Zeroes the digits of a binary numeric but for the last ones of its integer part. False when it is malformed.
pub(super) fn cover_numeric(value: &mut [u8], keep_last: usize) -> bool {
    let (Some(count), Some(weight)) = (read_u16(value, 0), read_u16(value, 2)) else {
        return false;
    };
    if value.len() != NUMERIC_HEADER + 2 * usize::from(count) {
        return false;
    }
    let long_enough = numeric_integer(value).is_some_and(|number| number >= 100_000_000_000);
    let last_integer_group = if long_enough { usize::from(weight) } else { usize::MAX };
    for (index, group) in value
        .get_mut(NUMERIC_HEADER..)
        .unwrap_or_default()
        .as_chunks_mut::<2>()
        .0
        .iter_mut()
        .enumerate()
    {
        let kept = if index == last_integer_group {
            u16::from_be_bytes(*group) % 10u16.pow(keep_last.min(4) as u32)
        } else {
            0
        };
        *group = kept.to_be_bytes();
    }
    true
}

/// Whether bytes are laid out like a binary numeric.
pub(super) fn is_numeric(value: &[u8]) -> bool {
    let Some((header, digits)) = value.split_at_checked(NUMERIC_HEADER) else {
        return false;
    };
    let signs = [0x0000, 0x4000];
    read_u16(header, 0).is_some_and(|count| usize::from(count) * 2 == digits.len())
        && read_u16(header, 4).is_some_and(|sign| signs.contains(&sign))
        && digits.as_chunks::<2>().0.iter().all(|group| u16::from_be_bytes(*group) < 10_000)
}

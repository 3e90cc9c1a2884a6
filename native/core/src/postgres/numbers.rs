//! Card numbers in numbers that are neither integers nor `numeric`: floats, money, and eight bytes of an unknown type.

use super::binary;
use crate::scanner::pan::Kernel;

/// The least number of twelve digits, and what is too large for nineteen.
const LEAST: f64 = 1e11;
const TOO_LARGE: f64 = 1e19;

/// Whether the whole part of a float is a card number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive and below 10^19; what is behind the point is not looked at"
)]
fn float_is_pan(kernel: &Kernel, float: f64) -> bool {
    let size = float.abs();
    (LEAST..TOO_LARGE).contains(&size) && kernel.is_pan(size as u64)
}

fn count(counts: &mut [u32]) {
    if let Some(count) = counts.first_mut() {
        *count = count.saturating_add(1);
    }
}

/// Every `float8` of a value in binary format: paths and polygons have a header, whose length is what is left over.
pub(super) fn cover_binary_floats(kernel: &Kernel, value: &mut [u8], counts: &mut [u32]) {
    let header = value.len() % 8;
    for float in value.get_mut(header..).unwrap_or_default().as_chunks_mut::<8>().0 {
        if float_is_pan(kernel, f64::from_be_bytes(*float)) {
            float.fill(0);
            count(counts);
        }
    }
}

/// Numbers as they are written in a text, with exponents where they have one: those that are card numbers become zero.
pub(super) fn cover_text_floats(kernel: &Kernel, value: &mut [u8], counts: &mut [u32]) {
    let in_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    let mut at = 0;
    while let Some(found) = value.get(at..).and_then(|rest| rest.iter().position(u8::is_ascii_digit)) {
        let start = at + found;
        let length = value
            .get(start..)
            .unwrap_or_default()
            .iter()
            .take_while(|byte| in_number(byte))
            .count();
        at = start + length;
        let Some(text) = value.get_mut(start..at) else { continue };
        if float_of(text).is_some_and(|float| float_is_pan(kernel, float)) {
            text.iter_mut().filter(|byte| byte.is_ascii_digit()).for_each(|byte| *byte = b'0');
            count(counts);
        }
    }
}

/// The shortest that counts: twelve digits, or a digit with `e11`.
fn float_of(text: &[u8]) -> Option<f64> {
    if text.len() < 12 && !text.iter().any(|byte| matches!(byte, b'e' | b'E')) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// What the server writes of a float in a text of another type: from 10^15 on with an exponent, which no rule for digits sees.
/// One digit is in front of the point, so that the zeros are a number in JSON as well.
pub(super) fn cover_exponents(kernel: &Kernel, value: &mut [u8], counts: &mut [u32]) {
    let mut at = 0;
    while let Some(found) = value
        .get(at..)
        .and_then(|rest| rest.windows(EXPONENT.len()).position(|part| part == EXPONENT))
    {
        let exponent = at + found;
        let mantissa = value.get(..exponent).unwrap_or_default().iter().rev();
        let start = exponent - mantissa.take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
        let digits = value.get(exponent + EXPONENT.len()..).unwrap_or_default().iter();
        at = exponent + EXPONENT.len() + digits.take_while(|byte| byte.is_ascii_digit()).count();
        if let Some(text) = value.get_mut(start..at) {
            cover_text_floats(kernel, text, counts);
        }
    }
}

/// What follows the digits of every float that is printed with an exponent and can be a card number.
const EXPONENT: &[u8] = b"e+1";

/// Hundredths, or whatever the smallest unit of the server's currency is.
pub(super) fn cover_binary_money(kernel: &Kernel, value: &mut [u8], counts: &mut [u32]) {
    let Some(amount) = binary::integer(value) else { return };
    if [1, 100, 1000].iter().any(|unit| kernel.is_pan(amount / unit)) {
        value.fill(0);
        count(counts);
    }
}

/// Amounts with whatever currency, grouping and fraction the server's locale gives them: those that are card numbers become zero.
pub(super) fn cover_text_money(kernel: &Kernel, value: &mut [u8], counts: &mut [u32]) {
    // In an array an amount with commas is in quotes; one by itself is not.
    let array = value.first() == Some(&b'{');
    let mut quoted = !array;
    let mut start = 0;
    for at in 0..=value.len() {
        let byte = value.get(at).copied();
        if array && byte == Some(b'"') {
            quoted = !quoted;
        }
        let ends = match byte {
            None => true,
            Some(b'"' | b'{' | b'}') => array,
            Some(b',') => !quoted,
            Some(_) => false,
        };
        if ends {
            if let Some(amount) = value.get_mut(start..at) {
                cover_amount(kernel, amount, counts);
            }
            start = at + 1;
        }
    }
}

fn cover_amount(kernel: &Kernel, amount: &mut [u8], counts: &mut [u32]) {
    let number = amount
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .try_fold(0u128, |sum, byte| sum.checked_mul(10)?.checked_add(u128::from(byte - b'0')));
    let Some(number) = number else { return };
    let is_pan = |unit: u128| u64::try_from(number / unit).is_ok_and(|whole| kernel.is_pan(whole));
    if [1, 100, 1000].into_iter().any(is_pan) {
        amount.iter_mut().filter(|byte| byte.is_ascii_digit()).for_each(|byte| *byte = b'0');
        count(counts);
    }
}

/// Amounts with commas between their digits, in quotes inside of a record or an array: those that are card numbers become zero.
pub(super) fn cover_grouped(kernel: &Kernel, value: &mut [u8], counts: &mut [u32]) {
    let in_amount = |byte: &u8| byte.is_ascii_digit() || *byte == b',';
    let mut at = 0;
    while let Some(found) = value.get(at..).and_then(|rest| rest.iter().position(in_amount)) {
        let start = at + found;
        let rest = value.get(start..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| in_amount(byte)).count();
        at = start + length;
        // Numbers that are fields or elements by themselves follow a bracket or a comma.
        let before = start.checked_sub(1).and_then(|before| value.get(before)).copied();
        if let Some(amount) = value.get_mut(start..at).filter(|amount| amount.contains(&b','))
            && !amount.starts_with(b",")
            && amount.split(|byte| *byte == b',').skip(1).all(|group| group.len() == 3)
            && !matches!(before, Some(b'(' | b'{'))
        {
            cover_amount(kernel, amount, counts);
        }
    }
}

/// A card number of sixteen digits in hundredths is less.
const HUNDREDTHS: u64 = 1_000_000_000_000_000_000;

/// Bytes of an unknown type that may be a number: as a domain over one is inside of an array.
pub(super) fn cover_unknown(kernel: &Kernel, value: &mut [u8], counts: &mut [u32]) {
    // Eight letters are the label of an enum, and no number of fewer than nineteen digits.
    let is_word = value.iter().all(|byte| (0x20..0x7f).contains(byte));
    if value.len() == 8 && !is_word {
        let before = binary::integer(value).unwrap_or(0);
        // What is larger as hundredths is most likely a float: their bytes all begin like that.
        if kernel.is_pan(before) || before < HUNDREDTHS && kernel.is_pan(before / 100) {
            value.fill(0);
            count(counts);
        } else {
            cover_binary_floats(kernel, value, counts);
        }
    } else if binary::is_numeric(value) && binary::numeric_is_pan(kernel, value) {
        binary::cover_numeric(value, 0);
        count(counts);
    }
}

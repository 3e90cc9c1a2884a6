//! Finds the places where a run of digits is long enough for a card number, 64 bytes at a time.

#![expect(clippy::inline_always, reason = "these must be compiled with the vector features of their caller")]
#![cfg_attr(target_arch = "x86_64", expect(clippy::cast_ptr_alignment, reason = "unaligned loads"))]

/// One 64-byte block in which a long run was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hot {
    /// Index of the block: it begins at byte `64 * block`.
    pub block: usize,
    /// Bit `i`: the run that byte `i` belongs to has reached the asked length there.
    pub ends: u64,
}

/// What one block hands to the next: the masks whose high bits reach over the border.
#[derive(Default)]
struct Carry {
    digits: u64,
    run1: u64,
    run2: u64,
    run4: u64,
    run8: u64,
}

/// Shifts towards later bytes, with the bits that the previous block shifts in.
#[inline(always)]
fn shifted(mask: u64, previous: u64, by: u32) -> u64 {
    (mask << by) | (previous >> (64 - by))
}

impl Carry {
    /// `run_n` has a bit where at least n bytes of a run end. A run is of digits and of separators that follow a digit:
    /// a superset of what can hold a card number, without looking ahead into the next block.
    #[inline(always)]
    fn step(&mut self, digits: u64, separators: u64, extra: u32) -> u64 {
        let run1 = digits | (separators & shifted(digits, self.digits, 1));
        let run2 = run1 & shifted(run1, self.run1, 1);
        let run4 = run2 & shifted(run2, self.run2, 2);
        let run8 = run4 & shifted(run4, self.run4, 4);
        let ends = run8 & shifted(run8, self.run8, extra);
        *self = Self {
            digits,
            run1,
            run2,
            run4,
            run8,
        };
        ends
    }
}

#[inline(always)]
fn runs_with(text: &[u8], extra: u32, out: &mut Vec<Hot>, classify: impl Fn(&[u8; 64]) -> (u64, u64)) {
    let mut carry = Carry::default();
    let (blocks, tail) = text.as_chunks::<64>();
    for (block, bytes) in blocks.iter().enumerate() {
        let (digits, separators) = classify(bytes);
        let ends = carry.step(digits, separators, extra);
        if ends != 0 {
            out.push(Hot { block, ends });
        }
    }
    if !tail.is_empty() {
        let mut bytes = [0u8; 64];
        for (to, from) in bytes.iter_mut().zip(tail) {
            *to = *from;
        }
        let (digits, separators) = classify(&bytes);
        let ends = carry.step(digits, separators, extra);
        if ends != 0 {
            out.push(Hot { block: blocks.len(), ends });
        }
    }
}

/// Appends the blocks of `text` in which a run of digits and single separators reaches `min_run` bytes (9 to 16).
/// The first bit of a run stands at the run's first byte + `min_run` - 1.
pub(crate) fn digit_runs(text: &[u8], min_run: u32, out: &mut Vec<Hot>) {
    let extra = min_run.clamp(9, 16) - 8;
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the feature was detected at run time on the line above; the function has no other precondition.
        unsafe { avx2::runs(text, extra, out) };
        return;
    }
    runs_with(text, extra, out, classify_scalar);
}

/// The digit mask and the separator mask (space, hyphen, full stop, slash) of a block.
fn classify_scalar(bytes: &[u8; 64]) -> (u64, u64) {
    let mut digits = 0u64;
    let mut separators = 0u64;
    for (i, byte) in bytes.iter().enumerate() {
        digits |= u64::from(byte.is_ascii_digit()) << i;
        separators |= u64::from(matches!(byte, b' ' | b'-' | b'.' | b'/')) << i;
    }
    (digits, separators)
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
        _mm256_sub_epi8,
    };

    use super::{Hot, runs_with};

    #[target_feature(enable = "avx2")]
    pub(super) fn runs(text: &[u8], extra: u32, out: &mut Vec<Hot>) {
        runs_with(text, extra, out, |bytes| classify(bytes));
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn classify(bytes: &[u8; 64]) -> (u64, u64) {
        let (low, high) = bytes.split_at(32);
        // SAFETY: both halves are 32 readable bytes; `loadu` has no alignment requirement.
        let (low, high) = unsafe {
            (
                _mm256_loadu_si256(low.as_ptr().cast::<__m256i>()),
                _mm256_loadu_si256(high.as_ptr().cast::<__m256i>()),
            )
        };
        let (digits_low, separators_low) = half(low);
        let (digits_high, separators_high) = half(high);
        (join(digits_low, digits_high), join(separators_low, separators_high))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn half(bytes: __m256i) -> (i32, i32) {
        // min(x - first, count - 1) == x - first holds for exactly the unsigned range that begins at `first`.
        let from_zero = _mm256_sub_epi8(bytes, _mm256_set1_epi8(b'0'.cast_signed()));
        let digits = _mm256_cmpeq_epi8(_mm256_min_epu8(from_zero, _mm256_set1_epi8(9)), from_zero);
        let from_hyphen = _mm256_sub_epi8(bytes, _mm256_set1_epi8(b'-'.cast_signed()));
        let marks = _mm256_cmpeq_epi8(_mm256_min_epu8(from_hyphen, _mm256_set1_epi8(2)), from_hyphen);
        let spaces = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b' '.cast_signed()));
        (_mm256_movemask_epi8(digits), _mm256_movemask_epi8(_mm256_or_si256(marks, spaces)))
    }

    #[inline]
    fn join(low: i32, high: i32) -> u64 {
        u64::from(low.cast_unsigned()) | (u64::from(high.cast_unsigned()) << 32)
    }
}

#[cfg(test)]
mod tests {
    use super::{Hot, classify_scalar, digit_runs, runs_with};

    #[test]
    fn vector_and_scalar_agree() {
        let mut state = 7u64;
        for length in 0..400 {
            let text: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    *b"0123456789012345678901234567 -./:x\xff"
                        .get((state >> 33) as usize % 35)
                        .unwrap_or(&b'x')
                })
                .collect();
            let (mut fast, mut slow) = (Vec::new(), Vec::new());
            digit_runs(&text, 13, &mut fast);
            runs_with(&text, 5, &mut slow, classify_scalar);
            assert_eq!(fast, slow);
        }
    }

    #[test]
    fn a_run_over_a_block_border_is_seen_at_its_thirteenth_byte() {
        let mut text = vec![b'x'; 60];
        text.extend_from_slice(b"4111 1111 1111 1111");
        let mut hot = Vec::new();
        digit_runs(&text, 13, &mut hot);
        assert_eq!(
            hot.first().map(|h: &Hot| (h.block, h.ends.trailing_zeros())),
            Some((1, 60 + 12 - 64))
        );
    }
}

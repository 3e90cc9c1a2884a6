//! One pass over a text, 64 bytes at a time: where a run of digits is long enough for a card number, and where one of a
//! few three-byte fingerprints stands.

#![expect(clippy::inline_always, reason = "these must be compiled with the vector features of their caller")]
#![cfg_attr(target_arch = "x86_64", expect(clippy::cast_ptr_alignment, reason = "unaligned loads"))]

/// One 64-byte block in which something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hot {
    /// Index of the block: it begins at byte `64 * block`.
    pub block: usize,
    /// Bit `i`: a run reached the asked length with byte `i`, or byte `i` is the last of a fingerprint.
    pub ends: u64,
}

impl Hot {
    /// The positions of the bits, in order.
    pub(crate) fn positions(self) -> impl Iterator<Item = usize> {
        let mut ends = self.ends;
        std::iter::from_fn(move || {
            let bit = ends.trailing_zeros() as usize;
            ends &= ends.wrapping_sub(1);
            (bit < 64).then_some(self.block * 64 + bit)
        })
    }
}

/// Up to eight sequences of three byte classes, in the form that shuffles look up: bit `n` of `low[i][x] & high[i][y]`
/// is set when a byte `16 * y + x` may be byte `i` of sequence `n`. A superset where a class has several bytes.
pub(crate) struct Fingerprints {
    low: [[u8; 16]; 3],
    high: [[u8; 16]; 3],
}

impl Fingerprints {
    /// Letters stand for both cases. For constants.
    #[expect(clippy::indexing_slicing, reason = "counted up to fixed lengths, and by nibbles")]
    pub(crate) const fn new(sequences: &[[&[u8]; 3]; 8]) -> Self {
        let mut all = Self {
            low: [[0; 16]; 3],
            high: [[0; 16]; 3],
        };
        let mut sequence = 0;
        while sequence < 8 {
            let mut place = 0;
            while place < 3 {
                let class = sequences[sequence][place];
                let mut member = 0;
                while member < class.len() {
                    let byte = class[member];
                    let mut case = 0;
                    while case < 2 {
                        let byte = if case == 0 {
                            byte.to_ascii_lowercase()
                        } else {
                            byte.to_ascii_uppercase()
                        };
                        all.low[place][(byte & 15) as usize] |= 1 << sequence;
                        all.high[place][(byte >> 4) as usize] |= 1 << sequence;
                        case += 1;
                    }
                    member += 1;
                }
                place += 1;
            }
            sequence += 1;
        }
        all
    }

    fn of(&self, place: usize, byte: u8) -> u8 {
        let look = |tables: &[[u8; 16]; 3], nibble: u8| tables.get(place).and_then(|t| t.get(usize::from(nibble))).copied().unwrap_or(0);
        look(&self.low, byte & 15) & look(&self.high, byte >> 4)
    }
}

/// What a pass looks for, and where it puts what it sees.
pub(crate) struct Sweep<'a> {
    /// The least bytes of a run of digits and single separators, 9 to 16.
    pub least: u32,
    pub fingerprints: &'a Fingerprints,
    /// The first bit of a run stands at the run's first byte + `least` - 1.
    pub runs: Option<&'a mut Vec<Hot>>,
    pub marks: Option<&'a mut Vec<Hot>>,
}

impl Sweep<'_> {
    /// Appends the blocks of `text` in which something was seen.
    pub(crate) fn over(self, text: &[u8]) {
        let mut none = (Vec::new(), Vec::new());
        let extra = self.least.clamp(9, 16) - 8;
        match (self.runs, self.marks) {
            (Some(runs), Some(marks)) => sweep::<true, true>(text, extra, self.fingerprints, runs, marks),
            (Some(runs), None) => sweep::<true, false>(text, extra, self.fingerprints, runs, &mut none.1),
            (None, Some(marks)) => sweep::<false, true>(text, extra, self.fingerprints, &mut none.0, marks),
            (None, None) => {}
        }
    }
}

fn sweep<const RUNS: bool, const MARKS: bool>(
    text: &[u8],
    extra: u32,
    fingerprints: &Fingerprints,
    runs: &mut Vec<Hot>,
    marks: &mut Vec<Hot>,
) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the feature was detected at run time on the line above; the function has no other precondition.
        unsafe { avx2::sweep::<RUNS, MARKS>(text, extra, fingerprints, runs, marks) };
        return;
    }
    blocks(text, extra, runs, marks, scalar(fingerprints));
}

/// The masks of one block.
struct Masks {
    digits: u64,
    /// Space, hyphen, full stop, slash.
    separators: u64,
    marks: u64,
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
fn blocks(text: &[u8], extra: u32, runs: &mut Vec<Hot>, marks: &mut Vec<Hot>, mut classify: impl FnMut(&[u8; 64]) -> Masks) {
    let mut carry = Carry::default();
    let (whole, tail) = text.as_chunks::<64>();
    let mut padded = [0u8; 64];
    let last = padded
        .get_mut(..tail.len())
        .filter(|_| !tail.is_empty())
        .map(|to| to.copy_from_slice(tail));
    for (block, bytes) in whole.iter().chain(last.map(|()| &padded)).enumerate() {
        let seen = classify(bytes);
        let ends = carry.step(seen.digits, seen.separators, extra);
        if ends != 0 {
            runs.push(Hot { block, ends });
        }
        if seen.marks != 0 {
            marks.push(Hot { block, ends: seen.marks });
        }
    }
}

fn scalar(fingerprints: &Fingerprints) -> impl FnMut(&[u8; 64]) -> Masks {
    let mut first = 0;
    let mut second = 0;
    move |bytes| {
        let mut masks = Masks {
            digits: 0,
            separators: 0,
            marks: 0,
        };
        for (i, byte) in bytes.iter().enumerate() {
            masks.digits |= u64::from(byte.is_ascii_digit()) << i;
            masks.separators |= u64::from(matches!(byte, b' ' | b'-' | b'.' | b'/')) << i;
            masks.marks |= u64::from(fingerprints.of(2, *byte) & second != 0) << i;
            second = fingerprints.of(1, *byte) & first;
            first = fingerprints.of(0, *byte);
        }
        masks
    }
}

/// Something to do whose `run` is always inlined. (A closure may not be.)
pub(crate) trait Work {
    fn run(self);
}

/// Runs `work` in a function compiled for the features that [`classes`] and [`luhn_sum`] use, where there are these
/// features: what is inlined into it counts bits in one instruction, and calls them without a detour.
#[inline]
pub(crate) fn accelerated(work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("popcnt")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("lzcnt")
    {
        // SAFETY: the features were detected at run time on the lines above; the function has no other precondition.
        unsafe { avx2::run(work) };
        return;
    }
    work.run();
}

/// The digits and separators of the 64 bytes at `at`; behind the end of the text there are none.
#[inline(always)]
pub(crate) fn classes(text: &[u8], at: usize) -> (u64, u64) {
    let mut padding = [0u8; 64];
    let bytes = block_at(text, at, &mut padding);
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the feature was detected at run time on the line above; the function has no other precondition.
        return unsafe { avx2::classes(bytes) };
    }
    let (mut digits, mut separators) = (0, 0);
    for (i, byte) in bytes.iter().enumerate() {
        digits |= u64::from(byte.is_ascii_digit()) << i;
        separators |= u64::from(matches!(byte, b' ' | b'-' | b'.' | b'/')) << i;
    }
    (digits, separators)
}

/// The Luhn sum of the 64 bytes at `at`: of the digits in `digits`, those in `doubled` counted as 2d, or 2d - 9 from 5 on.
#[inline(always)]
pub(crate) fn luhn_sum(text: &[u8], at: usize, digits: u64, doubled: u64) -> u32 {
    let mut padding = [0u8; 64];
    let bytes = block_at(text, at, &mut padding);
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("popcnt") {
        // SAFETY: the features were detected at run time on the line above; the function has no other precondition.
        return unsafe { avx2::luhn_sum(bytes, digits, doubled) };
    }
    let mut sum = 0;
    for (i, byte) in bytes.iter().enumerate().filter(|(i, _)| digits >> i & 1 == 1) {
        let digit = u32::from(byte & 15);
        let twice = doubled >> i & 1 == 1;
        sum += match digit {
            _ if !twice => digit,
            5.. => 2 * digit - 9,
            _ => 2 * digit,
        };
    }
    sum
}

/// The 64 bytes at `at`; zeros behind the end of the text.
#[inline(always)]
fn block_at<'a>(text: &'a [u8], at: usize, padding: &'a mut [u8; 64]) -> &'a [u8; 64] {
    let rest = text.get(at..).unwrap_or_default();
    if let Some(block) = rest.first_chunk::<64>() {
        return block;
    }
    if let Some(to) = padding.get_mut(..rest.len()) {
        to.copy_from_slice(rest);
    }
    padding
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_loadu_si128, _mm256_alignr_epi8, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8,
        _mm256_cmpgt_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_permute2x128_si256,
        _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_srli_epi16, _mm256_sub_epi8,
    };

    use super::{Fingerprints, Hot, Masks, Work, blocks};

    #[target_feature(enable = "avx2,popcnt,bmi1,bmi2,lzcnt")]
    pub(super) fn run(work: impl Work) {
        work.run();
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn sweep<const RUNS: bool, const MARKS: bool>(
        text: &[u8],
        extra: u32,
        fingerprints: &Fingerprints,
        runs: &mut Vec<Hot>,
        marks: &mut Vec<Hot>,
    ) {
        let tables = [
            (table(&fingerprints.low[0]), table(&fingerprints.high[0])),
            (table(&fingerprints.low[1]), table(&fingerprints.high[1])),
            (table(&fingerprints.low[2]), table(&fingerprints.high[2])),
        ];
        let mut before = [_mm256_setzero_si256(); 2];
        blocks(text, extra, runs, marks, |bytes| {
            let [low, high] = load(bytes);
            let (digits, separators) = if RUNS { class_masks(low, high) } else { (0, 0) };
            let marks = if MARKS {
                let low = fingerprint_ends(low, &tables, &mut before);
                let high = fingerprint_ends(high, &tables, &mut before);
                !join(low, high)
            } else {
                0
            };
            Masks { digits, separators, marks }
        });
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(bytes: &[u8; 64]) -> [__m256i; 2] {
        let (low, high) = bytes.split_at(32);
        // SAFETY: both halves are 32 readable bytes; `loadu` has no alignment requirement.
        unsafe {
            [
                _mm256_loadu_si256(low.as_ptr().cast::<__m256i>()),
                _mm256_loadu_si256(high.as_ptr().cast::<__m256i>()),
            ]
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn table(entries: &[u8; 16]) -> __m256i {
        // SAFETY: 16 readable bytes; `loadu` has no alignment requirement.
        _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(entries.as_ptr().cast::<__m128i>()) })
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn classes(bytes: &[u8; 64]) -> (u64, u64) {
        let [low, high] = load(bytes);
        class_masks(low, high)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn class_masks(low: __m256i, high: __m256i) -> (u64, u64) {
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

    /// Where no fingerprint ends. `before`: what the first two bytes of a fingerprint matched in the 32 bytes before.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn fingerprint_ends(bytes: __m256i, tables: &[(__m256i, __m256i); 3], before: &mut [__m256i; 2]) -> i32 {
        let nibble = _mm256_set1_epi8(15);
        let low = _mm256_and_si256(bytes, nibble);
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble);
        let [first, second, third] =
            tables.map(|(lows, highs)| _mm256_and_si256(_mm256_shuffle_epi8(lows, low), _mm256_shuffle_epi8(highs, high)));
        // Shifted by two bytes and by one, so that all three stand at the last byte.
        let moved_first = _mm256_alignr_epi8::<14>(first, _mm256_permute2x128_si256::<0x21>(before[0], first));
        let moved_second = _mm256_alignr_epi8::<15>(second, _mm256_permute2x128_si256::<0x21>(before[1], second));
        *before = [first, second];
        let hits = _mm256_and_si256(_mm256_and_si256(moved_first, moved_second), third);
        _mm256_movemask_epi8(_mm256_cmpeq_epi8(hits, _mm256_setzero_si256()))
    }

    /// By the bits of the digits: a plane holds one bit of each, and sums are counts of ones.
    #[inline]
    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn luhn_sum(bytes: &[u8; 64], digits: u64, doubled: u64) -> u32 {
        let [low, high] = load(bytes);
        let plane = |bit: i32| {
            // Into the sign of each byte; what the 16-bit shift carries over comes in below it.
            let (low, high) = match bit {
                0 => (_mm256_slli_epi16::<7>(low), _mm256_slli_epi16::<7>(high)),
                1 => (_mm256_slli_epi16::<6>(low), _mm256_slli_epi16::<6>(high)),
                2 => (_mm256_slli_epi16::<5>(low), _mm256_slli_epi16::<5>(high)),
                _ => (_mm256_slli_epi16::<4>(low), _mm256_slli_epi16::<4>(high)),
            };
            join(_mm256_movemask_epi8(low), _mm256_movemask_epi8(high))
        };
        let sum = |plane: u64| (plane & digits).count_ones() + (plane & doubled).count_ones();
        let four = _mm256_set1_epi8(b'4'.cast_signed());
        let fives = join(
            _mm256_movemask_epi8(_mm256_cmpgt_epi8(low, four)),
            _mm256_movemask_epi8(_mm256_cmpgt_epi8(high, four)),
        );
        sum(plane(0)) + 2 * sum(plane(1)) + 4 * sum(plane(2)) + 8 * sum(plane(3)) - 9 * (fives & doubled).count_ones()
    }

    #[inline]
    fn join(low: i32, high: i32) -> u64 {
        u64::from(low.cast_unsigned()) | (u64::from(high.cast_unsigned()) << 32)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fingerprints, Hot, Sweep, blocks, classes, luhn_sum, scalar};

    const FINGERPRINTS: Fingerprints = Fingerprints::new(&[
        [b"c", b"v", b"vcdn"],
        [b"a", b"b", b"c"],
        [b"1", b"2", b"3"],
        [b"x", b"x", b"x"],
        [b";", b"0123456789", b"0123456789"],
        [b"%", b"b", b"4"],
        [b".", b".", b"."],
        [b"q", b"q", b"q"],
    ]);

    fn sweep(text: &[u8], least: u32) -> (Vec<Hot>, Vec<Hot>) {
        let (mut runs, mut marks) = (Vec::new(), Vec::new());
        Sweep {
            least,
            fingerprints: &FINGERPRINTS,
            runs: Some(&mut runs),
            marks: Some(&mut marks),
        }
        .over(text);
        (runs, marks)
    }

    #[test]
    fn vector_and_scalar_agree() {
        let mut state = 7u64;
        for length in 0..400 {
            let text: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    *b"0123456789012345678901234567 -./:x\xffcCvVvcabc123;;%B4%b4"
                        .get((state >> 33) as usize % 56)
                        .unwrap_or(&b'x')
                })
                .collect();
            let (mut runs, mut marks) = (Vec::new(), Vec::new());
            blocks(&text, 5, &mut runs, &mut marks, scalar(&FINGERPRINTS));
            assert_eq!(sweep(&text, 13), (runs, marks));
        }
    }

    #[test]
    fn a_run_over_a_block_border_is_seen_at_its_thirteenth_byte() {
        let mut text = vec![b'x'; 60];
        text.extend_from_slice(b"4111 1111 1111 1111");
        let (runs, _) = sweep(&text, 13);
        assert_eq!(
            runs.first().map(|h: &Hot| (h.block, h.ends.trailing_zeros())),
            Some((1, 60 + 12 - 64))
        );
    }

    #[test]
    fn a_fingerprint_is_seen_at_its_last_byte_wherever_it_stands() {
        for at in 0..150 {
            let mut text = vec![b' '; 153];
            for (to, from) in text.iter_mut().skip(at).zip(b"CvD") {
                *to = *from;
            }
            let (_, marks) = sweep(&text, 13);
            let found: Vec<usize> = marks.iter().flat_map(|mark| mark.positions()).collect();
            assert_eq!(found, [at + 2]);
        }
    }

    #[test]
    fn classes_and_sums_of_a_block() {
        assert_eq!(classes(b"a1 2-x", 1), (0b101, 0b1010));
        // 1 + (5 -> 1) + 9, and with nothing doubled.
        assert_eq!(luhn_sum(b"x159", 1, 0b111, 0b010), 11);
        assert_eq!(luhn_sum(b"x159", 1, 0b111, 0), 15);
        let long = [b'9'; 70];
        assert_eq!(luhn_sum(&long, 3, u64::MAX, u64::MAX), 64 * 9);
    }
}

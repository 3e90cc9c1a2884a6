//! Which lengths a card number may have by its first four digits.

/// A range of card numbers of one brand, from `data/iin_ranges.json`.
struct Brand {
    name: &'static str,
    /// Not looked for unless named: too much else looks like it.
    opt_in: bool,
    /// Bit `n - 12`: cards of n digits exist.
    lengths: u8,
    /// Inclusive ranges of the first four digits.
    ranges: &'static [(u16, u16)],
}

include!(concat!(env!("OUT_DIR"), "/brands.rs"));

/// For each of the 10,000 first-four-digits, a bit per length from 12 to 19.
pub(super) struct Lengths {
    table: Box<[u8]>,
    pub shortest: usize,
}

impl Lengths {
    /// The ranges that are on by default and those of the brands in `opt_in`. `Err` holds a name that no brand has.
    pub(super) fn new<'a>(opt_in: &[&'a str]) -> Result<Self, &'a str> {
        if let Some(unknown) = opt_in.iter().find(|name| !BRANDS.iter().any(|brand| brand.name == **name)) {
            return Err(unknown);
        }
        let mut table = vec![0u8; 10_000].into_boxed_slice();
        let mut all = 0u8;
        for brand in BRANDS.iter().filter(|brand| !brand.opt_in || opt_in.contains(&brand.name)) {
            all |= brand.lengths;
            for (low, high) in brand.ranges {
                for lengths in table.iter_mut().take(usize::from(*high) + 1).skip(usize::from(*low)) {
                    *lengths |= brand.lengths;
                }
            }
        }
        Ok(Self {
            table,
            shortest: 12 + all.trailing_zeros() as usize,
        })
    }

    /// The names that `opt_in` of a rule set may hold.
    pub(super) fn opt_in_names() -> impl Iterator<Item = &'static str> {
        BRANDS.iter().filter(|brand| brand.opt_in).map(|brand| brand.name)
    }

    #[inline]
    pub(super) fn of(&self, first_four: usize) -> u8 {
        self.table.get(first_four).copied().unwrap_or(0)
    }
}

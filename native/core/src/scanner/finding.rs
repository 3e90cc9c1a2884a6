//! What a rule found, and how it is covered.

/// One thing found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Index into the rule names.
    pub rule: usize,
    /// All of it, for counting: findings of one rule that overlap are one.
    pub start: usize,
    pub end: usize,
    /// What of it is covered.
    pub cover_start: usize,
    pub cover_end: usize,
    /// Cover digits only, and leave the separators between them.
    pub digits_only: bool,
}

impl Finding {
    /// A finding that is covered whole.
    pub(crate) fn whole(rule: usize, start: usize, end: usize) -> Self {
        Self {
            rule,
            start,
            end,
            cover_start: start,
            cover_end: end,
            digits_only: false,
        }
    }

    /// Writes `fill` over what is covered of `text`, which begins at `origin` of what the finding refers to.
    pub(crate) fn cover(&self, text: &mut [u8], origin: usize, fill: u8) {
        let start = self.cover_start.saturating_sub(origin);
        let end = self.cover_end.saturating_sub(origin).min(text.len());
        let Some(covered) = text.get_mut(start..end) else { return };
        if self.digits_only {
            for byte in covered.iter_mut().filter(|byte| byte.is_ascii_digit()) {
                *byte = fill;
            }
        } else {
            covered.fill(fill);
        }
    }

    /// The same finding in positions of a longer text, where what was `from` is `to`.
    pub(crate) fn moved(mut self, to: usize, from: usize) -> Self {
        for position in [&mut self.start, &mut self.end, &mut self.cover_start, &mut self.cover_end] {
            *position = (*position + to).saturating_sub(from);
        }
        self
    }
}

/// Counts findings: those of one rule that overlap count once. Findings must come in the order of their starts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    ends: Vec<usize>,
}

impl Tally {
    /// Adds to `counts[rule]`; returns 1 when the finding was a new one.
    pub(crate) fn add(&mut self, finding: &Finding, counts: &mut [u32]) -> u32 {
        if self.ends.len() <= finding.rule {
            self.ends.resize(finding.rule + 1, 0);
        }
        let Some(end) = self.ends.get_mut(finding.rule) else { return 0 };
        let new = finding.start >= *end;
        *end = finding.end.max(*end);
        if new && let Some(count) = counts.get_mut(finding.rule) {
            *count = count.saturating_add(1);
        }
        u32::from(new)
    }

    pub(crate) fn clear(&mut self) {
        self.ends.clear();
    }
}

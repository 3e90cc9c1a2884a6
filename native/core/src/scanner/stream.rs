//! Scans one long text that comes in pieces.

use super::finding::{Finding, Tally};
use super::rules::{RuleSet, ScanError, Scratch};

/// The state between the pieces of one text. What it finds is what a scan of the whole text would find.
#[derive(Default)]
pub(crate) struct TextStream {
    /// How many bytes of the text are final.
    base: usize,
    /// How many of the last final bytes `text` begins with, as they were before masking: a keyword may lie there, and
    /// whether a run of digits goes on depends on them.
    context: usize,
    /// Findings that reach past `base`.
    pending: Vec<Finding>,
    tally: Tally,
    /// Context and piece together; between calls, the context.
    text: Vec<u8>,
}

impl TextStream {
    /// Finds what begins in the part of `piece` that can be decided, and returns the length of that part. `ends`: the text
    /// ends with this piece. What is not decided must come again, unchanged, in front of the next piece.
    pub(crate) fn decide(
        &mut self,
        rules: &RuleSet,
        piece: &[u8],
        ends: bool,
        scratch: &mut Scratch,
        counts: &mut [u32],
    ) -> Result<usize, ScanError> {
        let decided = if ends {
            piece.len()
        } else {
            piece.len().saturating_sub(rules.reach())
        };
        if decided == 0 {
            return Ok(0);
        }
        self.text.truncate(self.context);
        let from = self.context;
        self.text.extend_from_slice(piece);
        rules.find(&self.text, from, from + decided, scratch)?;
        for finding in &scratch.findings {
            let finding = finding.moved(self.base, from);
            self.tally.add(&finding, counts);
            self.pending.push(finding);
        }
        Ok(decided)
    }

    /// What is covered of the part just decided: the findings, in positions from `origin` on.
    pub(crate) fn findings(&self) -> (&[Finding], usize) {
        (&self.pending, self.base)
    }

    /// The part just decided is final.
    pub(crate) fn advance(&mut self, decided: usize) {
        if decided == 0 {
            return;
        }
        let end = self.context + decided;
        self.context = end.min(RuleSet::CONTEXT);
        self.text.copy_within(end - self.context..end, 0);
        self.base += decided;
        let base = self.base;
        self.pending.retain(|finding| finding.cover_end > base);
    }
}

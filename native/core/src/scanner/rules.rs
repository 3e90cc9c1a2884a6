//! A compiled set of rules.

use std::fmt;

use serde_json::Value;

use super::brands::Lengths;
use super::expressions::{BUILT_IN, Expressions};
use super::finding::{Finding, Tally};
use super::keywords::{self, FINGERPRINTS, TRACK, keywords_at};
use super::pan::{self, Kernel, Window};
use super::pattern::{CompileError, Pattern};
use super::track;
use crate::raw::{Hot, HsError, Sweep};

/// Index of the card number rule.
const PAN: usize = 0;

/// Working memory of a scan, kept by the caller so that a scan allocates nothing once warm.
#[derive(Default)]
pub(crate) struct Scratch {
    pub runs: Vec<Hot>,
    pub marks: Vec<Hot>,
    /// Borrowed by whoever goes over many values with one scan of them all.
    pub spans: Vec<(usize, usize)>,
    pub ends: Vec<usize>,
    pub spare_bytes: Vec<u8>,
    pub findings: Vec<Finding>,
    pub tally: Tally,
}

/// A compiled, immutable set of rules. Any number of threads may scan with one.
pub struct RuleSet {
    names: Vec<String>,
    pub(crate) kernel: Kernel,
    /// The operator's patterns, if there are any.
    expressions: Option<Expressions>,
    /// How many digits of a card number stay visible at its end, 0 to 4.
    pub(crate) keep_last: usize,
    keep_first: usize,
}

impl RuleSet {
    /// Compiles a JSON specification: `{ keepLast, keepFirst, optIn, patterns: [{ id, regex, keepLast }] }`, all optional.
    ///
    /// # Errors
    /// Names what is wrong and what to write instead; a pattern by its id.
    pub fn compile(spec: &str) -> Result<Self, CompileError> {
        let spec: Value = serde_json::from_str(spec).map_err(|e| CompileError(format!("rules: not JSON: {e}")))?;
        let object = spec
            .as_object()
            .ok_or_else(|| CompileError("rules: write a JSON object".to_owned()))?;
        if let Some(key) = object
            .keys()
            .find(|k| !["keepLast", "keepFirst", "optIn", "patterns"].contains(&k.as_str()))
        {
            return Err(CompileError(format!(
                "rules: unknown member \"{key}\"; there are keepLast, keepFirst, optIn and patterns"
            )));
        }
        let keep_last = number(object.get("keepLast"), 4, "keepLast", &[0, 1, 2, 3, 4])?;
        let keep_first = number(object.get("keepFirst"), 0, "keepFirst", &[0, 6, 8])?;
        let opt_in = strings(object.get("optIn"))?;
        let lengths = Lengths::new(&opt_in).map_err(|name| {
            let known: Vec<&str> = Lengths::opt_in_names().collect();
            CompileError(format!("optIn: there is no brand \"{name}\"; write one of {}", known.join(", ")))
        })?;
        let patterns = patterns(object.get("patterns"))?;
        let names = BUILT_IN
            .iter()
            .map(|name| (*name).to_owned())
            .chain(patterns.iter().map(|p| p.id.clone()))
            .collect();
        let expressions = Expressions::compile(&patterns)?;
        Ok(Self {
            names,
            kernel: Kernel::new(lengths),
            expressions,
            keep_last,
            keep_first,
        })
    }

    /// Names of the rules, in the order in which counts count them.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many bytes behind its start can decide about a finding.
    pub(crate) fn reach(&self) -> usize {
        let patterns = self.expressions.as_ref().map_or(0, |expressions| expressions.width);
        (pan::REACH + track::REACH).max(keywords::REACH).max(patterns) + 2
    }

    /// How many bytes before a finding can decide about it.
    pub(crate) const CONTEXT: usize = keywords::CONTEXT;

    /// Masks free text in place, same length. Adds to `counts[rule]` and returns the number of spans masked.
    ///
    /// # Errors
    /// Only when Vectorscan itself fails; the text must then be withheld.
    pub fn mask_text(&self, text: &mut [u8], counts: &mut [u32]) -> Result<u32, ScanError> {
        with_scratch(|scratch| {
            self.find(text, 0, text.len(), scratch)?;
            let mut spans = 0;
            scratch.tally.clear();
            for finding in &scratch.findings {
                finding.cover(text, 0, b'*');
                spans += scratch.tally.add(finding, counts);
            }
            Ok(spans)
        })
    }

    /// How many card numbers a text holds, overlapping ones included; nothing else is looked for.
    #[must_use]
    pub fn count_card_numbers(&self, text: &[u8]) -> usize {
        with_scratch(|scratch| {
            self.sweep(text, true, false, scratch);
            let mut found = 0;
            self.kernel.find(text, &scratch.runs, 0, text.len(), &mut |_| found += 1);
            found
        })
    }

    /// Sees in one pass where card numbers and where keywords may be.
    fn sweep(&self, text: &[u8], runs: bool, marks: bool, scratch: &mut Scratch) {
        scratch.runs.clear();
        scratch.marks.clear();
        Sweep {
            least: self.kernel.least(),
            fingerprints: &FINGERPRINTS,
            runs: runs.then_some(&mut scratch.runs),
            marks: marks.then_some(&mut scratch.marks),
        }
        .over(text);
    }

    /// Collects into `scratch.findings`, sorted by start, what begins before `before`. Bytes before `from` are context.
    pub(crate) fn find(&self, text: &[u8], from: usize, before: usize, scratch: &mut Scratch) -> Result<(), ScanError> {
        self.collect(text, from, before, (true, true), scratch)
    }

    /// As `find` over a whole value, for card numbers or for everything else only.
    pub(crate) fn find_parts(&self, value: &[u8], pans: bool, others: bool, scratch: &mut Scratch) -> Result<(), ScanError> {
        self.collect(value, 0, value.len(), (pans, others), scratch)
    }

    /// The card numbers of a value, and the tracks they begin.
    pub(crate) fn find_pans_in(&self, value: &[u8], scratch: &mut Scratch) {
        scratch.findings.clear();
        self.sweep(value, true, false, scratch);
        self.find_pans(value, 0, value.len(), scratch);
    }

    fn collect(
        &self,
        text: &[u8],
        from: usize,
        before: usize,
        (pans, others): (bool, bool),
        scratch: &mut Scratch,
    ) -> Result<(), ScanError> {
        scratch.findings.clear();
        self.sweep(text, pans, others, scratch);
        self.find_pans(text, from, before, scratch);
        let Scratch { marks, findings, .. } = scratch;
        for mark in marks.iter().copied().flat_map(Hot::positions) {
            keywords_at(text, mark, &mut |keyword, end| {
                findings.extend(keyword.finding(text, end).filter(|finding| (from..before).contains(&finding.start)));
            });
        }
        if others && let Some(expressions) = &self.expressions {
            expressions.find(text, before, findings)?;
        }
        if findings.len() > 1 {
            findings.sort_unstable_by_key(|finding| finding.start);
        }
        Ok(())
    }

    /// Where any division of `text` into values may have something: appends the spans in which card numbers may lie and,
    /// sorted, the positions where keywords and patterns may end.
    pub(crate) fn hints(
        &self,
        text: &[u8],
        spans: &mut Vec<(usize, usize)>,
        ends: &mut Vec<usize>,
        scratch: &mut Scratch,
    ) -> Result<(), ScanError> {
        self.sweep(text, true, true, scratch);
        self.kernel.spans(text, &scratch.runs, spans);
        for mark in scratch.marks.iter().copied().flat_map(Hot::positions) {
            keywords_at(text, mark, &mut |_, end| ends.push(end));
        }
        if let Some(expressions) = &self.expressions {
            expressions.ends(text, ends)?;
        }
        ends.sort_unstable();
        Ok(())
    }

    fn find_pans(&self, text: &[u8], from: usize, before: usize, scratch: &mut Scratch) {
        let Scratch { runs, findings, .. } = scratch;
        self.kernel.find(text, runs, from, before, &mut |window| {
            if let Some(end) = track::tail(text, window.end) {
                findings.push(Finding::whole(TRACK, window.start, end));
            }
            findings.push(self.pan_finding(text, window));
        });
    }

    fn pan_finding(&self, text: &[u8], window: Window) -> Finding {
        // PCI DSS 3.4.1: the BIN and the last four at most. A BIN of eight digits needs a number of 16 or more.
        let keep_first = match window.digits {
            16.. => self.keep_first,
            15 => self.keep_first.min(6),
            _ => 0,
        };
        let mut finding = Finding::whole(PAN, window.start, window.end);
        finding.digits_only = true;
        finding.cover_start += digits_length(text.get(window.start..).unwrap_or_default().iter(), keep_first);
        finding.cover_end -= digits_length(text.get(..window.end).unwrap_or_default().iter().rev(), self.keep_last);
        finding
    }
}

/// How many bytes hold the first `count` digits.
pub(crate) fn digits_length<'a>(bytes: impl Iterator<Item = &'a u8>, count: usize) -> usize {
    if count == 0 {
        return 0;
    }
    let mut left = count;
    let mut length = 0;
    for byte in bytes {
        length += 1;
        left -= usize::from(byte.is_ascii_digit());
        if left == 0 {
            break;
        }
    }
    length
}

thread_local! {
    static SCRATCH: std::cell::RefCell<Scratch> = std::cell::RefCell::default();
}

/// Lends the thread's working memory.
pub(crate) fn with_scratch<T>(use_it: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(use_it)
}

/// The scan could not be done: nothing of its buffer may be sent.
#[derive(Debug)]
pub struct ScanError(String);

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScanError {}

impl From<HsError> for ScanError {
    fn from(error: HsError) -> Self {
        Self(error.message)
    }
}

fn number(value: Option<&Value>, default: usize, name: &str, allowed: &[usize]) -> Result<usize, CompileError> {
    let Some(value) = value else { return Ok(default) };
    let list = || allowed.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    value
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| allowed.contains(n))
        .ok_or_else(|| CompileError(format!("{name}: {value} is not possible; write one of {}", list())))
}

fn strings(value: Option<&Value>) -> Result<Vec<&str>, CompileError> {
    let problem = || CompileError("optIn: write a list of brand names".to_owned());
    let Some(value) = value else { return Ok(Vec::new()) };
    value
        .as_array()
        .ok_or_else(problem)?
        .iter()
        .map(|v| v.as_str().ok_or_else(problem))
        .collect()
}

fn patterns(value: Option<&Value>) -> Result<Vec<Pattern>, CompileError> {
    let problem = || CompileError("patterns: write a list of { \"id\": \"...\", \"regex\": \"...\" }".to_owned());
    let Some(value) = value else { return Ok(Vec::new()) };
    let mut patterns: Vec<Pattern> = Vec::new();
    for item in value.as_array().ok_or_else(problem)? {
        let id = item
            .get("id")
            .and_then(Value::as_str)
            .filter(|id| !id.is_empty())
            .ok_or_else(problem)?;
        let regex = item.get("regex").and_then(Value::as_str).ok_or_else(problem)?;
        if BUILT_IN.contains(&id) || patterns.iter().any(|p| p.id == id) {
            return Err(CompileError(format!("pattern \"{id}\": the id is taken; write another")));
        }
        let allowed: Vec<usize> = (0..=16).collect();
        let keep_last = number(item.get("keepLast"), 0, &format!("pattern \"{id}\": keepLast"), &allowed)?;
        patterns.push(Pattern {
            id: id.to_owned(),
            regex: regex.to_owned(),
            keep_last,
        });
    }
    Ok(patterns)
}

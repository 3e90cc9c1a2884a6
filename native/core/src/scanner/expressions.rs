//! The operator's patterns, which Vectorscan runs.

use std::ffi::CString;
use std::fmt::Write as _;

use super::finding::Finding;
use super::pattern::{CompileError, Pattern};
use crate::raw::{Database, Expression, HsError, expression_width};

/// Names of the built-in rules; `pan` is the kernel's.
pub(super) const BUILT_IN: [&str; 4] = ["pan", "track", "cvv", "pin"];

/// The longest match a pattern may have, in bytes: what a stream has to hold back.
const MAX_WIDTH: u32 = 1024;

/// The patterns in the forms Vectorscan runs.
pub(super) struct Expressions {
    /// Without where a match begins. It matches a superset (it knows no word boundaries), which decides whether `exact`
    /// has to run.
    quick: Database,
    /// With where a match begins: slower by far.
    exact: Database,
    /// By expression id: how many bytes of a match stay visible at its end.
    keep_last: Vec<usize>,
    /// The longest match of any pattern.
    pub width: usize,
}

impl Expressions {
    /// `None` when there are no patterns.
    pub(super) fn compile(patterns: &[Pattern]) -> Result<Option<Self>, CompileError> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let name = |index: usize| patterns.get(index).map_or("", |p| p.id.as_str());
        let mut exact = Vec::new();
        let mut quick = Vec::new();
        let mut width = 0;
        for (index, Pattern { regex, .. }) in patterns.iter().enumerate() {
            let problem = |what: &str| CompileError(format!("pattern \"{}\": {what}", name(index)));
            let id = u32::try_from(index).map_err(|_| problem("too many patterns"))?;
            let c_string = |text: &str| CString::new(text).map_err(|_| problem("a NUL byte; write \\x00 instead"));
            let unbounded = without_boundaries(regex).map_err(|what| problem(&what))?;
            let expression = Expression {
                regex: c_string(regex)?,
                id,
                start: true,
            };
            let longest = expression_width(&expression).map_err(|error| problem(&error.message))?;
            match longest {
                Some(bytes) if bytes <= MAX_WIDTH => width = width.max(bytes as usize),
                Some(bytes) => {
                    let what = format!("matches up to {bytes} bytes, the limit is {MAX_WIDTH}; write smaller counts, like {{1,64}}");
                    return Err(problem(&what));
                }
                None => {
                    let what = format!(
                        "has no upper bound on its length; write {{0,64}} or the like instead of *, + or {{n,}} (limit {MAX_WIDTH} bytes)"
                    );
                    return Err(problem(&what));
                }
            }
            quick.push(Expression {
                regex: c_string(&unbounded)?,
                id,
                start: false,
            });
            exact.push(expression);
        }
        let failed = |error: HsError| {
            let mut message = String::new();
            if let Some(index) = error.expression {
                // Writing to a String cannot fail.
                let _ = write!(message, "pattern \"{}\": ", name(index));
            }
            CompileError(message + &error.message)
        };
        Ok(Some(Self {
            exact: Database::compile(&exact).map_err(failed)?,
            quick: Database::compile(&quick).map_err(failed)?,
            keep_last: patterns.iter().map(|pattern| pattern.keep_last).collect(),
            width,
        }))
    }

    /// Appends where matches may end.
    pub(super) fn ends(&self, text: &[u8], ends: &mut Vec<usize>) -> Result<(), HsError> {
        self.quick.scan(text, |_, _, end| {
            if ends.last() != Some(&end) {
                ends.push(end);
            }
            true
        })
    }

    /// Appends what matches and begins before `before`.
    pub(super) fn find(&self, text: &[u8], before: usize, findings: &mut Vec<Finding>) -> Result<(), HsError> {
        let mut any = false;
        self.quick.scan(text, |_, _, _| {
            any = true;
            false
        })?;
        if !any {
            return Ok(());
        }
        let first = findings.len();
        self.exact.scan(text, |id, start, end| {
            let Some(keep_last) = self.keep_last.get(id as usize) else {
                return true;
            };
            if start < before {
                let finding = pattern(text, BUILT_IN.len() + id as usize, *keep_last, start, end);
                // Every end of a match is reported; a longer match from the same start covers all the shorter did.
                match findings.get_mut(first..).and_then(<[Finding]>::last_mut) {
                    Some(last) if last.rule == finding.rule && last.cover_start == finding.cover_start && last.start == finding.start => {
                        last.end = last.end.max(finding.end);
                        last.cover_end = last.cover_end.max(finding.cover_end);
                    }
                    _ => findings.push(finding),
                }
            }
            true
        })
    }
}

/// A match of an operator's pattern.
fn pattern(text: &[u8], rule: usize, keep_last: usize, start: usize, end: usize) -> Finding {
    let mut finding = Finding::whole(rule, start, end);
    finding.cover_end = end.saturating_sub(keep_last).max(start);
    // Half a character would leave the text undecodable.
    while finding.cover_start > 0 && is_continuation(text, finding.cover_start) {
        finding.cover_start -= 1;
    }
    while is_continuation(text, finding.cover_end) {
        finding.cover_end += 1;
    }
    finding
}

fn is_continuation(text: &[u8], at: usize) -> bool {
    text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80)
}

/// The regex without its word boundaries, which matches a superset. Refuses what has no meaning in the middle of a stream.
fn without_boundaries(regex: &str) -> Result<String, String> {
    if regex.starts_with("(*") {
        return Err("verbs like (*UTF8) are not supported; leave it out".to_owned());
    }
    let mut out = String::with_capacity(regex.len());
    let mut chars = regex.chars().peekable();
    // Inside a character class: how many of its characters were seen.
    let mut class: Option<usize> = None;
    while let Some(c) = chars.next() {
        match (c, class) {
            ('\\', _) => {
                let Some(escaped) = chars.next() else {
                    return Err("ends in a single backslash; write \\\\".to_owned());
                };
                match (escaped, class) {
                    ('b' | 'B', None) => continue,
                    ('A' | 'z' | 'Z' | 'G', None) => return Err(anchor(&format!("\\{escaped}"))),
                    ('Q', _) => return Err("\\Q is not supported; escape each character".to_owned()),
                    _ => {}
                }
                out.push('\\');
                out.push(escaped);
                class = class.map(|seen| seen + 1);
                continue;
            }
            ('^' | '$', None) => return Err(anchor(&c.to_string())),
            ('[', None) => class = Some(0),
            ('[', Some(seen)) if chars.peek() == Some(&':') => {
                // A POSIX class, [:alpha:], up to its own bracket.
                out.push(c);
                for inner in chars.by_ref() {
                    out.push(inner);
                    if inner == ']' {
                        break;
                    }
                }
                class = Some(seen + 1);
                continue;
            }
            ('^', Some(0)) | (_, None) => {}
            (']', Some(seen)) if seen > 0 => class = None,
            (_, Some(seen)) => class = Some(seen + 1),
        }
        out.push(c);
    }
    Ok(out)
}

fn anchor(what: &str) -> String {
    format!("patterns are looked for anywhere in a value; write it without {what} (\\b is a word boundary)")
}

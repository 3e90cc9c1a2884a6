//! Problems with a policy file, each as one line that an editor can jump to.

use std::fmt;

use miette::Diagnostic;

/// One problem: where, what, and what to write instead. `line` and `column` count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Name of the file as given in the specification.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that is known.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem at byte `offset` of `text`.
    pub(crate) fn at(file: &str, text: &str, offset: usize, message: &str, hint: Option<&str>) -> Self {
        let (line, column) = position(text, offset);
        Self {
            file: file.to_owned(),
            line,
            column,
            message: one_line(message),
            hint: hint.map(one_line),
        }
    }

    /// Cedar's own diagnostic; without a label it stands at `fallback`.
    pub(crate) fn from_diagnostic(file: &str, text: &str, diagnostic: &dyn Diagnostic, fallback: usize) -> Self {
        let offset = diagnostic
            .labels()
            .and_then(|mut labels| labels.next())
            .map_or(fallback, |label| label.offset());
        let label = diagnostic
            .labels()
            .and_then(|mut labels| labels.next())
            .and_then(|label| label.label().map(str::to_owned));
        let hint = diagnostic.help().map(|help| help.to_string()).or(label);
        Self::at(file, text, offset, &diagnostic.to_string(), hint.as_deref())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Line and column of a byte offset; an offset past the end or inside a character counts as the place before it.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut line = 1;
    let mut column = 1;
    for (at, c) in text.char_indices() {
        if at >= offset {
            break;
        }
        if c == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        assert_eq!(position("", 0), (1, 1));
        assert_eq!(position("ab\ncd", 4), (2, 2));
        assert_eq!(position("äb", 2), (1, 2));
        assert_eq!(position("a\n", 99), (2, 1));
    }

    #[test]
    fn a_problem_is_one_line() {
        let problem = Problem::at("a.cedar", "x\ny", 2, "two\n lines", Some("write\n z"));
        assert_eq!(problem.to_string(), "a.cedar:2:1: two lines; write z");
    }
}

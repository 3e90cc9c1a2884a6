//! PostgreSQL's tokens, as far as they are needed to tell plain literals from everything else (`scan.l` of PostgreSQL 18,
//! `standard_conforming_strings = on`). Where a rule is intricate the text is refused rather than followed.

/// What a byte can begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// White space, operators, punctuation: as they stand.
    Plain,
    /// First byte of an identifier or key word.
    Ident,
    Digit,
    Quote,
    DoubleQuote,
    Dollar,
    Dash,
    Slash,
    /// NUL cannot be part of a statement (and marks literals in the key).
    Nul,
}

#[expect(clippy::indexing_slicing, reason = "the index runs over the array's own length, at compile time")]
static CLASS: [Class; 256] = {
    let mut table = [Class::Plain; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = match i as u8 {
            0 => Class::Nul,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Class::Ident,
            b'0'..=b'9' => Class::Digit,
            b'\'' => Class::Quote,
            b'"' => Class::DoubleQuote,
            b'$' => Class::Dollar,
            b'-' => Class::Dash,
            b'/' => Class::Slash,
            _ => Class::Plain,
        };
        i += 1;
    }
    table
};

fn class(byte: u8) -> Class {
    CLASS.get(usize::from(byte)).copied().unwrap_or(Class::Nul)
}

/// Bytes that continue an identifier.
fn continues(byte: u8) -> bool {
    matches!(class(byte), Class::Ident | Class::Digit | Class::Dollar)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Writes `sql` to `out` with each plain literal replaced by a NUL and its class: `I` an integer that the grammar takes
/// as one (`Iconst`, up to 2147483647), `F` a larger one (a `Float` node), `S` a string.
/// Returns false when the text has no shape.
pub fn normalise(sql: &[u8], out: &mut Vec<u8>) -> bool {
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = sql.get(at) {
        match class(byte) {
            Class::Plain => at += 1,
            Class::Ident => match word(sql, at) {
                Some(end) => at = end,
                None => return false,
            },
            Class::Digit => {
                let (end, mark) = number(sql, at);
                if let Some(mark) = mark {
                    out.extend_from_slice(sql.get(copied..at).unwrap_or_default());
                    out.extend_from_slice(&[0, mark]);
                    copied = end;
                }
                at = end;
            }
            Class::Quote => {
                let Some(end) = string(sql, at) else { return false };
                out.extend_from_slice(sql.get(copied..at).unwrap_or_default());
                out.extend_from_slice(&[0, b'S']);
                copied = end;
                at = end;
            }
            Class::DoubleQuote => match closing(sql, at, b'"') {
                Some(end) => at = end,
                None => return false,
            },
            Class::Dollar => {
                // `$1` is a parameter; `$$` and `$tag$` quote, `$` alone is nothing.
                if !sql.get(at + 1).is_some_and(u8::is_ascii_digit) {
                    return false;
                }
                at = run(sql, at + 1, continues);
            }
            Class::Dash => {
                at = if sql.get(at + 1) == Some(&b'-') {
                    line_comment(sql, at)
                } else {
                    at + 1
                }
            }
            Class::Slash => {
                if sql.get(at + 1) == Some(&b'*') {
                    let Some(end) = block_comment(sql, at) else { return false };
                    at = end;
                } else {
                    at += 1;
                }
            }
            Class::Nul => return false,
        }
    }
    out.extend_from_slice(sql.get(copied..).unwrap_or_default());
    // PostgreSQL refuses bytes that are not UTF-8, and so does the analysis.
    sql.is_ascii() || std::str::from_utf8(sql).is_ok()
}

fn run(sql: &[u8], from: usize, test: impl Fn(u8) -> bool) -> usize {
    let rest = sql.get(from..).unwrap_or_default();
    from + rest.iter().position(|b| !test(*b)).unwrap_or(rest.len())
}

/// The end of an identifier or key word; `None` when it is the prefix of a literal or makes one matter.
fn word(sql: &[u8], at: usize) -> Option<usize> {
    let end = run(sql, at + 1, continues);
    let word = sql.get(at..end).unwrap_or_default();
    match (word, sql.get(end)) {
        // E'', B'', X'', N'': each has lexical rules of its own.
        ([b'e' | b'E' | b'b' | b'B' | b'x' | b'X' | b'n' | b'N'], Some(b'\'')) => None,
        // U&'' and U&"": the escape character is a literal of its own (UESCAPE), and can be part of an identifier.
        ([b'u' | b'U'], Some(b'&')) if matches!(sql.get(end + 1), Some(b'\'' | b'"')) => None,
        // `float(24)` is float4 and `float(25)` is float8.
        (word, _) if word.len() == 5 && word.eq_ignore_ascii_case(b"float") => {
            let next = sql.get(run(sql, end, is_space));
            (!matches!(next, Some(b'(' | b'-' | b'/'))).then_some(end)
        }
        _ => Some(end),
    }
}

/// The end of a number, and its mark if it is a plain integer. Anything else that begins with a digit (`1.5`, `1e5`,
/// `0x1F`, `1_000`, `1a`) stands as it is, as does a fraction (`.5`).
fn number(sql: &[u8], at: usize) -> (usize, Option<u8>) {
    let end = run(sql, at, |b| b.is_ascii_digit());
    let after_dot = at.checked_sub(1).and_then(|before| sql.get(before)) == Some(&b'.');
    let plain = !sql.get(end).is_some_and(|b| continues(*b) || *b == b'.');
    if plain && !after_dot {
        return (
            end,
            Some(if fits_int4(sql.get(at..end).unwrap_or_default()) {
                b'I'
            } else {
                b'F'
            }),
        );
    }
    let mut end = run(sql, end, |b| continues(b) || b == b'.');
    // The sign of an exponent belongs to the number.
    let exponent = end
        .checked_sub(1)
        .and_then(|last| sql.get(last))
        .is_some_and(|b| matches!(b, b'e' | b'E'));
    if exponent && matches!(sql.get(end), Some(b'+' | b'-')) {
        end = run(sql, end + 1, |b| continues(b) || b == b'.');
    }
    (end, None)
}

fn fits_int4(digits: &[u8]) -> bool {
    let zeros = digits.iter().take_while(|b| **b == b'0').count();
    let digits = digits.get(zeros..).unwrap_or_default();
    digits.len() < 10 || digits.len() == 10 && digits <= b"2147483647".as_slice()
}

/// The end of a plain string literal; `None` when it is not closed or might continue on another line.
fn string(sql: &[u8], at: usize) -> Option<usize> {
    let end = closing(sql, at, b'\'')?;
    let next = run(sql, end, is_space);
    match sql.get(next) {
        // `'a'` newline `'b'` is one literal; `'a' 'b'` is an error.
        Some(b'\'') => None,
        // A comment may stand between the parts.
        Some(b'-') if sql.get(next + 1) == Some(&b'-') => None,
        Some(b'/') if sql.get(next + 1) == Some(&b'*') => None,
        _ => Some(end),
    }
}

/// The end of something quoted, its quote doubled inside.
fn closing(sql: &[u8], at: usize, quote: u8) -> Option<usize> {
    let mut from = at + 1;
    loop {
        let end = run(sql, from, |b| b != quote && b != 0);
        if *sql.get(end)? == 0 {
            return None;
        }
        if sql.get(end + 1) != Some(&quote) {
            return Some(end + 1);
        }
        from = end + 2;
    }
}

fn line_comment(sql: &[u8], at: usize) -> usize {
    run(sql, at, |b| b != b'\n' && b != b'\r' && b != 0)
}

/// The end of a block comment; they nest.
fn block_comment(sql: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0u32;
    let mut at = at;
    loop {
        match (sql.get(at)?, sql.get(at + 1)) {
            (0, _) => return None,
            (b'/', Some(b'*')) => {
                depth += 1;
                at += 2;
            }
            (b'*', Some(b'/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
}

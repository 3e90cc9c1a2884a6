//! The fingerprint of a text: the same for texts that differ in literals and layout alone, in every tool that uses `libpg_query`.

use crate::parse;

/// 16 hexadecimal digits; None for what does not parse. It parses the text anew, which is why nothing on the way of a statement asks.
#[must_use]
pub fn fingerprint(sql: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(sql).ok()?;
    let work = || pg_query::fingerprint(text, pg_query::ParserOptions::default(), pg_query::FingerprintOptions::default());
    Some(parse::with_stack(sql.len(), work).ok()?.ok()?.hex)
}

//! Statement shapes: small ids for texts that differ in plain literals only, so that what was learnt of one statement is
//! known of the next without parsing it.
//!
//! Texts are untrusted, and two texts with one id are decided alike. So the key is 128 bits of `SipHash` under a key that
//! is random in each process: nobody can aim for a collision, and none happens by chance.

mod lexer;
mod table;

use std::cell::RefCell;
use std::sync::LazyLock;

use siphasher::sip128::SipHasher13;

/// Longer texts have no shape: reading them costs what a cached answer saves.
const MAX_TEXT: usize = 16 << 10;

static HASHER: LazyLock<Option<SipHasher13>> = LazyLock::new(|| {
    let mut key = [0u8; 16];
    getrandom::fill(&mut key).ok()?;
    Some(SipHasher13::new_with_key(&key))
});

thread_local! {
    static KEY_TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An id for the shape of a text. Texts with equal ids parse to the same tree but for the values of plain integer and
/// string literals. 0: the text has no shape (too long, a construct whose literals are not plain, or the table is full).
pub fn statement_shape(sql: &[u8]) -> u32 {
    if sql.len() > MAX_TEXT {
        return 0;
    }
    let Some(hasher) = HASHER.as_ref() else { return 0 };
    KEY_TEXT.with(|scratch| {
        let Ok(mut text) = scratch.try_borrow_mut() else { return 0 };
        text.clear();
        if !lexer::normalise(sql, &mut text) {
            return 0;
        }
        table::id(hasher.hash(&text).as_u128())
    })
}

/// The text under which a statement is known: its literals replaced by `\0I`, `\0F` and `\0S`. For tests and tools.
#[must_use]
pub fn shape_text(sql: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(sql.len());
    lexer::normalise(sql, &mut text).then_some(text)
}

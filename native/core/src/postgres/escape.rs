//! `bytea` in the escape format: `\\` is a backslash and `\ooo` a byte that cannot be shown; every other byte is itself.

/// What a text of the escape format stands for.
pub(super) struct Unescaped {
    pub bytes: Vec<u8>,
    /// For each byte, where in the text what stands for it ends.
    ends: Vec<usize>,
}

impl Unescaped {
    /// Reads a text, or a piece of one: what `last` says is still to come may complete the escape that it ends with, which is
    /// left out then.
    pub(super) fn new(text: &[u8], last: bool) -> Self {
        let mut unescaped = Self {
            bytes: Vec::with_capacity(text.len()),
            ends: Vec::with_capacity(text.len()),
        };
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let (byte, length) = match rest {
                [b'\\', b'\\', ..] => (b'\\', 2),
                [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), 4),
                [b'\\', ..] if rest.len() < 4 && !last => break,
                [byte, ..] => (*byte, 1),
                [] => break,
            };
            at += length;
            unescaped.bytes.push(byte);
            unescaped.ends.push(at);
        }
        unescaped
    }

    /// How much of the text the first `count` bytes take.
    pub(super) fn length(&self, count: usize) -> usize {
        count.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0)
    }

    /// Writes the bytes that have become others into the text, in the form that they have there.
    pub(super) fn write(&self, changed: &[u8], text: &mut [u8]) {
        for (at, (old, new)) in self.bytes.iter().zip(changed).enumerate() {
            if old == new {
                continue;
            }
            match text.get_mut(self.length(at)..self.length(at + 1)) {
                Some([slash, a, b, c]) => {
                    [*slash, *a, *b, *c] = [b'\\', b'0' + (new >> 6), b'0' + (new >> 3 & 7), b'0' + (new & 7)];
                }
                Some(own) => own.fill(*new),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Unescaped;

    #[test]
    fn escapes_stand_for_bytes() {
        let text = br"a\\b\000\377\x\9";
        let read = Unescaped::new(text, true);
        assert_eq!(read.bytes, b"a\\b\0\xff\\x\\9");
        assert_eq!(read.length(read.bytes.len()), text.len());
        assert_eq!(read.length(4), br"a\\b\000".len());
    }

    #[test]
    fn an_escape_that_is_cut_is_left_for_the_next_piece() {
        for cut in [r"ab\", r"ab\0", r"ab\01"] {
            assert_eq!(Unescaped::new(cut.as_bytes(), false).bytes, b"ab");
        }
        assert_eq!(Unescaped::new(br"ab\011", false).bytes, b"ab\t");
    }

    #[test]
    fn what_changed_is_written_in_its_own_form() {
        let mut text = *br"1\0112\\3";
        let read = Unescaped::new(&text, true);
        read.write(b"****3", &mut text);
        assert_eq!(&text, br"*\052***3");
    }
}

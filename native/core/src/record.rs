//! The hash chain and Merkle tree of the record.
//!
//! Every line of the record starts with [`PREFIX`], then 64 hexadecimal digits: the SHA-256 of the line before it. A line
//! is hashed as the raw bytes between two newlines, without the newline. Its leaf in the tree is the RFC 9162 leaf hash
//! of the same bytes. Only the frontier of the tree is kept: the roots of its perfect subtrees, largest first, which is
//! one hash per bit set in the size and all that later leaves need.

mod tree;

use std::fmt;

use sha2::{Digest, Sha256};

pub use tree::Tree;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// What every line starts with; the previous line's hash follows.
pub const PREFIX: &[u8] = b"{\"v\":1,\"prev\":\"";
/// Where the 64 hexadecimal digits of the previous line's hash begin.
pub const PREV_OFFSET: usize = PREFIX.len();
/// Where they end: no line is shorter.
pub const PREV_END: usize = PREV_OFFSET + 64;

/// Why a batch of lines or a saved state was refused. Nothing has changed when one is returned.
#[derive(Debug, PartialEq, Eq)]
pub enum RecordError {
    /// The buffer does not hold exactly the number of lines announced, each ended by a newline.
    LineCount {
        /// Lines announced.
        expected: u64,
        /// Complete lines found.
        found: u64,
    },
    /// A line does not begin with [`PREFIX`], or is shorter than prefix and hash.
    LinePrefix {
        /// Its place in the batch, from 0.
        line: u64,
    },
    /// The saved state is not one that [`Chain::state`] wrote.
    State(&'static str),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineCount { expected, found } => {
                write!(f, "batch holds {found} complete lines where {expected} were announced")
            }
            Self::LinePrefix { line } => {
                write!(f, "line {line} of the batch does not begin with the fixed members")
            }
            Self::State(what) => write!(f, "saved chain state: {what}"),
        }
    }
}

impl std::error::Error for RecordError {}

/// The state of one chain: how many lines it has, the hash of the last one, and the frontier of their Merkle tree.
#[derive(Clone, Default)]
pub struct Chain {
    head: Hash,
    tree: Tree,
    leaves: Vec<u8>,
}

impl Chain {
    /// A chain without lines. The first line's `prev` is 64 zeros.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A chain that goes on from what [`Self::state`] returned.
    ///
    /// # Errors
    /// [`RecordError::State`] when `state` is not such a text, or its frontier does not fit its size.
    pub fn from_state(state: &str) -> Result<Self, RecordError> {
        let value: serde_json::Value = serde_json::from_str(state).map_err(|_| RecordError::State("not JSON"))?;
        let size = value
            .get("size")
            .and_then(serde_json::Value::as_u64)
            .ok_or(RecordError::State("no size"))?;
        let head = parse_hash(value.get("head"))?;
        let frontier = value
            .get("frontier")
            .and_then(serde_json::Value::as_array)
            .ok_or(RecordError::State("no frontier"))?
            .iter()
            .map(|peak| parse_hash(Some(peak)))
            .collect::<Result<Vec<_>, _>>()?;
        let tree = Tree::from_frontier(size, frontier).ok_or(RecordError::State("frontier does not fit the size"))?;
        Ok(Self {
            head,
            tree,
            leaves: Vec::new(),
        })
    }

    /// The state as JSON: `{"size":2,"head":"<hex>","frontier":["<hex>"]}`.
    #[must_use]
    pub fn state(&self) -> String {
        let frontier: Vec<String> = self.tree.frontier().iter().map(|peak| format!("\"{}\"", to_hex(peak))).collect();
        format!(
            "{{\"size\":{},\"head\":\"{}\",\"frontier\":[{}]}}",
            self.tree.size(),
            to_hex(&self.head),
            frontier.join(",")
        )
    }

    /// Completes a batch of exactly `count` lines in place: writes each line's prefix hash and adds its leaf.
    ///
    /// # Errors
    /// The batch is looked through before anything is changed, so an error leaves both it and the chain as they were.
    pub fn seal(&mut self, batch: &mut [u8], count: u64) -> Result<(), RecordError> {
        let mut found = 0;
        let mut rest: &[u8] = batch;
        while let Some(len) = line_length(rest) {
            let (line, after) = rest.split_at(len);
            if !line.starts_with(PREFIX) || len <= PREV_END {
                return Err(RecordError::LinePrefix { line: found });
            }
            found += 1;
            rest = after.get(1..).unwrap_or_default();
        }
        if found != count || !rest.is_empty() {
            return Err(RecordError::LineCount { expected: count, found });
        }
        let mut rest = batch;
        while let Some(len) = line_length(rest) {
            let (line, after) = rest.split_at_mut(len);
            if let Some(hole) = line.get_mut(PREV_OFFSET..PREV_END) {
                write_hex(&self.head, hole);
            }
            self.push(line);
            rest = after.get_mut(1..).unwrap_or_default();
        }
        Ok(())
    }

    /// Follows lines that are sealed already, and stops before the first that does not continue the chain or is not
    /// complete. Returns the number of lines followed and the bytes they take, newlines included.
    pub fn follow(&mut self, lines: &[u8]) -> (u64, usize) {
        let mut count = 0;
        let mut used = 0;
        while let Some(rest) = lines.get(used..)
            && let Some(len) = line_length(rest)
            && let Some(line) = rest.get(..len)
            && self.continues(line)
        {
            self.push(line);
            count += 1;
            used += len + 1;
        }
        (count, used)
    }

    /// The RFC 9162 root over all lines so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Lines so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The hash of the last line.
    #[must_use]
    pub fn head(&self) -> &Hash {
        &self.head
    }

    /// Takes the leaf hashes added since this was last called, 32 bytes each, in the order of the lines.
    pub fn take_leaves(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.leaves)
    }

    fn continues(&self, line: &[u8]) -> bool {
        let mut expected = [0; 64];
        write_hex(&self.head, &mut expected);
        line.starts_with(PREFIX) && line.len() > PREV_END && line.get(PREV_OFFSET..PREV_END) == Some(expected.as_slice())
    }

    fn push(&mut self, line: &[u8]) {
        self.head = Sha256::digest(line).into();
        let leaf = tree::leaf_hash(line);
        self.leaves.extend_from_slice(&leaf);
        self.tree.push(leaf);
    }
}

/// Bytes before the first newline; none when there is no newline. The hash may not have been written yet, so what
/// stands in its place is not searched.
fn line_length(bytes: &[u8]) -> Option<usize> {
    let hash_end = if bytes.starts_with(PREFIX) { PREV_END } else { 0 };
    memchr::memchr(b'\n', bytes.get(hash_end..)?).map(|at| at + hash_end)
}

fn write_hex(hash: &Hash, to: &mut [u8]) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    for (pair, byte) in to.chunks_exact_mut(2).zip(hash) {
        if let [high, low] = pair {
            #[expect(clippy::indexing_slicing, reason = "four bits index sixteen digits")]
            {
                *high = DIGITS[usize::from(byte >> 4)];
                *low = DIGITS[usize::from(byte & 15)];
            }
        }
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn to_hex(hash: &Hash) -> String {
    let mut digits = vec![0; 64];
    write_hex(hash, &mut digits);
    digits.into_iter().map(char::from).collect()
}

fn parse_hash(value: Option<&serde_json::Value>) -> Result<Hash, RecordError> {
    let wrong = RecordError::State("a hash is not 64 hexadecimal digits");
    let Some(digits) = value.and_then(serde_json::Value::as_str).filter(|text| text.len() == 64) else {
        return Err(wrong);
    };
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let Some(value) = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        else {
            return Err(wrong);
        };
        *byte = value;
    }
    Ok(hash)
}

#[cfg(test)]
mod tests;

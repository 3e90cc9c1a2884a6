//! Why a stream of rows cannot go on.

use std::fmt;

use crate::scanner::ScanError;

/// The stream broke its format, or a value cannot carry a mask: nothing more of it may be sent.
#[derive(Debug)]
pub struct StreamError(String);

impl StreamError {
    pub(super) fn new(message: String) -> Self {
        Self(message)
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StreamError {}

impl From<ScanError> for StreamError {
    fn from(error: ScanError) -> Self {
        Self(error.to_string())
    }
}

pub(super) fn broken(what: &str) -> StreamError {
    StreamError(format!("the row is malformed: {what}"))
}

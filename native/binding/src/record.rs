//! `RecordChain` and `RecordLock`: see `index.d.ts`.
#![expect(
    clippy::needless_pass_by_value,
    clippy::cast_precision_loss,
    reason = "N-API hands strings over, and takes counts as doubles: 2^53 lines are never reached"
)]

use std::fs::{File, OpenOptions, TryLockError};

use napi::bindgen_prelude::{Buffer, Error, Result, Status};
use napi_derive::napi;
use sluice_core::record::{Chain, to_hex};

use crate::call::Bytes;

/// The chain and Merkle state of one record directory.
#[napi]
pub struct RecordChain {
    chain: Chain,
}

#[napi]
impl RecordChain {
    /// Goes on from what `state()` returned; "" is a new chain.
    #[napi(constructor)]
    pub fn new(state: String) -> Result<Self> {
        let chain = if state.is_empty() {
            Chain::new()
        } else {
            Chain::from_state(&state).map_err(invalid)?
        };
        Ok(Self { chain })
    }

    /// Completes `count` lines in place.
    #[napi]
    pub fn seal(&mut self, buf: Bytes<'_>, off: u32, len: u32, count: u32) -> Result<()> {
        self.chain.seal(buf.change(off, len)?, u64::from(count)).map_err(invalid)
    }

    /// Follows sealed lines; returns how many continue the chain.
    #[napi]
    pub fn follow(&mut self, buf: Bytes<'_>, off: u32, len: u32) -> Result<u32> {
        let (count, _) = self.chain.follow(buf.read(off, len)?);
        u32::try_from(count).map_err(|_| invalid("too many lines"))
    }

    /// Takes the leaf hashes added since the last call.
    #[napi]
    pub fn take_leaves(&mut self) -> Buffer {
        self.chain.take_leaves().into()
    }

    /// Tree root, hex.
    #[napi]
    pub fn root(&self) -> String {
        to_hex(&self.chain.root())
    }

    /// Lines so far.
    #[napi]
    pub fn size(&self) -> f64 {
        self.chain.size() as f64
    }

    /// Hash of the last line, hex.
    #[napi]
    pub fn head(&self) -> String {
        to_hex(self.chain.head())
    }

    /// Size, head and frontier, JSON.
    #[napi]
    pub fn state(&self) -> String {
        self.chain.state()
    }
}

/// A lock on a file that the kernel lets go of when the process ends, however it ends.
#[napi]
pub struct RecordLock {
    file: Option<File>,
}

#[napi]
impl RecordLock {
    /// Tries to lock `path`, creating it when it is missing.
    #[napi(constructor)]
    pub fn new(path: String) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| invalid(format!("{path}: {error}")))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file: Some(file) }),
            Err(TryLockError::WouldBlock) => Ok(Self { file: None }),
            Err(TryLockError::Error(error)) => Err(invalid(format!("{path}: {error}"))),
        }
    }

    /// Whether this process has the lock.
    #[napi(getter)]
    pub fn held(&self) -> bool {
        self.file.is_some()
    }

    /// Lets go of the lock.
    #[napi]
    pub fn release(&mut self) {
        self.file = None;
    }
}

fn invalid<R: ToString>(reason: R) -> Error {
    Error::new(Status::InvalidArg, reason.to_string())
}

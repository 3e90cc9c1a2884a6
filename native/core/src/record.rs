//! The hash chain and Merkle tree of the record.

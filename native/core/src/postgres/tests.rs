//! Rows, values and COPY data against what they must become.

use std::fmt::Write as _;

use super::{CopyFormat, CopyOutcome, RowPlan, StreamKind, StreamMasker, mask_copy, mask_rows};
use crate::scanner::RuleSet;

mod copy;
mod rows;
mod stream;

const PAN: &str = "4111111111111111";
const MASKED: &str = "************1111";

fn rules() -> RuleSet {
    RuleSet::compile("{}").unwrap()
}

fn plan(columns: &[(&str, u32, bool)]) -> RowPlan {
    plan_with(columns, "{}")
}

fn plan_with(columns: &[(&str, u32, bool)], copy: &str) -> RowPlan {
    let columns: Vec<String> = columns
        .iter()
        .map(|(mask, oid, binary)| format!(r#"{{"mask":"{mask}","type":{oid},"binary":{binary}}}"#))
        .collect();
    RowPlan::compile(&format!(r#"{{"columns":[{}],"copy":{copy}}}"#, columns.join(","))).unwrap()
}

/// Number of columns, then each value behind its length.
fn body(values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        match value {
            None => body.extend_from_slice(&(-1i32).to_be_bytes()),
            Some(value) => {
                body.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
                body.extend_from_slice(value);
            }
        }
    }
    body
}

fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend_from_slice(&u32::try_from(payload.len() + 4).unwrap().to_be_bytes());
    message.extend_from_slice(payload);
    message
}

fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
    message(b'D', &body(values))
}

fn no_counts(rules: &RuleSet) -> Vec<u32> {
    vec![0; rules.names().len() + 1]
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// What becomes of a run of rows, and what was counted.
fn masked_rows(plan: &RowPlan, run: &[u8]) -> (Option<Vec<u8>>, Vec<u32>) {
    let rules = rules();
    let mut counts = no_counts(&rules);
    let mut bytes = run.to_vec();
    let length = mask_rows(&rules, plan, &mut bytes, &mut counts).unwrap();
    (length.map(|length| bytes[..length].to_vec()), counts)
}

/// What becomes of one value of a column; the inner `None` is NULL.
fn value(mask: &str, oid: u32, binary: bool, value: &[u8]) -> Option<Vec<u8>> {
    let (masked, _) = masked_rows(&plan(&[(mask, oid, binary)]), &row(&[Some(value)]));
    let masked = masked.unwrap();
    if masked == row(&[None]) {
        return None;
    }
    assert_eq!(masked.len(), row(&[Some(value)]).len(), "a value keeps its length");
    Some(masked[11..].to_vec())
}

use proptest::prelude::*;

use super::copy::{HEADER, TRAILER};
use super::{MASKED, PAN, RowPlan, StreamKind, StreamMasker, body, hex, no_counts, plan, rules};

const TEXT: u32 = 25;
const JSON: u32 = 114;
const BYTEA: u32 = 17;

/// Feeds a stream in chunks of `size` bytes, what was not final first again; returns what it became.
fn masked(plan: &RowPlan, kind: StreamKind, input: &[u8], size: usize) -> Result<(Vec<u8>, Vec<u32>), String> {
    masked_from(plan, kind, false, input, size)
}

fn masked_from(plan: &RowPlan, kind: StreamKind, first: bool, input: &[u8], size: usize) -> Result<(Vec<u8>, Vec<u32>), String> {
    let rules = rules();
    let mut counts = no_counts(&rules);
    let mut stream = StreamMasker::new(plan, kind, first);
    let mut bytes = input.to_vec();
    let (mut start, mut end) = (0, 0);
    loop {
        end = (end + size).min(bytes.len());
        let last = end == bytes.len();
        let done = stream
            .feed(&rules, plan, &mut bytes[start..end], last, &mut counts)
            .map_err(|error| error.to_string())?;
        assert!(end - start - done <= StreamMasker::hold(&rules), "it holds back too much");
        start += done;
        if last {
            assert_eq!(start, bytes.len());
            return Ok((bytes, counts));
        }
    }
}

/// Longer than what a stream holds until it is whole.
fn long(text: &str) -> String {
    let filler = "lorem ipsum ".repeat(400);
    format!("{filler}{text}{filler}")
}

fn at_every_size(plan: &RowPlan, kind: StreamKind, input: &[u8], expected: &[u8], counts: &[u32]) {
    let sizes = (1..200)
        .step_by(7)
        .chain([255, 1000, 4095, 4096, 4097, 4100, 4101, 5000, 8192, input.len()]);
    for size in sizes {
        let (bytes, counted) = masked(plan, kind, input, size).unwrap();
        if let Some(at) = (0..input.len()).find(|at| bytes[*at] != expected[*at]) {
            let around = |bytes: &[u8]| String::from_utf8_lossy(&bytes[at.saturating_sub(20)..bytes.len().min(at + 40)]).into_owned();
            assert_eq!(around(&bytes), around(expected), "{kind:?} in chunks of {size}, at {at}");
        }
        assert_eq!(counted, counts, "{kind:?} in chunks of {size}");
    }
}

#[test]
fn a_large_row_is_masked_as_a_small_one_in_chunks_of_any_size() {
    let plan = plan(&[
        ("scan", TEXT, false),
        ("whole", TEXT, false),
        ("pan", TEXT, false),
        ("scan", JSON, false),
        ("whole", JSON, false),
        ("scan", BYTEA, false),
        ("whole", BYTEA, false),
        ("none", TEXT, false),
        ("scan", TEXT, false),
    ]);
    let texts = |pan: &str, cvv: &str, number: &str| {
        let json = format!("{{\"n\":{number},\"s\":\"{}\"}}", long(&format!("{pan} cvv={cvv}")));
        (long(&format!("{pan} cvv={cvv}")), json, format!("\\x{}", hex(&long(pan))))
    };
    let (text, json, bytea) = texts(PAN, "123", PAN);
    let (masked_text, masked_json, masked_bytea) = texts(MASKED, "***", "            1111");
    let stars = "*".repeat(text.len());
    let json_stars = format!("\"{}\"", "*".repeat(json.len() - 2));
    let hex_stars = format!("\\x{}", "2a".repeat(bytea.len() / 2 - 1));
    let input = body(&[
        Some(text.as_bytes()),
        Some(text.as_bytes()),
        Some(PAN.as_bytes()),
        Some(json.as_bytes()),
        Some(json.as_bytes()),
        Some(bytea.as_bytes()),
        Some(bytea.as_bytes()),
        Some(text.as_bytes()),
        None,
    ]);
    let expected = body(&[
        Some(masked_text.as_bytes()),
        Some(stars.as_bytes()),
        Some(MASKED.as_bytes()),
        Some(masked_json.as_bytes()),
        Some(json_stars.as_bytes()),
        Some(masked_bytea.as_bytes()),
        Some(hex_stars.as_bytes()),
        Some(text.as_bytes()),
        None,
    ]);
    at_every_size(&plan, StreamKind::DataRow, &input, &expected, &[4, 0, 2, 0, 4]);
}

#[test]
fn copy_is_masked_in_chunks_of_any_size() {
    let text_plan = plan(&[("scan", TEXT, false), ("whole", TEXT, false)]);
    let binary_plan = plan(&[("scan", TEXT, true), ("whole", TEXT, true)]);
    let (wide, masked_wide) = (long(PAN), long(MASKED));
    let stars = "*".repeat(wide.len());
    let text = |pan: &str, wide: &str, cover: &str, short: &str| format!("{pan}\t{short}\n{wide}\t{cover}\n\\N\t\\N\n");
    at_every_size(
        &text_plan,
        StreamKind::CopyText,
        text(PAN, &wide, &wide, "a\\tb").as_bytes(),
        text(MASKED, &masked_wide, &stars, "****").as_bytes(),
        &[2, 0, 0, 0, 2],
    );
    let csv = |pan: &str, wide: &str, cover: &str, short: &str| format!("\"{pan}\",{short}\n\"{wide}\",\"{cover}\"\n");
    at_every_size(
        &text_plan,
        StreamKind::CopyCsv,
        csv(PAN, &wide, &wide, "ab").as_bytes(),
        csv(MASKED, &masked_wide, &stars, "**").as_bytes(),
        &[2, 0, 0, 0, 2],
    );
    let binary = |pan: &str, wide: &str, cover: &str| {
        let row = |a: &str, b: &str| body(&[Some(a.as_bytes()), Some(b.as_bytes())]);
        [HEADER, &row(pan, cover), &row(wide, cover), &body(&[None, None]), TRAILER].concat()
    };
    at_every_size(
        &binary_plan,
        StreamKind::CopyBinary,
        &binary(PAN, &wide, &wide),
        &binary(MASKED, &masked_wide, &stars),
        &[2, 0, 0, 0, 2],
    );
}

#[test]
fn large_bytea_in_the_escape_format_is_scanned_as_what_it_stands_for() {
    let plan = plan(&[("scan", BYTEA, false)]);
    let value = |pan: &str| body(&[Some(format!("\\001Zz{}", long(&format!("\\000{pan}\\377"))).as_bytes())]);
    at_every_size(&plan, StreamKind::DataRow, &value(PAN), &value(MASKED), &[1, 0, 0, 0, 0]);
    let many = |pan: &str| body(&[Some(format!("{}{pan}", "\\001".repeat(3000)).as_bytes())]);
    at_every_size(&plan, StreamKind::DataRow, &many(PAN), &many(MASKED), &[1, 0, 0, 0, 0]);
}

#[test]
fn the_header_is_scanned_where_the_copy_begins_and_nowhere_else() {
    let columns = [("whole", TEXT, false), ("pan", TEXT, false)];
    let plan = super::plan_with(&columns, r#"{"header":true}"#);
    let input = format!("cvv,number {PAN}\n123,{PAN}\n");
    for size in [1, 7, input.len()] {
        let (first, _) = masked_from(&plan, StreamKind::CopyCsv, true, input.as_bytes(), size).unwrap();
        assert_eq!(String::from_utf8(first).unwrap(), format!("cvv,number {MASKED}\n***,{MASKED}\n"));
        let (later, _) = masked_from(&plan, StreamKind::CopyCsv, false, input.as_bytes(), size).unwrap();
        assert!(later.starts_with(b"***,"), "a row that is not the first has no names in it");
    }
}

#[test]
fn a_stream_that_ends_anywhere_too_early_fails() {
    let row_plan = plan(&[("scan", TEXT, false), ("whole", TEXT, false)]);
    let row = body(&[Some(PAN.as_bytes()), Some(b"xy")]);
    for end in 0..row.len() {
        assert!(masked(&row_plan, StreamKind::DataRow, &row[..end], 5).is_err(), "{end}");
    }
    assert!(masked(&row_plan, StreamKind::DataRow, &[row.as_slice(), b"x"].concat(), 5).is_err());
    let line = format!("{PAN}\tx\n");
    for end in 1..line.len() {
        assert!(
            masked(&row_plan, StreamKind::CopyText, &line.as_bytes()[..end], 5).is_err(),
            "{end}"
        );
    }
}

#[test]
fn a_large_value_that_cannot_carry_a_mask_fails() {
    let xml = plan(&[("whole", 142, false)]);
    let wide = long("x");
    let error = masked(&xml, StreamKind::DataRow, &body(&[Some(wide.as_bytes())]), 1000).unwrap_err();
    assert!(error.contains("cannot carry a mask"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_give_the_same_in_chunks_and_never_panic(
        bytes in prop::collection::vec(prop::sample::select(b"\0\0\0\x01\x02\x03\xff4111 1\t\n\\\",.N".to_vec()), 0..80),
        size in 1..20usize,
        kind in prop::sample::select(vec![StreamKind::DataRow, StreamKind::CopyText, StreamKind::CopyCsv, StreamKind::CopyBinary]),
    ) {
        let plan = plan(&[("scan", TEXT, false), ("whole", TEXT, false)]);
        let whole = masked(&plan, kind, &bytes, 100).ok();
        prop_assert_eq!(masked(&plan, kind, &bytes, size).ok(), whole);
    }
}

use proptest::prelude::*;

use super::{CopyFormat, CopyOutcome, MASKED, PAN, RowPlan, body, mask_copy, message, no_counts, plan, plan_with, rules};

const TEXT: u32 = 25;
const DATE: u32 = 1082;

/// What a binary COPY begins with, and what it ends with.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
pub(super) const TRAILER: &[u8] = b"\xff\xff";

fn masked(plan: &RowPlan, format: CopyFormat, first: bool, run: &[u8]) -> (CopyOutcome, Vec<u8>, Vec<u32>) {
    let rules = rules();
    let mut counts = no_counts(&rules);
    let mut bytes = run.to_vec();
    let outcome = mask_copy(&rules, plan, format, first, &mut bytes, &mut counts).unwrap();
    match outcome {
        CopyOutcome::Masked(length) => bytes.truncate(length),
        CopyOutcome::Unfinished => assert_eq!(bytes, run, "an unfinished run stays as it is"),
        CopyOutcome::Malformed => {}
    }
    (outcome, bytes, counts)
}

/// One message's payload in, one message's payload out.
fn payload(plan: &RowPlan, format: CopyFormat, input: &[u8]) -> Vec<u8> {
    let (outcome, bytes, _) = masked(plan, format, true, &message(b'd', input));
    assert_eq!(outcome, CopyOutcome::Masked(bytes.len()));
    bytes[5..].to_vec()
}

#[test]
fn text_fields_are_masked_by_what_they_say() {
    let plan = plan(&[("scan", TEXT, false), ("whole", TEXT, false)]);
    for (input, expected) in [
        (format!("{PAN}\tsecret\n"), format!("{MASKED}\t******\n")),
        // Escapes: octal and hexadecimal digits, a tab, a backslash, a line end.
        ("\\064111111111111111\tx\n".to_owned(), "***************1111\t*\n".to_owned()),
        ("\\x34111111111111111\tx\n".to_owned(), "***************1111\t*\n".to_owned()),
        (format!("a\\tb {PAN}\\\\\t\\N\n"), format!("a\\tb {MASKED}\\\\\t\\N\n")),
        (format!("a\\\n{PAN}\ta\\tb\n"), format!("a\\\n{MASKED}\t****\n")),
        ("\\N\t\\N\n\\.\n".to_owned(), "\\N\t\\N\n\\.\n".to_owned()),
        ("\t\n".to_owned(), "\t\n".to_owned()),
        ("cvv=123\ty\r\n".to_owned(), "cvv=***\t*\r\n".to_owned()),
    ] {
        let found = payload(&plan, CopyFormat::Text, input.as_bytes());
        assert_eq!(String::from_utf8_lossy(&found), expected, "{input}");
    }
}

#[test]
fn csv_fields_are_masked_within_their_quotes() {
    let columns = [("scan", TEXT, false), ("pan", TEXT, false), ("whole", TEXT, false)];
    let standard = plan(&columns);
    let other = plan_with(&columns, r#"{"delimiter":";","quote":"'","escape":"\\","null":"-"}"#);
    let header = plan_with(&columns, r#"{"header":true}"#);
    for (plan, input, expected) in [
        (&standard, format!("{PAN},{PAN},x\n"), format!("{MASKED},{MASKED},*\n")),
        (
            &standard,
            format!("\"a, \"\"{PAN}\"\"\",\"{PAN}\",\"x\ny\"\n"),
            format!("\"a, \"\"{MASKED}\"\"\",\"{MASKED}\",\"***\"\n"),
        ),
        (
            &standard,
            "\"{\"\"cvv\"\":\"\"123\"\"}\",,\n".to_owned(),
            "\"{\"\"cvv\"\":\"\"***\"\"}\",,\n".to_owned(),
        ),
        (
            &standard,
            "411111111\"\"1111111,,\n".to_owned(),
            "*********\"\"***1111,,\n".to_owned(),
        ),
        (
            &other,
            format!("'a\\'; {PAN}';-;'b\\'\n'\n"),
            format!("'a\\'; {MASKED}';-;'****'\n"),
        ),
        (
            &header,
            format!("id,pan,note\n{PAN},{PAN},n\n"),
            format!("id,pan,note\n{MASKED},{MASKED},*\n"),
        ),
    ] {
        let found = payload(plan, CopyFormat::Csv, input.as_bytes());
        assert_eq!(String::from_utf8_lossy(&found), expected, "{input}");
    }
}

#[test]
fn binary_rows_lose_what_cannot_carry_a_mask() {
    let plan = plan(&[("scan", TEXT, true), ("whole", DATE, true)]);
    let input = [
        HEADER,
        &body(&[Some(PAN.as_bytes()), Some(&[0, 0, 1, 2])]),
        &body(&[None, None]),
        TRAILER,
    ]
    .concat();
    let expected = [HEADER, &body(&[Some(MASKED.as_bytes()), None]), &body(&[None, None]), TRAILER].concat();
    assert_eq!(payload(&plan, CopyFormat::Binary, &input), expected);
    // A value that became NULL and was spread over three messages: they shrink, and stay three.
    let cut = HEADER.len() + 2 + 4 + PAN.len() + 4;
    let run: Vec<u8> = [&input[..=cut], &input[cut + 1..=cut + 1], &input[cut + 2..]]
        .iter()
        .flat_map(|part| message(b'd', part))
        .collect();
    let (_, bytes, counts) = masked(&plan, CopyFormat::Binary, true, &run);
    let shrunk: Vec<u8> = [&expected[..cut], &[], &expected[cut..]]
        .iter()
        .flat_map(|part| message(b'd', part))
        .collect();
    assert_eq!(bytes, shrunk);
    assert_eq!(counts, [1, 0, 0, 0, 1]);
}

#[test]
fn rows_may_span_messages_at_any_byte() {
    let text = plan(&[("scan", TEXT, false), ("whole", TEXT, false)]);
    let binary = plan(&[("scan", TEXT, true), ("whole", TEXT, true)]);
    let lines = format!("{PAN}\ta\\tb\n\\N\tx\n");
    let tuples = [HEADER, &body(&[Some(PAN.as_bytes()), Some(b"xy")]), TRAILER].concat();
    for (plan, format, input) in [
        (&text, CopyFormat::Text, lines.as_bytes()),
        (&text, CopyFormat::Csv, format!("\"{PAN}\",\"a\"\"\n\"\n").as_bytes()),
        (&binary, CopyFormat::Binary, tuples.as_slice()),
    ] {
        let whole = payload(plan, format, input);
        for cut in 0..=input.len() {
            let run = [message(b'd', &input[..cut]), message(b'd', &input[cut..])].concat();
            let expected = [message(b'd', &whole[..cut]), message(b'd', &whole[cut..])].concat();
            let (_, bytes, _) = masked(plan, format, true, &run);
            assert_eq!(bytes, expected, "{format:?} cut at {cut}");
        }
    }
}

#[test]
fn a_run_that_ends_inside_a_row_is_unfinished_and_a_cut_message_malformed() {
    let text = plan(&[("scan", TEXT, false), ("whole", TEXT, false)]);
    let binary = plan(&[("scan", TEXT, true), ("whole", TEXT, true)]);
    let tuples = [HEADER, &body(&[Some(PAN.as_bytes()), Some(b"xy")]), TRAILER].concat();
    let row_ends = [tuples.len() - 2, HEADER.len(), tuples.len()];
    for end in 0..tuples.len() {
        let (outcome, _, _) = masked(&binary, CopyFormat::Binary, true, &message(b'd', &tuples[..end]));
        let expected = if row_ends.contains(&end) {
            CopyOutcome::Masked(end + 5)
        } else {
            CopyOutcome::Unfinished
        };
        assert_eq!(outcome, expected, "{end}");
    }
    let line = format!("{PAN}\tx\n");
    for end in 1..line.len() {
        let (outcome, _, _) = masked(&text, CopyFormat::Text, false, &message(b'd', &line.as_bytes()[..end]));
        assert_eq!(outcome, CopyOutcome::Unfinished);
    }
    let run = message(b'd', line.as_bytes());
    for end in 1..run.len() {
        assert_eq!(masked(&text, CopyFormat::Text, false, &run[..end]).0, CopyOutcome::Malformed);
    }
    for bad in ["a\n", "a\tb\tc\n"] {
        assert_eq!(
            masked(&text, CopyFormat::Text, false, &message(b'd', bad.as_bytes())).0,
            CopyOutcome::Malformed
        );
    }
    for bad in [&b"\0\x01\0\0\0\x01x"[..], b"\0\x02\xff\xff\xff\xfe", b"\xff\xffx"] {
        assert_eq!(
            masked(&binary, CopyFormat::Binary, false, &message(b'd', bad)).0,
            CopyOutcome::Malformed
        );
    }
    assert_eq!(
        masked(&binary, CopyFormat::Binary, true, &message(b'd', b"PGCOPX")).0,
        CopyOutcome::Malformed
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_is_refused_or_masked_within_its_bytes(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
        text in "[0-9a\\t\\n,\"\\\\.N]{0,60}",
        which in 0..3usize,
        first in any::<bool>(),
        mask in prop::sample::select(vec!["scan", "pan", "sad", "none"]),
    ) {
        let format = [CopyFormat::Text, CopyFormat::Csv, CopyFormat::Binary][which];
        let plan = plan(&[(mask, TEXT, which == 2), ("scan", DATE, which == 2)]);
        let mut run: Vec<u8> = pieces.iter().flat_map(|piece| message(b'd', piece)).collect();
        run.extend_from_slice(&message(b'd', text.as_bytes()));
        let (_, bytes, _) = masked(&plan, format, first, &run);
        prop_assert!(bytes.len() <= run.len());
        // Raw bytes in place of messages.
        masked(&plan, format, first, &pieces.concat());
    }
}

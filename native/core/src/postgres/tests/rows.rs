use proptest::prelude::*;

use super::{MASKED, PAN, body, masked_rows, message, plan, row, value};

const BOOL: u32 = 16;
const BYTEA: u32 = 17;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const JSON: u32 = 114;
const XML: u32 = 142;
const TEXT_ARRAY: u32 = 1009;
const INT8_ARRAY: u32 = 1016;
const DATE: u32 = 1082;
const BIT: u32 = 1560;
const NUMERIC: u32 = 1700;
const RECORD: u32 = 2249;
const UUID: u32 = 2950;
const JSONB: u32 = 3802;
const USER_TYPE: u32 = 50_000;

/// A numeric in binary format: weight, sign, scale and base-10000 digits.
fn numeric(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Vec<u8> {
    let count = u16::try_from(digits.len()).unwrap();
    [count, weight.cast_unsigned(), sign, scale]
        .iter()
        .chain(digits)
        .flat_map(|word| word.to_be_bytes())
        .collect()
}

/// An array of one dimension in binary format.
fn array(oid: u32, elements: &[Option<&[u8]>]) -> Vec<u8> {
    let mut bytes: Vec<u8> = [1, 0, oid, u32::try_from(elements.len()).unwrap(), 1]
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .collect();
    bytes.extend_from_slice(&body(elements)[2..]);
    bytes
}

fn record(fields: &[(u32, &[u8])]) -> Vec<u8> {
    let mut bytes = u32::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
    for (oid, field) in fields {
        bytes.extend_from_slice(&oid.to_be_bytes());
        bytes.extend_from_slice(&body(&[Some(field)])[2..]);
    }
    bytes
}

#[test]
fn values_in_text_format_keep_their_type() {
    let json = format!(r#"{{"n":{PAN},"s":"{PAN}"}}"#);
    let hex = super::hex(PAN);
    let masked_hex = super::hex(MASKED);
    let cases: &[(&str, u32, &str, Option<&str>)] = &[
        ("scan", TEXT, &format!("no {PAN}"), Some(&format!("no {MASKED}"))),
        ("pan", TEXT, PAN, Some(MASKED)),
        ("pan", TEXT, "4111 1111 1111 1112", Some("*******************")),
        ("pan", TEXT, &format!("{PAN} 123"), Some(&format!("{MASKED}****"))),
        ("pan", TEXT, "1234", Some("****")),
        ("sad", TEXT, "123", Some("***")),
        ("whole", TEXT, PAN, Some("****************")),
        ("none", TEXT, PAN, Some(PAN)),
        ("scan", INT8, PAN, Some("0000000000001111")),
        ("pan", INT8, PAN, Some("0000000000001111")),
        ("pan", INT8, "-42", Some("-00")),
        ("sad", INT2, "123", Some("000")),
        ("whole", INT4, "1234567", Some("0000000")),
        ("scan", NUMERIC, &format!("{PAN}.50"), Some("0000000000001111.50")),
        ("scan", NUMERIC, "41111111.11111111", Some("41111111.11111111")),
        ("pan", NUMERIC, &format!("-{PAN}.25"), Some("-0000000000001111.00")),
        ("whole", NUMERIC, "12.34", Some("00.00")),
        ("scan", JSON, &json, Some(&format!(r#"{{"n":            1111,"s":"{MASKED}"}}"#))),
        ("whole", JSONB, r#"{"a":1}"#, Some(r#""*****""#)),
        ("sad", JSON, "7", Some("0")),
        ("scan", XML, &format!("<pan>{PAN}</pan>"), Some(&format!("<pan>{MASKED}</pan>"))),
        ("whole", XML, "<a/>", None),
        ("scan", BYTEA, &format!("\\x{hex}"), Some(&format!("\\x{masked_hex}"))),
        // The escape format shows printable bytes as they are.
        ("scan", BYTEA, &format!("\\001x{PAN}"), Some(&format!("\\001x{MASKED}"))),
        ("whole", BYTEA, "\\x0102ff", Some("\\x2a2a2a")),
        ("whole", BYTEA, "\\001abc", None),
        ("whole", BIT, "0110", Some("0000")),
        ("scan", BIT, "0110", Some("0110")),
        ("pan", DATE, "2024-01-15", None),
        ("sad", BOOL, "t", None),
        ("whole", UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", None),
        ("scan", DATE, "2024-01-15", Some("2024-01-15")),
        ("scan", TEXT_ARRAY, &format!("{{{PAN},x}}"), Some(&format!("{{{MASKED},x}}"))),
        ("scan", INT8_ARRAY, &format!("{{{PAN},7}}"), Some("{0000000000001111,7}")),
        ("whole", TEXT_ARRAY, "{a}", None),
        ("scan", RECORD, &format!("(1,{PAN})"), Some(&format!("(1,{MASKED})"))),
        ("whole", RECORD, "(1,a)", None),
        ("scan", USER_TYPE, PAN, Some(MASKED)),
        ("whole", USER_TYPE, "mood", None),
    ];
    for (mask, oid, input, expected) in cases {
        let found = value(mask, *oid, false, input.as_bytes());
        let found = found.as_ref().map(|bytes| String::from_utf8_lossy(bytes));
        assert_eq!(found.as_deref(), *expected, "{mask} of {oid}: {input}");
    }
}

/// Mask, type, value and what it becomes.
type Case = (&'static str, u32, Vec<u8>, Option<Vec<u8>>);

#[test]
fn values_in_binary_format_keep_their_type() {
    let pan: i64 = PAN.parse().unwrap();
    let pan_digits = [4111, 1111, 1111, 1111];
    let jsonb = |text: &str| [b"\x01", text.as_bytes()].concat();
    let inner = |pan: i64, text: &str| record(&[(INT8, &pan.to_be_bytes()), (TEXT, text.as_bytes()), (DATE, &[0, 0, 0, 1])]);
    let cases: &[Case] = &[
        ("scan", TEXT, PAN.into(), Some(MASKED.into())),
        ("pan", INT8, pan.to_be_bytes().into(), Some(1111i64.to_be_bytes().into())),
        ("scan", INT8, pan.to_be_bytes().into(), Some(1111i64.to_be_bytes().into())),
        ("scan", INT8, (-pan).to_be_bytes().into(), Some(1111i64.to_be_bytes().into())),
        ("scan", INT8, (pan + 1).to_be_bytes().into(), Some((pan + 1).to_be_bytes().into())),
        ("whole", INT8, pan.to_be_bytes().into(), Some(vec![0; 8])),
        ("pan", INT8, 1234i64.to_be_bytes().into(), Some(vec![0; 8])),
        ("sad", INT4, 123i32.to_be_bytes().into(), Some(vec![0; 4])),
        ("sad", INT2, 123i16.to_be_bytes().into(), Some(vec![0; 2])),
        ("whole", INT8, vec![1, 2, 3], None),
        (
            "scan",
            NUMERIC,
            numeric(3, 0, 0, &pan_digits),
            Some(numeric(3, 0, 0, &[0, 0, 0, 1111])),
        ),
        (
            "pan",
            NUMERIC,
            numeric(3, 0x4000, 0, &pan_digits),
            Some(numeric(3, 0x4000, 0, &[0, 0, 0, 1111])),
        ),
        (
            "pan",
            NUMERIC,
            numeric(3, 0, 2, &[4111, 1111, 1111, 1111, 2500]),
            Some(numeric(3, 0, 2, &[0, 0, 0, 1111, 0])),
        ),
        ("whole", NUMERIC, numeric(0, 0, 2, &[12, 3400]), Some(numeric(0, 0, 2, &[0, 0]))),
        ("scan", NUMERIC, numeric(1, 0, 8, &pan_digits), Some(numeric(1, 0, 8, &pan_digits))),
        ("whole", NUMERIC, numeric(0, 0, 0, &[1])[..9].into(), None),
        ("scan", JSONB, jsonb(&format!("[{PAN}]")), Some(jsonb("[            1111]"))),
        ("whole", JSONB, jsonb("[1, 2]"), Some(jsonb(r#""****""#))),
        ("scan", BYTEA, PAN.into(), Some(MASKED.into())),
        ("whole", BYTEA, vec![0, 1, 255], Some(b"***".into())),
        ("whole", BIT, vec![0, 0, 0, 9, 255, 128], Some(vec![0, 0, 0, 9, 0, 0])),
        ("whole", DATE, vec![0, 0, 1, 2], None),
        ("pan", UUID, vec![7; 16], None),
        (
            "scan",
            TEXT_ARRAY,
            array(TEXT, &[Some(PAN.as_bytes()), None, Some(b"x")]),
            Some(array(TEXT, &[Some(MASKED.as_bytes()), None, Some(b"x")])),
        ),
        (
            "scan",
            INT8_ARRAY,
            array(INT8, &[Some(&pan.to_be_bytes())]),
            Some(array(INT8, &[Some(&1111i64.to_be_bytes())])),
        ),
        ("whole", INT8_ARRAY, array(INT8, &[]), None),
        ("scan", RECORD, inner(pan, PAN), Some(inner(1111, MASKED))),
        ("scan", USER_TYPE, inner(pan, PAN), Some(inner(1111, MASKED))),
        (
            "scan",
            RECORD,
            record(&[(RECORD, &inner(pan, PAN))]),
            Some(record(&[(RECORD, &inner(1111, MASKED))])),
        ),
        ("whole", RECORD, inner(1, "x"), None),
    ];
    for (mask, oid, input, expected) in cases {
        assert_eq!(&value(mask, *oid, true, input), expected, "{mask} of {oid}: {input:?}");
    }
}

#[test]
fn nulls_shrink_a_run_and_every_other_byte_stays() {
    let plan = plan(&[
        ("scan", TEXT, false),
        ("whole", DATE, false),
        ("pan", UUID, true),
        ("scan", TEXT, false),
    ]);
    let input =
        |pan: &str, date: &str, tail: &str| row(&[Some(pan.as_bytes()), Some(date.as_bytes()), Some(&[7; 16]), Some(tail.as_bytes())]);
    let output = |pan: &str, tail: &str| row(&[Some(pan.as_bytes()), None, None, Some(tail.as_bytes())]);
    let run = [
        input("a", "2024-01-15", "x"),
        row(&[None, None, None, Some(b"")]),
        input(PAN, "2024-01-16", "cvv=123"),
        input("b", "", "end"),
    ]
    .concat();
    let mut last = row(&[Some(b"b"), Some(b""), None, Some(b"end")]);
    let expected = [
        output("a", "x"),
        row(&[None, None, None, Some(b"")]),
        output(MASKED, "cvv=***"),
        std::mem::take(&mut last),
    ]
    .concat();
    let (masked, counts) = masked_rows(&plan, &run);
    assert_eq!(masked.as_deref(), Some(expected.as_slice()));
    assert_eq!(counts, [1, 0, 1, 0, 5]);
}

#[test]
fn rows_around_quiet_ones_are_masked_all_the_same() {
    let plan = plan(&[("scan", TEXT, false), ("scan", TEXT, false)]);
    for position in 0..40 {
        let rows = |pan: &str, cvv: &str| -> Vec<u8> {
            (0..40)
                .flat_map(|at| {
                    if at == position {
                        row(&[Some(pan.as_bytes()), Some(cvv.as_bytes())])
                    } else {
                        row(&[Some(b"2024-01-15 10:23"), Some(b"quiet")])
                    }
                })
                .collect()
        };
        let (masked, counts) = masked_rows(&plan, &rows(PAN, "cvv=123"));
        assert_eq!(masked, Some(rows(MASKED, "cvv=***")), "{position}");
        assert_eq!(counts, [1, 0, 1, 0, 0]);
    }
}

#[test]
fn what_spans_two_values_is_nothing() {
    let plan = plan(&[("scan", TEXT, false), ("scan", TEXT, false)]);
    // A length of 48 to 57 is the code of a digit, right in front of the value.
    for length in 16..60usize {
        let number = format!("{PAN}{}", " ".repeat(length - 16));
        let masked = format!("{MASKED}{}", " ".repeat(length - 16));
        let run = row(&[Some(b"4111111111111"), Some(number.as_bytes())]);
        let expected = row(&[Some(b"4111111111111"), Some(masked.as_bytes())]);
        assert_eq!(masked_rows(&plan, &run).0, Some(expected), "{length}");
    }
    for run in [row(&[Some(b"41111111"), Some(b"11111111")]), row(&[Some(b"cvv="), Some(b"123")])] {
        assert_eq!(masked_rows(&plan, &run).0, Some(run));
    }
}

fn every_kind_of_plan() -> Vec<super::RowPlan> {
    let oids = [TEXT, INT8, NUMERIC, JSON, BYTEA, BIT, DATE, TEXT_ARRAY, RECORD, USER_TYPE];
    let mut plans = Vec::new();
    for mask in ["scan", "pan", "sad", "none"] {
        for binary in [false, true] {
            plans.extend(oids.map(|oid| plan(&[(mask, oid, binary), ("scan", TEXT, false)])));
        }
    }
    plans
}

#[test]
fn a_run_cut_anywhere_else_than_between_rows_is_malformed() {
    let one = row(&[Some(PAN.as_bytes()), Some(b"cvv: 123")]);
    let run = [one.clone(), one.clone()].concat();
    for plan in every_kind_of_plan() {
        for end in 0..run.len() {
            assert_eq!(masked_rows(&plan, &run[..end]).0.is_some(), end % one.len() == 0, "{end}");
        }
    }
}

#[test]
fn lengths_that_do_not_fit_are_malformed() {
    let plan = plan(&[("scan", TEXT, false)]);
    for bad in [
        row(&[Some(b"x"), Some(b"y")]),
        message(b'D', &[0, 1, 0, 0, 0, 9, b'x']),
        message(b'D', &[0, 1, 255, 255, 255, 254]),
        message(b'D', &[0, 1, 127, 255, 255, 255, b'x']),
        message(b'D', &[0, 1, 0, 0, 0, 1, b'x', b'y']),
        message(b'E', &[0, 1, 0, 0, 0, 1, b'x']),
        vec![b'D', 0, 0, 0, 0, 0, 1],
        vec![b'D', 255, 255, 255, 255, 0, 1],
    ] {
        assert_eq!(masked_rows(&plan, &bad).0, None, "{bad:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_is_refused_or_masked_within_its_bytes(
        values in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), 2),
        changed in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        which in any::<prop::sample::Index>(),
    ) {
        let values: Vec<Option<&[u8]>> = values.iter().map(|value| value.as_deref()).collect();
        let good = row(&values);
        let plans = every_kind_of_plan();
        let plan = which.get(&plans);
        let masked = masked_rows(plan, &good).0;
        prop_assert!(masked.is_some_and(|masked| masked.len() <= good.len()));
        let mut bad = good;
        let at = changed.index(bad.len());
        bad[at] = byte;
        let length = bad.len();
        if let (Some(masked), _) = masked_rows(plan, &bad) {
            prop_assert!(masked.len() <= length);
        }
    }
}

#[test]
fn a_card_number_beside_an_escape_of_bytea_is_found() {
    for (text, masked) in [
        (r"\000PAN", r"\000MASKED"),
        (r"PAN\000", r"MASKED\000"),
        (r"x\\PAN\377y", r"x\\MASKED\377y"),
    ] {
        let bytes = |text: &str| text.replace("PAN", PAN).replace("MASKED", MASKED).into_bytes();
        assert_eq!(value("scan", 17, false, &bytes(text)), Some(bytes(masked)), "{text}");
    }
}

/// An array type, a composite type and a domain that somebody made.
const MADE: u32 = 70_000;

#[test]
fn numbers_inside_of_values_and_of_types_unknown_are_covered() {
    let card = 4_111_111_111_111_111i64;
    let int = card.to_be_bytes();
    let float = 4_111_111_111_111_111f64.to_be_bytes();
    let range = [&[2u8][..], &8u32.to_be_bytes(), &int, &8u32.to_be_bytes(), &int].concat();
    let length = u32::try_from(range.len()).unwrap();
    let multirange = [&1u32.to_be_bytes()[..], &length.to_be_bytes(), &range].concat();
    let inner = array(20, &[Some(&int)]);
    for (oid, bytes, hidden) in [
        (701, float.to_vec(), &float),
        (600, [float, 0f64.to_be_bytes()].concat(), &float),
        (1022, array(701, &[Some(&float)]), &float),
        (790, (card * 100).to_be_bytes().to_vec(), &(card * 100).to_be_bytes()),
        (3926, range.clone(), &int),
        (4536, multirange.clone(), &int),
        (MADE, int.to_vec(), &int),
        (MADE, float.to_vec(), &float),
        (MADE, array(MADE, &[Some(&int)]), &int),
        (MADE, range, &int),
        (MADE, multirange, &int),
        (MADE, array(2249, &[Some(&record(&[(1016, &inner)]))]), &int),
        (2249, record(&[(MADE, &inner)]), &int),
    ] {
        let masked = value("scan", oid, true, &bytes).unwrap();
        assert!(!masked.windows(8).any(|part| part == hidden), "type {oid}: {masked:?}");
    }
    // Letters are no number, whatever they come to.
    assert_eq!(value("scan", MADE, true, b"Approved").unwrap(), b"Approved");
    // Neither are numbers that are no card's.
    for bytes in [4_111_111_111_111_112i64.to_be_bytes(), 2.5f64.to_be_bytes()] {
        assert_eq!(value("scan", MADE, true, &bytes).unwrap(), bytes);
    }
}

#[test]
fn numbers_as_no_rule_for_digits_sees_them_are_covered() {
    for (oid, text, masked) in [
        (701, "-4.111111111111111e+15", "-0.000000000000000e+00"),
        (701, "378282246310005", "000000000000000"),
        (701, "4.111111111111112e+15", "4.111111111111112e+15"),
        (600, "(4.111111111111111e+15,2.5)", "(0.000000000000000e+00,2.5)"),
        (790, "-$4,111,111,111,111,111.00", "-$0,000,000,000,000,000.00"),
        (
            791,
            "{\"$4,111,111,111,111,111.00\",$1.00}",
            "{\"$0,000,000,000,000,000.00\",$1.00}",
        ),
        (114, "{\"n\":4.111111111111111e+15}", "{\"n\":0.000000000000000e+00}"),
        (MADE, "(\"$4,111,111,111,111,111.00\",1)", "(\"$0,000,000,000,000,000.00\",1)"),
        (MADE, "(1,4.111111111111111e+15)", "(1,0.000000000000000e+00)"),
        (3926, "[4111111111111111,)", "[0000000000001111,)"),
    ] {
        let found = value("scan", oid, false, text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(found).unwrap(), masked);
    }
    let text = format!("{{\"\\\\x{}\"}}", super::hex(super::PAN));
    for oid in [1001, MADE, 0] {
        let found = String::from_utf8(value("scan", oid, false, text.as_bytes()).unwrap()).unwrap();
        assert_eq!(found, text.replace(&super::hex("411111111111"), &"2a".repeat(12)));
    }
}

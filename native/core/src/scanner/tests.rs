use super::RuleSet;

fn masked(text: &str) -> String {
    masked_by("{}", text)
}

#[expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
fn masked_by(spec: &str, text: &str) -> String {
    let rules = RuleSet::compile(spec).unwrap();
    let mut bytes = text.as_bytes().to_vec();
    let mut counts = vec![0; rules.names().len()];
    let spans = rules.mask_text(&mut bytes, &mut counts).unwrap();
    assert_eq!(spans, counts.iter().sum::<u32>());
    String::from_utf8(bytes).unwrap()
}

#[test]
fn card_numbers_keep_separators_and_the_last_four() {
    assert_eq!(masked("4111111111111111"), "************1111");
    assert_eq!(masked("order 12 4111 1111 1111 1111 99"), "order 12 **** **** **** 1111 99");
    assert_eq!(masked("pan=4111-1111-1111-1111;"), "pan=****-****-****-1111;");
    assert_eq!(masked("x 3782 822463 10005 y"), "x **** ****** *0005 y");
    assert_eq!(
        masked_by(r#"{"keepLast":0,"keepFirst":6}"#, "4111 1111 1111 1111"),
        "4111 11** **** ****"
    );
    assert_eq!(masked_by(r#"{"keepFirst":8}"#, "378282246310005"), "378282*****0005");
}

#[test]
fn what_is_not_a_card_number_stays() {
    for text in [
        "4111111111111112",
        "41111111111111111111",
        "00004111111111111111",
        "2024-01-15 10:23:45.123456",
        "1732180000000",
        "4111  1111  1111  1111",
        "122000000000003",
    ] {
        assert_eq!(masked(text), text);
    }
    assert_eq!(masked_by(r#"{"optIn":["uatp"]}"#, "122000000000003"), "***********0003");
}

#[test]
fn sensitive_authentication_data_goes_whole() {
    assert_eq!(masked(r#"{"cvv":"123"}"#), r#"{"cvv":"***"}"#);
    assert_eq!(masked("CVV2=1234 ok"), "CVV2=**** ok");
    assert_eq!(masked("cvv: 12345"), "cvv: 12345");
    assert_eq!(masked("security code is 987"), "security code is ***");
    assert_eq!(masked("<cvc>123</cvc>"), "<cvc>***</cvc>");
    assert_eq!(masked("Discscsc: 123, csc: 123"), "Discscsc: 123, csc: ***");
    assert_eq!(masked("pin block: 0123456789ABCDEF"), "pin block: ****************");
    assert_eq!(masked("shipping: 1234 pin=1234"), "shipping: 1234 pin=****");
    let track1 = "%B4111111111111111^DOE/JOHN^27121011234567890?";
    assert_eq!(masked(&format!("a{track1}b")), format!("a{}b", "*".repeat(track1.len())));
    let track2 = ";4111111111111112=27121011234567890?";
    assert_eq!(masked(&format!("a{track2}b")), format!("a{}b", "*".repeat(track2.len())));
    let bare = "4111111111111111=27121011234567890";
    assert_eq!(masked(&format!("a {bare} b")), format!("a {} b", "*".repeat(bare.len())));
}

#[test]
fn patterns_of_the_operator() {
    let spec = r#"{"patterns":[{"id":"iban","regex":"\\b[A-Z]{2}\\d{2}[A-Z0-9]{10,30}","keepLast":4}]}"#;
    assert_eq!(masked_by(spec, "to DE89370400440532013000."), "to ******************3000.");
    assert_eq!(masked_by(spec, "toDE89370400440532013000."), "toDE89370400440532013000.");
}

#[test]
#[expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
fn bad_specifications_say_what_to_write() {
    for (spec, expected) in [
        (r#"{"patterns":[{"id":"a","regex":"x.*y"}]}"#, "pattern \"a\": has no upper bound"),
        (
            r#"{"patterns":[{"id":"a","regex":"x.{0,2000}y"}]}"#,
            "pattern \"a\": matches up to 2002 bytes",
        ),
        (r#"{"patterns":[{"id":"a","regex":"(x"}]}"#, "pattern \"a\": "),
        (r#"{"patterns":[{"id":"a","regex":"^x"}]}"#, "without ^"),
        (r#"{"patterns":[{"id":"pan","regex":"x"}]}"#, "the id is taken"),
        (r#"{"optIn":["visa2"]}"#, "korean_local"),
        (r#"{"keepLast":5}"#, "keepLast: 5"),
        (r#"{"keep":5}"#, "unknown member"),
    ] {
        let error = RuleSet::compile(spec).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

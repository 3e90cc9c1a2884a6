#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use super::*;

fn lines(count: usize) -> Vec<u8> {
    let mut batch = Vec::new();
    for i in 0..count {
        batch.extend_from_slice(PREFIX);
        // Whatever stands in the hole, newlines included, must not matter.
        batch.extend_from_slice(&[if i % 2 == 0 { b'\n' } else { 0xff }; 64]);
        batch.extend_from_slice(format!("\",\"seq\":{i}}}\n").as_bytes());
    }
    batch
}

/// RFC 9162, section 2.1.1, as it is defined there: by recursion over all leaves.
fn reference_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            let mut node = vec![1];
            node.extend_from_slice(&reference_root(left));
            node.extend_from_slice(&reference_root(right));
            Sha256::digest(node).into()
        }
    }
}

#[test]
fn seal_links_each_line_to_the_one_before() {
    let mut batch = lines(3);
    let mut chain = Chain::new();
    chain.seal(&mut batch, 3).unwrap();
    let mut prev = "0".repeat(64);
    let text = String::from_utf8(batch).unwrap();
    for line in text.lines() {
        assert_eq!(&line[PREV_OFFSET..PREV_END], prev);
        prev = to_hex(&Sha256::digest(line).into());
    }
    assert_eq!(to_hex(chain.head()), prev);
    assert_eq!(chain.size(), 3);
}

#[test]
fn root_equals_the_definition_at_every_size() {
    for count in 0..70 {
        let mut batch = lines(count);
        let mut chain = Chain::new();
        chain.seal(&mut batch, count as u64).unwrap();
        let leaves: Vec<Hash> = chain.take_leaves().chunks_exact(32).map(|leaf| leaf.try_into().unwrap()).collect();
        assert_eq!(leaves.len(), count);
        assert_eq!(chain.root(), reference_root(&leaves), "size {count}");
    }
}

#[test]
fn rfc_9162_known_leaf_and_empty_root() {
    assert_eq!(
        to_hex(&Chain::new().root()),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_eq!(
        to_hex(&tree::leaf_hash(&[])),
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    );
}

#[test]
fn state_continues_where_it_stopped() {
    let mut whole = Chain::new();
    let mut all = lines(11);
    whole.seal(&mut all, 11).unwrap();
    for split in 0..=11 {
        let mut first = Chain::new();
        let mut batch = lines(split);
        first.seal(&mut batch, split as u64).unwrap();
        let mut second = Chain::from_state(&first.state()).unwrap();
        let mut rest = all[batch.len()..].to_vec();
        second.seal(&mut rest, (11 - split) as u64).unwrap();
        assert_eq!(second.root(), whole.root());
        assert_eq!(second.state(), whole.state());
        assert_eq!(rest, all[batch.len()..]);
    }
}

#[test]
fn follow_stops_before_the_line_that_breaks_the_chain() {
    let mut batch = lines(8);
    Chain::new().seal(&mut batch, 8).unwrap();
    assert_eq!(Chain::new().follow(&batch), (8, batch.len()));
    let length = batch.len() / 8;
    assert_eq!(Chain::new().follow(&batch[..batch.len() - 1]), (7, 7 * length));
    // The last byte of line 4, before its newline: line 5 no longer continues the chain.
    batch[5 * length - 2] ^= 1;
    assert_eq!(Chain::new().follow(&batch), (5, 5 * length));
}

#[test]
fn a_refused_batch_changes_nothing() {
    let mut chain = Chain::new();
    let before = chain.state();
    for (mut batch, count) in [
        (lines(3), 2),
        (lines(3), 4),
        (lines(3)[..lines(3).len() - 1].to_vec(), 3),
        (b"{\"v\":2}\n".to_vec(), 1),
        ([PREFIX, b"short\"}\n"].concat(), 1),
    ] {
        let untouched = batch.clone();
        assert!(chain.seal(&mut batch, count).is_err());
        assert_eq!(batch, untouched);
    }
    assert_eq!(chain.state(), before);
    assert!(chain.take_leaves().is_empty());
}

#[test]
fn a_state_that_was_not_saved_by_us_is_refused() {
    let hash = "ab".repeat(32);
    for state in [
        String::new(),
        "{}".to_owned(),
        format!("{{\"size\":1,\"head\":\"{hash}\",\"frontier\":[]}}"),
        format!("{{\"size\":1,\"head\":\"{hash}\",\"frontier\":[\"xy\"]}}"),
        format!("{{\"size\":-1,\"head\":\"{hash}\",\"frontier\":[\"{hash}\"]}}"),
        format!("{{\"size\":1,\"head\":\"+{}\",\"frontier\":[\"{hash}\"]}}", &hash[1..]),
    ] {
        assert!(Chain::from_state(&state).is_err(), "{state}");
    }
}

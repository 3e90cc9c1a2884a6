//! Speed of the scanner, with the counts each input must give.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench may fail by panicking")]
#![allow(missing_docs, reason = "criterion generates the functions")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sluice_core::postgres::{RowPlan, mask_rows};
use sluice_core::scanner::RuleSet;

const SIZE: usize = 1 << 16;

/// Name, a piece of text, and how many card numbers it holds.
const INPUTS: [(&str, &str, usize); 4] = [
    (
        "prose",
        "The quick brown fox jumps over the lazy dog, and then it rests for a while under an old oak tree. ",
        0,
    ),
    ("digit-dense", "1732180000000,20260115102345,900000123456789,1234567890123;", 0),
    (
        "card-dense",
        "id 12345 name Jane Roe card 4111 1111 1111 1111 city Paris, street 12, visa, ok; paid and settled, next ",
        1,
    ),
    ("timestamps", "2024-01-15 10:23:45.123456 INFO order 12345 settled in 12 ms\n", 0),
];

fn row(values: &[&str]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    let mut message = vec![b'D'];
    message.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    message.extend_from_slice(&body);
    message
}

fn text(criterion: &mut Criterion) {
    let rules = RuleSet::compile("{}").unwrap();
    let mut group = criterion.benchmark_group("mask_text");
    for (name, unit, cards_per_unit) in INPUTS {
        let units = SIZE / unit.len();
        let input = unit.repeat(units).into_bytes();
        let mut buffer = input.clone();
        let mut counts = vec![0; rules.names().len()];
        rules.mask_text(&mut buffer, &mut counts).unwrap();
        assert_eq!(counts.iter().sum::<u32>() as usize, units * cards_per_unit, "{name}");
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                // Masked text holds no card any more, so it is put back; the copy is part of the figure.
                buffer.copy_from_slice(&input);
                rules.mask_text(black_box(&mut buffer), &mut counts).unwrap()
            });
        });
    }
    group.finish();
}

/// The card number kernel alone: it reads and counts.
fn kernel(criterion: &mut Criterion) {
    let rules = RuleSet::compile("{}").unwrap();
    let mut group = criterion.benchmark_group("kernel");
    for (name, unit, cards_per_unit) in INPUTS {
        let units = SIZE / unit.len();
        let input = unit.repeat(units).into_bytes();
        assert_eq!(rules.count_card_numbers(&input), units * cards_per_unit, "{name}");
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| rules.count_card_numbers(black_box(&input))));
    }
    group.finish();
}

fn rows(criterion: &mut Criterion) {
    let rules = RuleSet::compile("{}").unwrap();
    let plan = |columns: &[(&str, u32)]| {
        let columns: Vec<String> = columns
            .iter()
            .map(|(mask, oid)| format!(r#"{{"mask":"{mask}","type":{oid},"binary":false}}"#))
            .collect();
        RowPlan::compile(&format!(r#"{{"columns":[{}]}}"#, columns.join(","))).unwrap()
    };
    let scan = plan(&[
        ("scan", 23),
        ("scan", 25),
        ("scan", 25),
        ("scan", 1114),
        ("scan", 25),
        ("scan", 25),
        ("scan", 25),
    ]);
    let masked = plan(&[
        ("scan", 23),
        ("scan", 25),
        ("pan", 25),
        ("scan", 1114),
        ("scan", 25),
        ("scan", 25),
        ("sad", 25),
    ]);
    let filler = "note ".repeat(18);
    let clean = row(&["12345", "Jane Roe", "Some Street", "2024-01-15 10:23:45", "visa", &filler, "ok"]);
    let card = row(&[
        "12345",
        "Jane Roe",
        "4111111111111111",
        "2024-01-15 10:23:45",
        "visa",
        &filler,
        "123",
    ]);
    let mut group = criterion.benchmark_group("mask_rows");
    for (name, plan, row, times, found, covered) in [
        ("one clean row", &scan, &clean, 1, 0, 0),
        ("one row with a card", &scan, &card, 1, 1, 0),
        ("one row with masked columns", &masked, &card, 1, 0, 2),
        ("64 KB clean", &scan, &clean, SIZE / clean.len(), 0, 0),
        ("64 KB card-dense", &scan, &card, SIZE / card.len(), 1, 0),
        ("64 KB masked columns", &masked, &card, SIZE / card.len(), 0, 2),
    ] {
        let input = row.repeat(times);
        let mut buffer = input.clone();
        let mut counts = vec![0; rules.names().len() + 1];
        assert_eq!(mask_rows(&rules, plan, &mut buffer, &mut counts).unwrap(), Some(input.len()));
        assert_eq!(
            (counts[0] as usize, counts[rules.names().len()] as usize),
            (found * times, covered * times),
            "{name}"
        );
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                buffer.copy_from_slice(&input);
                mask_rows(&rules, plan, black_box(&mut buffer), &mut counts).unwrap()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(700))
        .sample_size(20);
    targets = text, kernel, rows
}
criterion_main!(benches);

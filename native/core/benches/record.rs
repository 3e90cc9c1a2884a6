//! What a record line costs: chain hash, leaf hash and its share of the tree's node hashes.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench may panic")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sluice_core::record::{Chain, PREFIX};

fn batch(lines: usize, length: usize) -> Vec<u8> {
    let mut batch = Vec::new();
    for i in 0..lines {
        let start = batch.len();
        batch.extend_from_slice(PREFIX);
        batch.extend_from_slice(&[b'0'; 64]);
        batch.extend_from_slice(format!("\",\"seq\":{i},\"text\":\"").as_bytes());
        batch.resize(start + length - 2, b'x');
        batch.extend_from_slice(b"\"}\n");
    }
    batch
}

fn seal(c: &mut Criterion) {
    let mut group = c.benchmark_group("record/seal");
    for length in [230, 430, 4096] {
        let lines = 1000;
        let unsealed = batch(lines, length);
        // The numbers mean nothing unless the lines are really linked.
        let mut sealed = unsealed.clone();
        let mut chain = Chain::new();
        chain.seal(&mut sealed, lines as u64).unwrap();
        assert_eq!(Chain::new().follow(&sealed), (lines as u64, sealed.len()));
        assert_ne!(sealed[length..], unsealed[length..]);

        group.throughput(Throughput::Elements(lines as u64));
        group.bench_function(format!("{length}-byte lines"), |b| {
            b.iter_batched(
                || (unsealed.clone(), Chain::new()),
                |(mut lines_of_batch, mut chain)| {
                    chain.seal(&mut lines_of_batch, lines as u64).unwrap();
                    (lines_of_batch, chain)
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, seal);
criterion_main!(benches);

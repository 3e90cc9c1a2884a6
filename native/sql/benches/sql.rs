//! What the hot path and the cold path cost: `cargo bench -p sluice-sql`.
#![expect(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sluice_sql::{Analysis, Catalog, analyze, lineage, statement_shape};

const SMALL: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 123456789;";
const LARGE: &str = "with recent as (select o.id, o.customer_id, sum(i.price * i.quantity) as total from orders o join items i \
    on i.order_id = o.id where o.created_at > now() - interval '30 days' and o.state in ('paid', 'sent') group by 1, 2) \
    select c.name, c.email, k.pan, r.total, row_number() over (partition by c.country order by r.total desc) as rank \
    from recent r join customers c on c.id = r.customer_id left join cards k on k.customer_id = c.id \
    where exists (select 1 from visits v where v.customer_id = c.id and v.at > '2024-01-01') \
    and coalesce(c.country, 'XX') <> 'US' order by r.total desc limit 100";

fn benches(c: &mut Criterion) {
    let catalog = Catalog::compile(include_str!("../tests/data/catalog.json")).unwrap_or_else(|e| unreachable!("{e}"));
    // What is timed must be right first.
    assert!(matches!(analyze(SMALL.as_bytes()), Analysis::Statements { statements } if statements.len() == 1));
    assert!(matches!(analyze(LARGE.as_bytes()), Analysis::Statements { statements } if statements.len() == 1));
    assert!(statement_shape(SMALL.as_bytes()) > 0 && statement_shape(LARGE.as_bytes()) > 0);
    assert!(
        lineage(&catalog, LARGE.as_bytes())
            .statements
            .iter()
            .all(|statement| statement.outputs.len() == 5)
    );

    c.bench_function("shape/60 bytes", |b| b.iter(|| statement_shape(black_box(SMALL.as_bytes()))));
    c.bench_function("shape/800 bytes", |b| b.iter(|| statement_shape(black_box(LARGE.as_bytes()))));
    c.bench_function("analyze/small", |b| b.iter(|| analyze(black_box(SMALL.as_bytes()))));
    c.bench_function("analyze/large", |b| b.iter(|| analyze(black_box(LARGE.as_bytes()))));
    c.bench_function("lineage/small", |b| b.iter(|| lineage(&catalog, black_box(SMALL.as_bytes()))));
    c.bench_function("lineage/large", |b| b.iter(|| lineage(&catalog, black_box(LARGE.as_bytes()))));
}

criterion_group!(sql, benches);
criterion_main!(sql);

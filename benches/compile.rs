//! Cost of a change of one container: from the labels of 1,000 containers to a document, from the document to a snapshot.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ringway::config::compile::{EndpointInterner, compile};
use ringway::config::dynamic::DynamicConfig;
use ringway::config::labels::translate;
use ringway::config::snapshot::Snapshot;

#[path = "../tests/support/containers.rs"]
mod containers;
#[path = "../tests/support/compile_context.rs"]
mod compile_context;

const CONTAINERS: usize = 1_000;

fn labels(criterion: &mut Criterion) {
    let (facts, settings) = (containers::containers(CONTAINERS), containers::settings());
    let made = translate(&facts, &settings);
    assert_eq!((made.dynamic.frontends.len(), made.rejected.len()), (CONTAINERS, 0));
    criterion.bench_function("1000 containers, labels to document", |bencher| {
        bencher.iter(|| translate(black_box(&facts), &settings).dynamic)
    });
    snapshots(criterion, made.dynamic);
}

/// Compiles the first snapshot of a process, and a second one that carries over the states of the first.
fn snapshots(criterion: &mut Criterion, document: DynamicConfig) {
    let documents = BTreeMap::from([("docker".to_owned(), document.into())]);
    let (context, empty) = (compile_context::compile_context(), Snapshot::empty(2));
    let before = containers::resident_bytes();
    let first = compile(&context, &documents, &[], &empty, &mut EndpointInterner::default());
    assert_eq!((first.routers[0].len(), first.rejected.len()), (CONTAINERS, 0));
    let grown = containers::resident_bytes().saturating_sub(before);
    println!("one snapshot of {CONTAINERS} containers: {} KiB resident", grown / 1024);
    criterion.bench_function("1000 containers, document to snapshot", |bencher| {
        bencher.iter(|| compile(&context, black_box(&documents), &[], &empty, &mut EndpointInterner::default()))
    });
    let mut interned = EndpointInterner::default();
    let previous = compile(&context, &documents, &[], &empty, &mut interned);
    criterion.bench_function("1000 containers, snapshot after snapshot", |bencher| {
        bencher.iter(|| compile(&context, black_box(&documents), &[], &previous, &mut interned))
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(3));
    targets = labels
}
criterion_main!(benches);

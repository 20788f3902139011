//! A thousand containers: the time and memory cost of changing one of them stays within bounds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ringway::config::compile::{EndpointInterner, compile};
use ringway::config::labels::translate;
use ringway::config::snapshot::Snapshot;
use ringway::rule::{RouteOutcome, RouteRequest, Scratch};

#[path = "support/containers.rs"]
mod containers;
#[path = "support/compile_context.rs"]
mod compile_context;

const CONTAINERS: usize = 1_000;
/// Far above the second that an unoptimised build takes: the test detects a wrong order of growth.
const TIME_MAX: Duration = Duration::from_secs(20);
const SNAPSHOT_BYTES_MAX: usize = 64 << 20;

#[test]
fn thousand_containers_compile_within_time_and_memory() {
    let facts = containers::containers(CONTAINERS);
    let start = Instant::now();
    let made = translate(&facts, &containers::settings());
    assert_eq!((made.dynamic.frontends.len(), made.rejected.len(), made.warnings.len()), (CONTAINERS, 0, 0));
    let documents = BTreeMap::from([("docker".to_owned(), made.dynamic.into())]);
    let (context, mut interned) = (compile_context::compile_context(), EndpointInterner::default());
    let before = containers::resident_bytes();
    let mut snapshot = compile(&context, &documents, &[], &Snapshot::empty(2), &mut interned);
    let grown = containers::resident_bytes().saturating_sub(before);
    assert!(grown < SNAPSHOT_BYTES_MAX, "{grown} bytes");
    for _ in 0..3 {
        snapshot = compile(&context, &documents, &[], &snapshot, &mut interned);
    }
    let after = containers::resident_bytes().saturating_sub(before);
    assert!(after < 3 * SNAPSHOT_BYTES_MAX, "old snapshots are kept: {after} bytes");
    assert!(start.elapsed() < TIME_MAX, "{:?}", start.elapsed());
    every_container_is_found(&snapshot);
}

/// The rules of `containers`: names, host patterns without a literal end, and paths of one host.
fn every_container_is_found(snapshot: &Snapshot) {
    let mut scratch = Scratch::default();
    let no_headers: [(&str, &[u8]); 0] = [];
    for number in 0..CONTAINERS {
        let (host, target) = match number % 10 {
            3 => (format!("API-{number}.test:8080"), "/x".to_owned()),
            7 => ("shop.example.org".to_owned(), format!("/part-{number}")),
            _ => (format!("www.app-{number}.example.org"), "/".to_owned()),
        };
        let facts =
            RouteRequest { method: b"GET", host: host.as_bytes(), target: target.as_bytes(), headers: &no_headers };
        let RouteOutcome::Found { value, .. } = snapshot.routers[0].route(&facts, &mut scratch) else {
            panic!("{host}{target} has no route")
        };
        // Of nested prefixes the longest wins: `/part-7` is also a prefix of `/part-77`.
        let expected = format!("backend-project-service-{number}");
        assert_eq!(value.backend.name, expected, "{host}{target}");
    }
    let facts = RouteRequest { method: b"GET", host: b"www-5.test", target: b"/", headers: &no_headers };
    assert!(matches!(snapshot.routers[0].route(&facts, &mut scratch), RouteOutcome::NotFound));
}

//! Cost of compiling rules, and of routing in tables of growing size.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ringway::rule::{Route, RouteOutcome, RouteRequest, Router, RouterOptions, Rule, Scratch};

const NO_HEADERS: [(&str, &[u8]); 0] = [];
/// Different requests per table, so that caches and branch prediction do not adapt to one request.
const REQUESTS: usize = 1024;

fn table(rules: impl Iterator<Item = String>) -> Router<usize> {
    let routes = rules.enumerate().map(|(value, rule)| Route {
        rule: Rule::parse(&rule).expect("the bench's rules are valid"),
        priority: 0,
        provider: "file".to_owned(),
        name: format!("frontend-{value}"),
        value,
    });
    Router::build(routes.collect(), RouterOptions::default())
}

/// Maps `n` to an index of a table of `len`, in another order than the table's.
fn spread(n: usize, len: usize) -> usize {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % len
}

/// Routes every request once per pass; the figure is the time per request.
fn measure(
    criterion: &mut Criterion,
    group: &str,
    size: usize,
    table: &Router<usize>,
    requests: Vec<(String, String)>,
) {
    let mut scratch = Scratch::default();
    let mut next = 0;
    criterion.benchmark_group(group).bench_with_input(BenchmarkId::from_parameter(size), table, |bencher, table| {
        bencher.iter(|| {
            let (host, target) = &requests[next % requests.len()];
            next += 1;
            let facts =
                RouteRequest { method: b"GET", host: host.as_bytes(), target: target.as_bytes(), headers: &NO_HEADERS };
            match table.route(black_box(&facts), &mut scratch) {
                RouteOutcome::Found { value, .. } => *value,
                _ => usize::MAX,
            }
        })
    });
}

fn hosts(criterion: &mut Criterion) {
    for size in [10, 1_000, 100_000] {
        let table = table((0..size).map(|n| format!("Host:app-{n}.example.com")));
        let known = |n| (format!("app-{}.Example.com:8080", spread(n, size)), "/index.html?x=1".to_owned());
        measure(criterion, "hosts", size, &table, (0..REQUESTS).map(known).collect());
        let unknown = |n| (format!("no-{n}.example.com"), "/".to_owned());
        measure(criterion, "hosts, unknown", size, &table, (0..REQUESTS).map(unknown).collect());
    }
}

fn patterns(criterion: &mut Criterion) {
    let size = 1_000;
    let tails = table((0..size).map(|n| format!("HostRegexp:{{sub:[a-z]+}}.tenant-{n}.example.com")));
    let request = |n| (format!("www.tenant-{}.example.com", spread(n, size)), "/".to_owned());
    measure(criterion, "host patterns by their end", size, &tails, (0..REQUESTS).map(request).collect());
    let open = table((0..size).map(|n| format!("HostRegexp:{{sub:(www|api)-{n}[.](de|com)}}")));
    let request = |n| (format!("api-{}.com", spread(n, size)), "/".to_owned());
    measure(criterion, "host patterns without a literal", size, &open, (0..REQUESTS).map(request).collect());
    let stranger = |n| (format!("host-{n}.example.com"), "/".to_owned());
    measure(criterion, "host patterns without a literal, unknown", size, &open, (0..REQUESTS).map(stranger).collect());
}

fn prefixes(criterion: &mut Criterion) {
    let size = 1_000;
    let requests = |n| ("h".to_owned(), format!("/service-{}/v1/items/42", spread(n, size)));
    let everywhere = table((0..size).map(|n| format!("PathPrefix:/service-{n}/")));
    measure(criterion, "path prefixes", size, &everywhere, (0..REQUESTS).map(requests).collect());
    let one_host = table((0..size).map(|n| format!("Host:h;PathPrefixStrip:/service-{n}/")));
    measure(criterion, "path prefixes of one host", size, &one_host, (0..REQUESTS).map(requests).collect());
    let templates = table((0..size).map(|n| format!("PathPrefix:/{{kind:(a|b)}}/{{part:service-{n}}}/")));
    let request = |n| ("h".to_owned(), format!("/b/service-{}/v1", spread(n, size)));
    measure(criterion, "path prefixes with variables", size, &templates, (0..REQUESTS).map(request).collect());
    let mixed = table((0..size).flat_map(|n| {
        [format!("PathPrefix:/service-{n}/"), format!("HostRegexp:{{s}}.t{n}.x"), format!("Host:h{n}.x")]
    }));
    measure(criterion, "mixed table", 3 * size, &mixed, (0..REQUESTS).map(requests).collect());
}

fn unclean(criterion: &mut Criterion) {
    let size = 1_000;
    let table = table((0..size).map(|n| format!("Host:app-{n}.example.com;PathPrefix:/a")));
    let request = |n| (format!("app-{}.example.com", spread(n, size)), "/x/../a%20b//%61".to_owned());
    measure(criterion, "unclean paths", size, &table, (0..REQUESTS).map(request).collect());
}

fn compile(criterion: &mut Criterion) {
    let rules: Vec<String> = (0..1_000).map(|n| format!("Host:app-{n}.example.com;PathPrefixStrip:/api")).collect();
    criterion.bench_function("compile 1000 rules", |bencher| bencher.iter(|| table(rules.iter().cloned())));
    let rules: Vec<String> = (0..1_000).map(|n| format!("HostRegexp:{{sub:[a-z]+}}.t{n}.example.com")).collect();
    let mut group = criterion.benchmark_group("compile 1000 HostRegexp");
    group.sample_size(10);
    group.bench_function("rules", |bencher| bencher.iter(|| table(rules.iter().cloned())));
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(std::time::Duration::from_millis(500)).measurement_time(std::time::Duration::from_secs(1));
    targets = hosts, patterns, prefixes, unclean, compile
}
criterion_main!(benches);

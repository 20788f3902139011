//! Cost of a frontend's five middlewares for a request and its response.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use ringway::config::compile::{EndpointInterner, compile};
use ringway::config::snapshot::{Frontend, Snapshot};
use ringway::config::text::dedicated;
use ringway::http::h1::{progress, request_head, response_head};
use ringway::http::{Edits, RequestHead, ResponseHead};
use ringway::middleware::{ChainProgress, ChainState, Now, Request, RequestInfo, Response};

#[path = "../tests/support/compile_context.rs"]
mod compile_context;

const RULES: &str = r#"
[backends.b.servers.s]
url = "http://127.0.0.1:1"
[frontends.f]
backend = "b"
[frontends.f.whiteList]
sourceRange = ["10.0.0.0/8", "192.0.2.0/24"]
[frontends.f.redirect]
regex = "^http://old.example.org/(.*)$"
replacement = "http://www.example.org/$1"
[frontends.f.headers]
frameDeny = true
STSSeconds = 3600
forceSTSHeader = true
[frontends.f.headers.customRequestHeaders]
X-Scheme = "http"
[frontends.f.auth]
headerField = "X-User"
[frontends.f.auth.basic]
users = ["test:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"]
[frontends.f.routes.r]
rule = "Host:www.example.org"
"#;
const STEPS: usize = 5;
const REQUEST: &[u8] =
    b"GET /api/v1/items?id=1234 HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
    Authorization: Basic dGVzdDp0ZXN0\r\nX-Request-Id: 4f5a8c2e\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 128\r\n\r\n";

fn frontend() -> Arc<Frontend> {
    let document = dedicated(RULES, "bench").expect("valid rules").value;
    let documents = BTreeMap::from([("file".to_owned(), document.into())]);
    let snapshot = compile(
        &compile_context::compile_context(),
        &documents,
        &[],
        &Snapshot::empty(2),
        &mut EndpointInterner::default(),
    );
    assert_eq!(snapshot.rejected, [], "the bench's frontend is valid");
    let frontend = snapshot.routers[0].values().next().expect("one frontend");
    assert_eq!(frontend.outer.middlewares().len(), STEPS);
    Arc::clone(frontend)
}

fn chain(criterion: &mut Criterion) {
    let frontend = frontend();
    let (mut head, mut answer_head) = (RequestHead::default(), ResponseHead::default());
    let limits = progress::HeadLimits::default();
    assert!(request_head::parse_request(REQUEST, &limits, &mut head).is_ok());
    assert!(response_head::parse_response(RESPONSE, false, &limits, &mut answer_head).is_ok());
    let target = head.target.of(REQUEST);
    let facts = RequestInfo {
        peer: "192.0.2.7".parse().expect("an address"),
        peer_port: 1234,
        secure: false,
        trusted: true,
        proxies: &[],
        now: Now { mono_nanos: 0, unix_secs: 1_800_000_000 },
        target,
        original_target: target,
        path_replaced: false,
        added_prefix: b"",
        client_certs: &[],
        random: |bytes| bytes.fill(4),
    };
    let (mut edits, mut answer_edits, mut passage) = (Edits::new(), Edits::new(), ChainState::default());
    let there = |edits: &mut Edits, passage: &mut ChainState| {
        edits.clear();
        passage.clear();
        let mut request = Request { head: &head, bytes: REQUEST, edits };
        match frontend.outer.on_request(0, &mut request, black_box(&facts), passage) {
            ChainProgress::Done => {}
            // The first request's password is verified and cached.
            ChainProgress::Verify { verify, at } => {
                let matches = verify.run();
                let progress = frontend.outer.on_verified(at, matches, &mut request, &facts, passage);
                assert!(matches!(progress, ChainProgress::Done), "{progress:?}");
            }
            other => panic!("{other:?}"),
        }
    };
    there(&mut edits, &mut passage);
    criterion.bench_function("five middlewares, request", |bencher| bencher.iter(|| there(&mut edits, &mut passage)));
    criterion.bench_function("five middlewares, response", |bencher| {
        bencher.iter(|| {
            answer_edits.clear();
            let mut answer = Response::Backend { head: &answer_head, bytes: RESPONSE, edits: &mut answer_edits };
            let request = Request { head: &head, bytes: REQUEST, edits: &mut edits };
            frontend.outer.on_response(STEPS, &request, black_box(&mut answer), &facts, &mut passage)
        })
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(std::time::Duration::from_millis(500)).measurement_time(std::time::Duration::from_secs(1));
    targets = chain
}
criterion_main!(benches);

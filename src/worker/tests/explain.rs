//! The explanation of a request compared with what the handler does with it: random configurations, states and requests.

use std::collections::BTreeMap;

use super::harness::TIMEOUTS;
use super::*;
use crate::config::duration::GoDuration;
use crate::config::dynamic::{
    Backend, DynamicConfig, Frontend, Headers, LoadBalancer, MaxConn, Rate, RateLimit, Redirect, Route, Server,
    Stickiness, WhiteList,
};
use crate::middleware::Now;
use crate::observe::explanation::Explanation;
use crate::tls::challenge::ChallengeTable;
use crate::worker::{Explainer, VerifyPool, WorkerShared};

const DOCUMENTS: u64 = 60;
const REQUESTS: usize = 12;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
/// Apache MD5 of "secret" for the user "test".
const USER: &str = "test:$apr1$salt1234$G61s9lpZAELkzUFCbj/53/";

/// A sequence of numbers that depends on its seed alone (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn one_in(&mut self, number: usize) -> bool {
        self.below(number) == 0
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

fn rule(random: &mut Random) -> String {
    let hosts = ["", "Host:a.x", "Host:b.x,c.x", "HostRegexp:{s:[a-z]+}.x", "Host:a.x"];
    let paths = [
        "PathPrefix:/",
        "Path:/a",
        "Path:/a/",
        "PathPrefix:/a",
        "PathPrefixStrip:/a",
        "PathStrip:/a,/b",
        "PathPrefix:/;AddPrefix:/p",
        "PathPrefix:/a;ReplacePath:/r",
        "PathPrefix:/;ReplacePathRegex: ^/a/(.*) /z/$1",
        "PathPrefixStripRegex:/{n:[0-9]+}",
    ];
    let others = ["", "", "", "Method:GET,POST", "Headers:X-A,1", "Query:k=v", "HeadersRegexp:X-A,^[12]$"];
    let pieces = [random.pick(&hosts), random.pick(&paths), random.pick(&others)];
    pieces.into_iter().filter(|piece| !piece.is_empty()).collect::<Vec<_>>().join(";")
}

fn backend(random: &mut Random, number: usize) -> Backend {
    let servers = (0..random.below(4)).map(|at| {
        let url = format!("http://10.0.{number}.{at}:80");
        (format!("s{at}"), Server { url, weight: [1, 1, 3][random.below(3)] })
    });
    let servers = servers.collect();
    let cookie = Stickiness { cookie_name: "srv".to_owned(), ..Stickiness::default() };
    let load_balancer = LoadBalancer {
        method: random.pick(&["wrr", "drr"]).to_owned(),
        stickiness: random.one_in(3).then_some(cookie),
        ..LoadBalancer::default()
    };
    let amount = [0, 0, 0, 1, -1][random.below(5)];
    let max_conn = MaxConn { amount, extractor_func: "client.ip".to_owned() };
    let max_conn = (amount != 0).then_some(max_conn);
    Backend { servers, load_balancer: Some(load_balancer), max_conn, ..Backend::default() }
}

fn frontend(random: &mut Random, number: usize) -> Frontend {
    let mut frontend = Frontend {
        backend: format!("b{number}"),
        pass_host_header: random.one_in(2),
        priority: [0, 0, 5, 90][random.below(4)],
        routes: [("rule".to_owned(), Route { rule: rule(random) })].into(),
        ..Frontend::default()
    };
    match random.below(10) {
        0 => {
            let range = random.pick(&["192.0.2.0/24", "10.0.0.0/8"]).to_owned();
            frontend.white_list = Some(WhiteList { source_range: vec![range], use_x_forwarded_for: random.one_in(2) });
        }
        1 => {
            let (regex, replacement) = ("^http://[^/]*/(a.*)".to_owned(), "http://new.x/$1".to_owned());
            frontend.redirect =
                Some(Redirect { regex, replacement, permanent: random.one_in(2), ..Redirect::default() });
        }
        2 => frontend.basic_auth = vec![USER.to_owned()],
        3 => {
            let rate = Rate { period: GoDuration(3_600_000_000_000), average: 1, burst: 2 };
            frontend.rate_limit =
                Some(RateLimit { rate_set: [("r".to_owned(), rate)].into(), extractor_func: "client.ip".to_owned() });
        }
        4 => {
            let custom = BTreeMap::from([("X-Set".to_owned(), "new".to_owned()), ("X-A".to_owned(), String::new())]);
            let allowed_hosts = if random.one_in(2) { vec!["a.x".to_owned()] } else { Vec::new() };
            frontend.headers =
                Some(Headers { custom_request_headers: custom, allowed_hosts, ..Headers::default() }.into());
        }
        _ => {}
    }
    frontend
}

fn document(random: &mut Random) -> DynamicConfig {
    let count = 3 + random.below(6);
    DynamicConfig {
        backends: (0..count).map(|number| (format!("b{number}"), backend(random, number))).collect(),
        frontends: (0..count).map(|number| (format!("f{number}"), frontend(random, number))).collect(),
        ..DynamicConfig::default()
    }
}

/// A request: as the client sends it, and as the query of the explanation.
struct Asked {
    head: String,
    query: String,
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn request(random: &mut Random) -> Asked {
    let method = random.pick(&["GET", "GET", "POST", "HEAD", "PUT"]);
    let host = random.pick(&["a.x", "b.x", "z.x", "q.y", "A.X", "a.x:8080"]);
    let target = random.pick(&[
        "/",
        "/a",
        "/a/",
        "/a/b?k=v",
        "/a?k=w",
        "/b",
        "/12/x",
        "/12",
        "/a/../b",
        "//a",
        "/%61",
        "/a%2fb",
        "/%zz",
        "/other?k=v",
        "/a%20b",
    ]);
    let cookie = format!("srv=http://10.0.{}.{}:80", random.below(8), random.below(3));
    let fields = [
        ("X-A", random.pick(&["1", "3"]).to_owned(), random.one_in(2)),
        ("Cookie", cookie, random.one_in(2)),
        (
            "Authorization",
            random.pick(&["Basic dGVzdDpzZWNyZXQ=", "Basic dGVzdDp3cm9uZw=="]).to_owned(),
            random.one_in(2),
        ),
        ("X-Forwarded-For", random.pick(&["10.1.1.1", "192.0.2.9", "nonsense"]).to_owned(), random.one_in(3)),
        ("Content-Length", "0".to_owned(), method == "POST"),
    ];
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
    let mut query = format!(
        "url={}&method={method}&from=192.0.2.7:4711&header={}",
        encoded(&format!("http://{host}{target}")),
        encoded(&format!("Host: {host}"))
    );
    for (name, value, _) in fields.iter().filter(|(.., is_sent)| *is_sent) {
        head.push_str(&format!("{name}: {value}\r\n"));
        query.push_str(&format!("&header={}", encoded(&format!("{name}: {value}"))));
    }
    Asked { head: head + "\r\n", query }
}

/// Puts some servers down, and ejects some.
fn disturb(random: &mut Random, base: &Base) {
    for backend in &base.tables[0].snapshot.backends {
        for endpoint in &backend.endpoints {
            endpoint.server.state.set_up(!random.one_in(4));
            if random.one_in(5) {
                (0..3).for_each(|_| endpoint.server.state.note_connect_failed(0));
            }
        }
    }
}

fn explain(base: &Base, shared: &WorkerShared, query: &str) -> Explanation {
    let explainer = Explainer {
        entry_points: &shared.entry_points,
        snapshot: &base.tables[0].snapshot,
        challenges: &ChallengeTable::default(),
        host_name: "proxy",
        now: Now { mono_nanos: 1_000_000, unix_secs: 1 },
        flattened_host: "",
        unrouted_containers: &[],
    };
    explainer.explain(query.as_bytes()).expect(query)
}

/// Whether a field is one of those that the harness leaves out of the origin's text.
fn is_left_out(name: &str) -> bool {
    name.starts_with("X-Forwarded-") || name == "X-Real-Ip"
}

fn compare(explained: &Explanation, happened: &RunResult, asked: &Asked) {
    let context = || format!("{}\n{explained:#?}\n{happened:#?}", asked.head);
    let outcome = &explained.outcome;
    if outcome.kind != "forwarded" {
        assert_eq!(outcome.kind, "answered", "{}", context());
        assert_eq!(happened.dialled, [""; 0], "{}", context());
        let status = outcome.status.expect("a status").to_string();
        assert_eq!(happened.client.split(' ').nth(1), Some(&*status), "{}", context());
        if let Some(location) = &outcome.location {
            assert!(happened.client.contains(&format!("\nLocation: {location}\n")), "{}", context());
        }
        return;
    }
    let server = outcome.server.as_deref().and_then(|url| url.strip_prefix("http://"));
    assert_eq!(
        happened.dialled.iter().map(String::as_str).collect::<Vec<_>>(),
        [server.expect("a server")],
        "{}",
        context()
    );
    assert!(happened.client.starts_with("HTTP/1.1 200 "), "{}", context());
    let received = &happened.origins[0];
    let path = &explained.path.as_ref().expect("a path").forwarded;
    assert_eq!(received.split(' ').nth(1), Some(&**path), "{}", context());
    for change in explained.fields.request.iter().filter(|change| !is_left_out(&change.name)) {
        let line = format!("\n{}: {}\n", change.name, change.value);
        assert_eq!(received.contains(&line), change.change != "removed", "{change:?} {}", context());
    }
    let sets_cookie = explained.fields.response.iter().any(|change| change.name == "Set-Cookie");
    assert_eq!(happened.client.contains("\nSet-Cookie: "), sets_cookie, "{}", context());
    let backend = explained.backend.as_ref().expect("a backend");
    let route = explained.route.as_ref().expect("a route");
    assert_eq!(backend.name.replace('b', "f"), route.frontend, "{}", context());
}

#[test]
fn explanation_says_what_the_handler_does_with_random_requests() {
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let verify = VerifyPool::start().expect("threads");
    let mut driver = Driver::build(DriverPreference::Epoll).expect("a driver");
    for seed in 0..DOCUMENTS {
        let mut random = Random(seed);
        let base = Base::with(&verify, [document(&mut random)]);
        let shared = base.shared(TIMEOUTS);
        for _ in 0..REQUESTS {
            disturb(&mut random, &base);
            let asked = request(&mut random);
            let explained = explain(&base, &shared, &asked.query);
            assert_eq!(explain(&base, &shared, &asked.query), explained, "asking changes nothing");
            let client = [send(&asked.head), until("\r\n\r\n"), ScriptStep::Close];
            let origins = [origin(&[("\r\n\r\n", OK)])];
            let happened = driver.block_on(Run::new(&client, &origins).play(&base));
            compare(&explained, &happened, &asked);
            let status = explained.outcome.status.map_or("forwarded".to_owned(), |status| status.to_string());
            *outcomes.entry(status).or_default() += 1;
        }
    }
    for wanted in ["forwarded", "301", "302", "400", "401", "403", "404", "429", "500", "503"] {
        assert!(outcomes.contains_key(wanted), "no request with the outcome {wanted}: {outcomes:?}");
    }
    assert!(outcomes["forwarded"] > 100, "{outcomes:?}");
}

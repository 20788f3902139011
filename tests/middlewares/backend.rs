//! Balancing, stickiness, carried state, health checks and server URLs (docs/reference/backends.md#balancing).

use std::sync::Arc;
use std::time::Duration;

use ringway::backend::health::{HealthCheck, HealthOptions, interval_is_usable, status_is_healthy};
use ringway::backend::sticky::{cookie_name, sanitised};
use ringway::backend::{
    BackendState, BalanceMethod, Balancer, BalancerSettings, Lease, PickError, Scheme, Server, ServerUrl, StickyCookie,
    TriedServers, effective_weight,
};
use ringway::limits;

fn balancer(weights: &[u32], settings: BalancerSettings) -> Balancer {
    let server = |(at, &weight): (usize, &u32)| Server {
        name: format!("s{at}"),
        url: ServerUrl::parse(&format!("http://127.0.0.{at}:80")).unwrap(),
        weight,
        state: Arc::default(),
    };
    // In the wrong order, to test the sorting.
    let mut servers: Vec<Server> = weights.iter().enumerate().map(server).collect();
    servers.reverse();
    Balancer::new(servers, settings)
}

fn pick(balancer: &Balancer) -> Result<Lease, PickError> {
    balancer.pick([].into_iter(), &TriedServers::default(), 0)
}

fn turns(balancer: &Balancer, count: usize) -> String {
    (0..count).map(|_| pick(balancer).unwrap().server.name[1..].to_owned()).collect()
}

#[test]
fn round_robin_follows_weights_and_names() {
    assert_eq!(turns(&balancer(&[1, 3], BalancerSettings::default()), 8), "11011101");
    assert_eq!(turns(&balancer(&[1, 1, 1], BalancerSettings::default()), 6), "012012");
    assert_eq!(turns(&balancer(&[0, 2], BalancerSettings::default()), 4), "1111");
    assert_eq!(pick(&balancer(&[], BalancerSettings::default())).unwrap_err(), PickError::NoneUp);
    assert_eq!(pick(&balancer(&[0, 0], BalancerSettings::default())).unwrap_err(), PickError::AllWeightsZero);
    assert_eq!(
        [effective_weight(0, false), effective_weight(0, true), effective_weight(-1, true)],
        [Some(1), Some(0), None]
    );
}

#[test]
fn workers_share_the_rotation() {
    let shared = Arc::new(balancer(&[1, 3], BalancerSettings::default()));
    let worker = |shared: Arc<Balancer>| {
        std::thread::spawn(move || (0..4000).filter(|_| pick(&shared).unwrap().server.name == "s1").count())
    };
    let threads: Vec<_> = (0..4).map(|_| worker(shared.clone())).collect();
    let total: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(total, 12_000);
    assert!(shared.servers().iter().all(|server| server.state.active() == 0));
}

#[test]
fn down_servers_are_skipped_until_they_recover() {
    let balancer = balancer(&[1, 1, 1], BalancerSettings::default());
    assert!(balancer.servers()[1].state.set_up(false) && !balancer.servers()[1].state.set_up(false));
    assert!(!turns(&balancer, 9).contains('1'));
    balancer.servers().iter().for_each(|server| assert!(server.state.set_up(false) || !server.state.is_up()));
    assert_eq!(pick(&balancer).unwrap_err(), PickError::NoneUp);
    balancer.servers()[1].state.set_up(true);
    assert_eq!(turns(&balancer, 3), "111");
}

#[test]
fn retry_prefers_untried_servers() {
    let balancer = balancer(&[1, 1], BalancerSettings::default());
    for _ in 0..5 {
        let mut tried = TriedServers::default();
        let first = balancer.pick([].into_iter(), &tried, 0).unwrap();
        tried.add(first.index);
        let second = balancer.pick([].into_iter(), &tried, 0).unwrap();
        assert_ne!(first.index, second.index);
        tried.add(second.index);
        assert!(balancer.pick([].into_iter(), &tried, 0).is_ok(), "all tried: any");
    }
}

#[test]
fn unreachable_server_is_ejected_and_probed_back_in() {
    let balancer = balancer(&[1, 1, 1], BalancerSettings::default());
    let state = &balancer.servers()[0].state;
    let at = |secs: u64| balancer.pick([].into_iter(), &TriedServers::default(), secs * 1_000_000_000).unwrap().index;
    for _ in 1..limits::CONNECT_FAILURES_MAX {
        state.note_connect_failed(0);
    }
    assert!(!state.is_ejected(), "a few failures are not enough");
    state.note_connected();
    (0..limits::CONNECT_FAILURES_MAX).for_each(|_| state.note_connect_failed(0));
    assert!(state.is_ejected() && (0..9).all(|_| at(limits::EJECTION_SECS - 1) != 0));
    assert_eq!((0..27).filter(|_| at(limits::EJECTION_SECS) == 0).count(), 1, "one request tries it, not all");
    assert!((0..9).all(|_| at(2 * limits::EJECTION_SECS - 1) != 0), "the probe has not come back yet");
    assert_eq!((0..9).filter(|_| at(2 * limits::EJECTION_SECS) == 0).count(), 1, "the next one");
    state.note_connect_failed(2 * limits::EJECTION_SECS * 1_000_000_000);
    assert!((0..9).all(|_| at(3 * limits::EJECTION_SECS - 1) != 0), "after a failed probe the server stays ejected");
    state.note_connected();
    assert_eq!((0..9).filter(|_| at(0) == 0).count(), 3, "after a connection the server is used again");
}

#[test]
fn ejected_server_is_used_if_no_other_is_left() {
    let balancer = balancer(&[1, 1], BalancerSettings::default());
    balancer.servers()[1].state.set_up(false);
    (0..limits::CONNECT_FAILURES_MAX).for_each(|_| balancer.servers()[0].state.note_connect_failed(0));
    assert_eq!(turns(&balancer, 2), "00");
}

fn sticky(name: &str) -> Balancer {
    let cookie = StickyCookie { name: name.into(), ..Default::default() };
    balancer(&[1, 1], BalancerSettings { sticky: Some(cookie), ..Default::default() })
}

#[test]
fn sticky_request_does_not_use_up_the_probe_of_another() {
    let balancer = sticky("c");
    let name = balancer.set_cookie(&pick(&balancer).unwrap()).unwrap();
    let cookie = name.split(';').next().unwrap().to_owned();
    (0..limits::CONNECT_FAILURES_MAX).for_each(|_| balancer.servers()[0].state.note_connect_failed(0));
    let due = limits::EJECTION_SECS * 1_000_000_000;
    let probe = balancer.pick([].into_iter(), &TriedServers::default(), due).unwrap();
    let bound = balancer.pick([cookie.as_bytes()].into_iter(), &TriedServers::default(), due).unwrap();
    assert_eq!((probe.index, probe.is_probe), (0, true));
    assert_eq!((bound.index, bound.is_probe), (0, false), "uses a pooled connection");
}

#[test]
fn sticky_cookie_binds_to_an_available_server() {
    let balancer = sticky("_aa88b");
    let fresh = pick(&balancer).unwrap();
    assert_eq!(balancer.set_cookie(&fresh).as_deref(), Some("_aa88b=http://127.0.0.0:80; Path=/"));
    let with = |cookies: &str| {
        balancer.pick([&b"x=y"[..], cookies.as_bytes()].into_iter(), &TriedServers::default(), 0).unwrap()
    };
    for _ in 0..3 {
        let bound = with("a=b; _aa88b=http://127.0.0.1:80; c=d");
        assert_eq!((bound.index, balancer.set_cookie(&bound)), (1, None));
    }
    for invalid in
        ["_aa88b=http://127.0.0.9:80", "_aa88b=", "_aa88b=https://127.0.0.1:80", "x_aa88b=http://127.0.0.1:80", "\u{0}"]
    {
        assert!(with(invalid).set_cookie, "{invalid}");
    }
    balancer.servers()[1].state.set_up(false);
    let moved = with("_aa88b=http://127.0.0.1:80");
    assert_eq!((moved.index, moved.set_cookie), (0, true));
    balancer.servers()[1].state.set_up(true);
    let mut tried = TriedServers::default();
    tried.add(1);
    let other = balancer.pick([&b"_aa88b=http://127.0.0.1:80"[..]].into_iter(), &tried, 0).unwrap();
    assert_eq!((other.index, other.set_cookie), (0, true));
    assert!(!pick(&super::backend::balancer(&[1], BalancerSettings::default())).unwrap().set_cookie);
}

#[test]
fn sticky_cookie_has_its_name_and_attributes() {
    assert_eq!((cookie_name("", "st"), cookie_name("a b(c)", "x")), ("_aa88b".into(), "a_b_c_".into()));
    assert_eq!(sanitised("é;=,\"\\ok"), "______ok");
    let cookie = StickyCookie { name: "n".into(), secure: true, http_only: true, same_site: "Strict".into() };
    let url = ServerUrl::parse("http://a:1").unwrap();
    assert_eq!(cookie.set_cookie(&url), "n=http://a:1; Path=/; HttpOnly; Secure; SameSite=Strict");
}

#[test]
fn drr_shifts_towards_working_servers() {
    let balancer = balancer(&[1, 1, 1], BalancerSettings { method: BalanceMethod::Drr, ..Default::default() });
    for tick in 0..2000u64 {
        let lease = pick(&balancer).unwrap();
        let status = if lease.server.name == "s2" { 503 } else { 200 };
        balancer.record(&lease, status, tick * 10_000_000);
    }
    let bad = turns(&balancer, 300).matches('2').count();
    assert!((1..40).contains(&bad), "{bad}");
    assert_eq!(
        (BalanceMethod::parse("Drr"), BalanceMethod::parse("WRR"), BalanceMethod::parse("x")),
        (Some(BalanceMethod::Drr), Some(BalanceMethod::Wrr), None)
    );
}

#[test]
fn server_state_is_carried_over_by_url() {
    let first = BackendState::carry(None, ["http://a:1", "http://b:1"]);
    first.server("http://a:1").set_up(false);
    let second = BackendState::carry(Some(&first), ["http://a:1", "http://c:1"]);
    assert!(!second.server("http://a:1").is_up() && second.server("http://c:1").is_up());
    assert!(Arc::ptr_eq(&first.server("http://a:1"), &second.server("http://a:1")));
    assert!(!Arc::ptr_eq(&first.server("http://b:1"), &second.server("http://b:1")));
}

#[test]
fn leases_count_active_requests() {
    let balancer = balancer(&[1], BalancerSettings::default());
    let state = balancer.servers()[0].state.clone();
    let (one, two) = (pick(&balancer).unwrap(), pick(&balancer).unwrap());
    assert_eq!(state.active(), 2);
    drop((one, two));
    assert_eq!(state.active(), 0);
}

#[test]
fn server_urls_are_parsed_into_parts() {
    let parts = |text: &str| {
        let url = ServerUrl::parse(text).unwrap();
        (url.scheme, url.host.clone(), url.authority.clone(), url.address.clone(), url.target())
    };
    let owned = |scheme, host: &str, authority: &str, address: &str, target: &str| {
        (scheme, host.to_owned(), authority.to_owned(), address.to_owned(), target.to_owned())
    };
    assert_eq!(parts("http://a.test"), owned(Scheme::Http, "a.test", "a.test", "a.test:80", "/"));
    assert_eq!(parts("HTTPS://a:8443/p?q=1"), owned(Scheme::Https, "a", "a:8443", "a:8443", "/p?q=1"));
    assert_eq!(parts("h2c://[::1]:9"), owned(Scheme::H2c, "::1", "[::1]:9", "[::1]:9", "/"));
    assert_eq!(parts("TCP://a:1/"), owned(Scheme::Tcp, "a", "a:1", "a:1", "/"));
    assert_eq!(parts("udp://[::1]:53"), owned(Scheme::Udp, "::1", "[::1]:53", "[::1]:53", "/"));
    assert_eq!(parts("https://[::1]/x"), owned(Scheme::Https, "::1", "[::1]", "[::1]:443", "/x"));
    for (wrong, hint) in [
        ("a:80", "scheme"),
        ("ftp://a", "http, https, h2c, tcp or udp"),
        ("tcp://a", "no port; write it as tcp://host:port"),
        ("udp://a:", "no port; write it as udp://host:port"),
        ("tcp://a:1/x", "a path or a query"),
        ("udp://a:1?x", "a path or a query"),
        ("http://", "host"),
        ("http://:80", "host"),
        ("http://a:b", "port"),
        ("http://a:65536", "port"),
        ("http://a:+1", "port"),
        ("http://::1:80", "brackets"),
        ("http://[::1", "closed"),
        ("http://[::g]", "IPv6"),
        ("http://u:p@a", "user"),
        ("http://a b", "blank"),
        ("http://a\r\nX: y", "control"),
    ] {
        let error = ServerUrl::parse(wrong).unwrap_err().to_string();
        assert!(error.contains(hint), "{wrong:?}: {error}");
    }
}

#[test]
fn health_probes_are_built_and_evaluated() {
    let options =
        HealthOptions { path: "health?a=b", port: 81, scheme: "https", hostname: "my", interval_nanos: Some(-5) };
    let headers = vec![("X-A".to_owned(), "1".to_owned())];
    let check = HealthCheck::new(options, headers, Duration::from_secs(30)).unwrap().unwrap();
    assert_eq!(check.interval, Duration::from_secs(30));
    let probe = check.probe(&ServerUrl::parse("http://[::1]:80").unwrap()).unwrap();
    assert_eq!(
        (probe.url.text.as_str(), probe.host.as_str(), probe.headers.len()),
        ("https://[::1]:81/health?a=b", "my", 1)
    );
    let new = |options| HealthCheck::new(options, Vec::new(), Duration::from_secs(30));
    assert_eq!(new(HealthOptions::default()), Ok(None));
    for wrong in [
        HealthOptions { path: ":", ..Default::default() },
        HealthOptions { path: "/ x", ..Default::default() },
        HealthOptions { path: "/", scheme: "ftp", ..Default::default() },
        HealthOptions { path: "/", port: 70_000, ..Default::default() },
        HealthOptions { path: "/", port: -1, ..Default::default() },
    ] {
        assert!(new(wrong).is_err(), "{wrong:?}");
    }
    let interval = |nanos| {
        let options = HealthOptions { path: "/", interval_nanos: Some(nanos), ..Default::default() };
        new(options).unwrap().unwrap().interval
    };
    assert_eq!(
        [1, 10_000_000, 11_000_000].map(interval),
        [10, 10, 11].map(Duration::from_millis),
        "one container must not spin"
    );
    let verdicts = [199, 200, 204, 399, 400, 503].map(status_is_healthy);
    assert_eq!(verdicts, [false, true, true, true, false, false]);
    assert!(!interval_is_usable(Some(0)) && !interval_is_usable(None) && interval_is_usable(Some(1)));
}

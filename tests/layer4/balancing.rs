//! Balancing by connection: turns by weight, stickiness by address, retries on the next server, ejection.

use std::collections::BTreeMap;
use std::io::Read;

use crate::peers::{EchoServer, connect};
use crate::proxy::{Options, Proxy};
use crate::support::free_port;
use crate::support::ringway::DRIVERS;

/// A frontend on `plain0` whose backend has these servers with their weights.
fn routes(servers: &[(String, u32)], more: &str) -> String {
    let mut text = "[frontends.all]\nbackend = \"all\"\nentryPoints = [\"plain0\"]\n".to_owned();
    text += "[frontends.all.routes.r]\nrule = \"HostSNI:*\"\n";
    for (number, (url, weight)) in servers.iter().enumerate() {
        text += &format!("[backends.all.servers.s{number}]\nurl = \"{url}\"\nweight = {weight}\n");
    }
    text + more
}

/// How many of `count` connections got each greeting.
fn greetings(port: u16, count: usize) -> BTreeMap<char, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..count {
        let mut byte = [0];
        connect(port).read_exact(&mut byte).expect("a greeting");
        *counts.entry(byte[0] as char).or_default() += 1;
    }
    counts
}

#[test]
fn connections_take_turns_by_weight_and_go_to_the_next_server_if_one_is_gone() {
    for driver in DRIVERS {
        let (a, b) = (EchoServer::start(b"a"), EchoServer::start(b"b"));
        let gone = format!("tcp://127.0.0.1:{}", free_port());
        let servers = [(a.url(), 1), (b.url(), 3), (gone, 2)];
        let proxy = Proxy::with(driver, Options::default(), 1, &routes(&servers[..2], ""));
        assert_eq!(greetings(proxy.plain[0], 40), [('a', 10), ('b', 30)].into());
        proxy.replace_routes(&routes(&servers, ""), 2);
        let counts = greetings(proxy.plain[0], 60);
        assert_eq!(counts.values().sum::<usize>(), 60, "no connection is lost: {counts:?}");
        let lines = proxy.access_log(100);
        let retried = lines.iter().filter(|line| line.contains("\"RetryAttempts\":1")).count();
        assert_eq!(retried, 3, "after three failures in a row the server is ejected");
        let drr = routes(&servers[..2], "[backends.all.loadBalancer]\nmethod = \"drr\"\n");
        proxy.replace_routes(&drr, 3);
        let counts = greetings(proxy.plain[0], 40);
        assert!(counts[&'a'] > 0 && counts[&'b'] > counts[&'a'], "{counts:?}");
    }
}

#[test]
fn sticky_client_gets_one_server_by_its_address() {
    for driver in DRIVERS {
        let (a, b) = (EchoServer::start(b"a"), EchoServer::start(b"b"));
        let servers = [(a.url(), 1), (b.url(), 1)];
        let sticky = "[backends.all.loadBalancer.stickiness]\n";
        let proxy = Proxy::with(driver, Options::default(), 1, &routes(&servers, sticky));
        let counts = greetings(proxy.plain[0], 20);
        assert_eq!(counts.len(), 1, "one client, one server: {counts:?}");
        // Without its server the client gets the other one.
        let (mut gone, mut left) = (a, b);
        if counts.contains_key(&'b') {
            std::mem::swap(&mut gone, &mut left);
        }
        drop(gone);
        let other = greetings(proxy.plain[0], 20);
        assert!(other.len() == 1 && other.keys().ne(counts.keys()), "{counts:?}, then {other:?}");
    }
}

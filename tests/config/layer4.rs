//! TCP and UDP frontends as compiled: where they are found, what they hold, and what the next snapshot keeps.

use std::net::IpAddr;
use std::sync::Arc;

use ringway::backend::CheckMethod;
use ringway::config::json;
use ringway::config::snapshot::{ServerProtocol, Snapshot};
use ringway::detect::ProxyVersion;

use crate::compiled;

const ENTRY_POINTS: &str = "
[file]
[entryPoints.a-https]
address = ':443'
[entryPoints.a-https.tls]
[entryPoints.a-https.whiteList]
sourceRange = ['10.0.0.0/8']
[entryPoints.b-db]
address = ':5432'
[entryPoints.c-dns]
address = ':53/udp'
";
const TCP: &str = "
[backends.db]
proxyProtocol = 'V2'
[backends.db.maxconn]
amount = 1
extractorfunc = 'client.ip'
[backends.db.healthcheck]
scheme = 'tls'
port = 5433
hostname = 'db.internal'
[backends.db.loadbalancer.stickiness]
[backends.db.servers.one]
url = 'tcp://10.0.0.1:5432'
[backends.db.servers.two]
url = 'tcp://[fd00::2]:5432/'
[frontends.db]
backend = 'db'
entryPoints = ['a-https']
alpn = ['postgresql']
[frontends.db.whiteList]
sourceRange = ['10.1.0.0/16', '192.168.0.0/16']
[frontends.db.routes.r]
rule = 'HostSNI:DB.example.'
[frontends.frontend-all]
backend = 'db'
entryPoints = ['b-db']
[frontends.frontend-all.routes.r]
rule = 'HostSNI:*'
";

fn snapshot(routes: &str, previous: &Snapshot) -> Snapshot {
    compiled(&format!("{ENTRY_POINTS}{routes}"), previous)
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn tcp_frontend_is_found_by_name_with_its_options() {
    let snapshot = snapshot(TCP, &Snapshot::empty(3));
    assert!(snapshot.rejected.is_empty(), "{:?}", snapshot.rejected);
    let [https, db, dns] = &snapshot.tcp[..] else { panic!("one table for each entry point") };
    assert!(https.find(None).is_none() && https.find(Some("other.example")).is_none() && dns.is_empty());
    let frontend = https.find(Some("db.example")).expect("the route");
    assert_eq!((frontend.name.as_str(), frontend.passthrough), ("db", false));
    assert_eq!(frontend.alpn, [b"postgresql"]);
    let all = db.catch_all().expect("the route of every connection");
    assert_eq!((all.log_name.as_str(), db.needs_name()), ("all", false));
    assert!(Arc::ptr_eq(&all.backend, &frontend.backend), "one backend, whatever the entry points");
    assert_eq!(frontend.backend.proxy_protocol, Some(ProxyVersion::V2));
    let endpoints = &frontend.backend.endpoints;
    assert!(endpoints.iter().all(|endpoint| endpoint.speaks == ServerProtocol::Tcp && endpoint.tls.is_none()));
    assert_eq!(endpoints[1].addresses.load().as_slice(), ["[fd00::2]:5432".parse().expect("an address")]);
    assert!(frontend.backend.balancer.settings().sticky.is_some());
}

#[test]
fn white_lists_of_entry_point_and_frontend_must_both_allow_a_client() {
    let snapshot = snapshot(TCP, &Snapshot::empty(3));
    let list = |entry: usize| snapshot.tcp[entry].find(Some("db.example")).expect("the route").white_list.as_ref();
    let both = list(0).expect("a white list");
    for (client, allowed) in
        [("10.1.0.1", true), ("::ffff:10.1.0.1", true), ("10.2.0.1", false), ("192.168.0.1", false)]
    {
        assert_eq!(both.allows_address(address(client)), allowed, "{client}");
    }
    assert!(list(1).is_none());
    let without_own = TCP.replace("sourceRange", "useXForwardedFor = false #");
    let snapshot = self::snapshot(&without_own, &Snapshot::empty(3));
    let list = snapshot.tcp[0].find(Some("db.example")).expect("the route").white_list.as_ref().expect("a white list");
    assert!(list.allows_address(address("10.2.0.1")) && !list.allows_address(address("192.168.0.1")));
}

#[test]
fn health_check_of_tcp_servers_is_a_handshake_at_its_port() {
    let snapshot = snapshot(TCP, &Snapshot::empty(3));
    let check = snapshot.backends[0].health_check.as_ref().expect("a check");
    let target = check.connect_target(&snapshot.backends[0].balancer.servers()[1].url);
    assert_eq!(check.method, CheckMethod::TlsHandshake);
    assert_eq!((target.host.as_str(), target.port, target.tls_name.as_str()), ("fd00::2", 5433, "db.internal"));
    let by_connection = TCP.replace("scheme = 'tls'", "").replace("port = 5433", "").replace("hostname", "#");
    let snapshot = self::snapshot(&by_connection, &Snapshot::empty(3));
    let check = snapshot.backends[0].health_check.as_ref().expect("a check");
    let target = check.connect_target(&snapshot.backends[0].balancer.servers()[0].url);
    assert_eq!((check.method, target.port), (CheckMethod::Connect, 5432));
    assert_eq!(target.tls_name, "10.0.0.1");
}

#[test]
fn next_snapshot_keeps_states_of_servers_and_connection_limit() {
    let first = snapshot(TCP, &Snapshot::empty(3));
    let limit = |snapshot: &Snapshot| Arc::clone(snapshot.tcp[1].catch_all().expect("the route"));
    let frontend = limit(&first);
    let client = address("10.0.0.9");
    let permit = frontend.max_conn.as_ref().expect("a limit").try_acquire(client).expect("the first connection");
    frontend.backend.endpoints[0].server.state.set_up(false);
    let changed = TCP.replace("two]\nurl = 'tcp://[fd00::2]:5432/'", "three]\nurl = 'tcp://10.0.0.3:5432'");
    let second = snapshot(&changed, &first);
    let next = limit(&second);
    assert!(next.max_conn.as_ref().expect("a limit").try_acquire(client).is_none(), "the connection still counts");
    assert!(!next.backend.endpoints[0].server.state.is_up() && next.backend.endpoints[1].server.state.is_up());
    drop(permit);
    assert!(next.max_conn.as_ref().expect("a limit").try_acquire(client).is_some());
}

#[test]
fn udp_entry_point_has_the_frontend_of_the_highest_priority() {
    let udp = "
[backends.dns.servers.one]
url = 'udp://10.0.0.1:53'
[backends.gone]
[frontends.a]
backend = 'gone'
entryPoints = ['c-dns']
[frontends.frontend-b]
backend = 'dns'
entryPoints = ['c-dns']
priority = 2
[frontends.frontend-b.whiteList]
sourceRange = ['10.0.0.0/8']
";
    let snapshot = snapshot(udp, &Snapshot::empty(3));
    let [None, None, Some(frontend)] = &snapshot.udp[..] else { panic!("a frontend on the UDP entry point only") };
    assert_eq!((frontend.name.as_str(), frontend.log_name.as_str()), ("frontend-b", "b"));
    assert_eq!(frontend.backend.endpoints[0].speaks, ServerProtocol::Udp);
    assert!(!frontend.white_list.as_ref().expect("a white list").allows_address(address("192.168.0.1")));
    assert_eq!(snapshot.rejected.len(), 1, "{:?}", snapshot.rejected);
}

/// The containers of a route may be away for a moment. Their route then has no servers, and is still one of TCP or UDP.
#[test]
fn frontend_without_servers_is_of_the_layer_of_rule_and_entry_point() {
    let gone = "
[backends.gone]
[frontends.tcp]
backend = 'gone'
entryPoints = ['a-https']
[frontends.tcp.routes.r]
rule = 'HostSNI:a.example'
[frontends.udp]
backend = 'gone'
entryPoints = ['c-dns']
[frontends.udp.routes.r]
rule = 'HostSNI:*'
";
    let snapshot = snapshot(gone, &Snapshot::empty(3));
    assert!(snapshot.rejected.is_empty(), "{:?}", snapshot.rejected);
    assert!(snapshot.tcp[0].find(Some("a.example")).is_some() && snapshot.udp[2].is_some());
    assert!(snapshot.routers.iter().all(|router| router.len() == 0));
}

#[test]
fn frontend_without_entry_points_gets_those_with_tls_or_none() {
    let routes = "
defaultEntryPoints = ['a-https', 'b-db', 'c-dns']
[backends.db.servers.one]
url = 'tcp://10.0.0.1:5432'
[backends.web.servers.one]
url = 'http://10.0.0.1'
[frontends.named]
backend = 'db'
[frontends.named.routes.r]
rule = 'HostSNIRegexp:{s:.+}.example'
[frontends.any]
backend = 'db'
[frontends.any.routes.r]
rule = 'HostSNI:any.example,*'
[frontends.web]
backend = 'web'
[frontends.web.routes.r]
rule = 'Host:web.test'
";
    let snapshot = compiled(&format!("{routes}{ENTRY_POINTS}"), &Snapshot::empty(3));
    let shown = |name: &str| snapshot.providers["file"].frontends[name].entry_points.join(" ");
    assert_eq!(
        (shown("named").as_str(), shown("any").as_str(), shown("web").as_str()),
        ("a-https", "", "a-https b-db")
    );
    assert!(snapshot.tcp[1].is_empty() && snapshot.tcp[0].catch_all().is_none());
    let [rejected] = &snapshot.rejected[..] else { panic!("one rejection: {:?}", snapshot.rejected) };
    assert_eq!(rejected.name, "frontend any");
}

#[test]
fn pools_of_servers_with_and_without_proxy_header_differ() {
    let routes = "
[backends.headed]
proxyProtocol = 'v1'
[backends.headed.servers.one]
url = 'http://10.0.0.1'
[backends.plain.servers.one]
url = 'http://10.0.0.1'
[frontends.headed]
backend = 'headed'
entryPoints = ['b-db']
[frontends.headed.routes.r]
rule = 'Host:headed.test'
[frontends.plain]
backend = 'plain'
entryPoints = ['b-db']
[frontends.plain.routes.r]
rule = 'Host:plain.test'
";
    let snapshot = snapshot(routes, &Snapshot::empty(3));
    let endpoint =
        |name: &str| &snapshot.backends.iter().find(|backend| backend.name == name).expect(name).endpoints[0];
    let (headed, plain) = (endpoint("headed"), endpoint("plain"));
    assert_eq!((headed.proxy_protocol, plain.proxy_protocol), (Some(ProxyVersion::V1), None));
    assert_ne!(headed.pool, plain.pool, "a pooled connection without a header is not used");
    assert!(Arc::ptr_eq(&headed.addresses, &plain.addresses));
}

#[test]
fn api_shows_the_options_of_layer4_and_reads_them_back() {
    let snapshot = snapshot(&TCP.replace("alpn =", "passthrough = true\nalpn ="), &Snapshot::empty(3));
    let shown = serde_json::to_value(&*snapshot.providers["file"]).expect("JSON");
    let (frontend, backend) = (&shown["frontends"]["db"], &shown["backends"]["db"]);
    assert_eq!((&frontend["passthrough"], &frontend["alpn"][0]), (&true.into(), &"postgresql".into()));
    assert_eq!(frontend["routes"]["r"]["rule"], "HostSNI:DB.example.");
    assert_eq!(
        (&backend["proxyProtocol"], &backend["servers"]["one"]["url"]),
        (&"V2".into(), &"tcp://10.0.0.1:5432".into())
    );
    let plain = &shown["frontends"]["frontend-all"];
    assert!(
        plain.get("passthrough").is_none() && plain.get("alpn").is_none(),
        "options that are not set are not shown"
    );
    let sent = json::read(shown.to_string().as_bytes()).expect("a document for the REST provider");
    assert_eq!((&sent.frontends["db"].alpn, sent.frontends["db"].passthrough), (&vec!["postgresql".to_owned()], true));
    assert_eq!(sent.backends, snapshot.providers["file"].backends);
}

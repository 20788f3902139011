//! `hostResolver.cnameFlattening` with dnsmasq as the DNS server (docs/reference/rules.md#cname-flattening).

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::{Background, free_port, installed, stdout_of, tool_or_skip, wait_for};

const CONFIG: &str = r#"
defaultEntryPoints = ["http"]
[entryPoints.http]
address = "127.0.0.1:@http@"
[hostResolver]
cnameFlattening = true
resolvConfig = "@dir@/resolv.conf"
resolvDepth = @depth@
[file]
[backends.one.servers.one]
url = "http://127.0.0.1:@server@"
[frontends.own]
backend = "one"
[frontends.own.routes.own]
rule = "Host:a.test"
[frontends.alias]
backend = "one"
[frontends.alias.routes.alias]
rule = "Host:shop.test;AddPrefix:/alias"
"#;

/// dnsmasq with an alias of an alias: `www.customer.test`, `edge.customer.test`, `shop.test`.
fn dns_server() -> (Background, tempfile::TempDir, u16) {
    let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
    let mut command = Command::new("dnsmasq");
    command.args(["--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--no-daemon"]);
    command.args(["--bind-interfaces", "--listen-address=127.0.0.1", "--pid-file=", "--local-ttl=60"]);
    command.arg(format!("--port={port}"));
    command.args(["--cname=www.customer.test,edge.customer.test", "--cname=edge.customer.test,shop.test"]);
    command.args(["--host-record=shop.test,10.0.0.1", "--local=/test/"]);
    let server = Background::start(command, folder.path().join("log"));
    wait_for("dnsmasq answers", Duration::from_secs(20), || {
        let answer = stdout_of("dig", &["+short", "@127.0.0.1", "-p", &port.to_string(), "www.customer.test", "CNAME"]);
        if answer.contains("edge.customer.test") { Ok(()) } else { Err(answer) }
    });
    (server, folder, port)
}

fn proxy(driver: &str, dns: &str, depth: u8, origin: &Origin) -> Ringway {
    let setup = Setup::new(driver, CONFIG).fill("@server@", origin.address.port()).fill("@depth@", depth);
    setup.file("resolv.conf", format!("# comment\nnameserver {dns}\n")).start()
}

/// Status and body of a request for this host.
fn get(proxy: &Ringway, host: &str) -> (String, String) {
    let body = proxy.curl(&["-w", "\n%{http_code}", "-H", &format!("Host: {host}"), &proxy.url("/x")]);
    let (body, status) = body.rsplit_once('\n').unwrap_or_default();
    (status.to_owned(), body.to_owned())
}

#[test]
fn alias_of_a_host_is_routed_like_the_host() {
    if !tool_or_skip("dnsmasq and dig", installed("dnsmasq") && installed("dig")) {
        return;
    }
    let (_dns, _folder, port) = dns_server();
    let origin = Origin::start();
    for driver in DRIVERS {
        let proxy = proxy(driver, &format!("127.0.0.1:{port}"), 5, &origin);
        let (status, body) = get(&proxy, "WWW.customer.test:80");
        assert_eq!(status, "200", "({driver}): {}", proxy.log());
        assert!(
            body.starts_with("GET /alias/x ")
                && body.contains("www.customer.test") | body.contains("WWW.customer.test"),
            "{body}"
        );
        assert_eq!(get(&proxy, "edge.customer.test").0, "200");
        assert_eq!(get(&proxy, "nothing.customer.test").0, "404");
        assert_eq!(get(&proxy, "a.test").0, "200");
        assert_eq!(proxy.log().matches("hostResolver").count(), 0, "{}", proxy.log());
    }
    let proxy = proxy(DRIVERS[1], &format!("127.0.0.1:{port}"), 1, &origin);
    assert_eq!((get(&proxy, "edge.customer.test").0, get(&proxy, "www.customer.test").0), ("200".into(), "404".into()));
}

#[test]
fn dns_server_that_is_silent_delays_a_host_once_and_bounded() {
    // A socket that takes queries and answers none.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let origin = Origin::start();
    let started = Instant::now();
    let proxy = proxy("epoll", &address, 5, &origin);
    let (status, _) = get(&proxy, "shop.test");
    assert_eq!(status, "200", "the own host is routed: {}", proxy.log());
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    proxy.await_log("hostResolver: the CNAME record of", 1);
}

//! The program under test, with every kind of series in its `/metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::support::ringway::{Ringway, Setup};
use crate::support::{free_port, origin::Origin, stdout_of, wait_for};

/// HTTP with a backend that answers, one whose server is down by its health check, TCP and UDP routes, TLS with the generated certificate.
const CONFIG: &str = r#"
defaultEntryPoints = ["http"]
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.https]
address = "127.0.0.1:@https@"
[entryPoints.https.tls]
[[entryPoints.https.tls.certificates]]
certFile = "@dir@/cert.pem"
keyFile = "@dir@/key.pem"
[entryPoints.traefik]
address = "127.0.0.1:@api@"
[entryPoints.tcp]
address = "127.0.0.1:@tcp@"
[entryPoints.udp]
address = "127.0.0.1:@udp@/udp"
[ping]
@metrics@
[file]
[backends.real.servers.one]
url = "http://127.0.0.1:@server@"
[backends.down]
[backends.down.healthcheck]
path = "/"
interval = "1s"
[backends.down.servers.one]
url = "http://127.0.0.1:1"
[frontends.real]
backend = "real"
[frontends.real.routes.all]
rule = "PathPrefix:/"
[frontends.down]
backend = "down"
[frontends.down.routes.all]
rule = "Host:down.test"
[backends.stream.servers.one]
url = "tcp://127.0.0.1:@server@"
[frontends.stream]
backend = "stream"
entryPoints = ["tcp"]
[frontends.stream.routes.all]
rule = "HostSNI:*"
[backends.packets.servers.one]
url = "udp://127.0.0.1:@server@"
[frontends.packets]
backend = "packets"
entryPoints = ["udp"]
"#;

/// The running program, with its ports for TCP and UDP.
pub struct Proxy {
    pub ringway: Ringway,
    tcp: u16,
    udp: u16,
    _origin: Origin,
}

/// Starts an origin, and the program with these tables of `[metrics]`.
pub fn start(driver: &str, metrics: &str) -> Proxy {
    let origin = Origin::start();
    let config = CONFIG.replace("@metrics@", metrics);
    let (tcp, udp) = (free_port(), free_port());
    let setup = Setup::new(driver, &config).fill("@server@", origin.address.port());
    let file = |name: &str| setup.folder.path().join(name).display().to_string();
    let options = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "90",
        "-subj",
        "/CN=a.test",
    ];
    let names = ["-addext", "subjectAltName=DNS:a.test", "-keyout", &file("key.pem"), "-out", &file("cert.pem")];
    stdout_of("openssl", &[&options[..], &names[..]].concat());
    Proxy { ringway: setup.fill("@tcp@", tcp).fill("@udp@", udp).start(), tcp, udp, _origin: origin }
}

/// Sends requests that fill all series, and waits until the health check of the server that is down has failed.
pub fn use_everything(proxy: &Proxy) {
    let Proxy { ringway: proxy, tcp, udp, .. } = proxy;
    for path in ["/a", "/b"] {
        assert_eq!(proxy.curl(&["-o", "/dev/null", "-w", "%{http_code}", "-d", "12345", &proxy.url(path)]), "200");
    }
    let got = proxy.curl(&[&format!("http://127.0.0.1:{tcp}/")]);
    assert!(!got.is_empty(), "no answer through the TCP route: {}", proxy.log());
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.send_to(b"x", ("127.0.0.1", *udp)).expect("sent");
    wait_for("every series", Duration::from_secs(30), || {
        let page = proxy.page("/metrics");
        let has = |text: &str| page.contains(text);
        if has("traefik_backend_server_up{backend=\"down\",url=\"http://127.0.0.1:1\"} 0\n")
            && has("ringway_udp_sessions_total{backend=\"packets\"} 1\n")
            && has("ringway_tcp_connections_total{backend=\"stream\"} 1\n")
        {
            Ok(())
        } else {
            Err(page)
        }
    });
}

/// The label names of each series of a page in the text format.
pub fn series_of(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut series: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}"));
        let labels = series.entry(line[..end].to_owned()).or_default();
        if line[end..].starts_with('{') {
            let inner = &line[end + 1..line.rfind('}').expect("a closed brace")];
            labels
                .extend(inner.split("\",").filter_map(|pair| pair.split_once("=\"")).map(|(name, _)| name.to_owned()));
        }
    }
    series
}

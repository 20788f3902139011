//! Certificates of pebble, whose only way to the names is the name server: wildcards with further names, by each provider that runs here.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::name_servers::{NameServers, SECRET};
use crate::support::acme::Pebble;
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::{pebble_or_skip, run, wait_for};

const CONFIG: &str = r#"
defaultEntryPoints = ["http", "https"]
logLevel = "DEBUG"
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.https]
address = "127.0.0.1:@https@"
[entryPoints.https.tls]
[file]
[acme]
email = "ops@ring.test"
storage = "@dir@/acme.json"
entryPoint = "https"
caServer = "@ca@"
keyType = "EC256"
[acme.dnsChallenge]
provider = "@provider@"
resolvers = ["@resolver@"]
[[acme.domains]]
main = "*.ring.test"
sans = ["ring.test", "a.deep.ring.test", "eu.deep.ring.test"]
"#;

const LIMIT: Duration = Duration::from_secs(90);

/// Obtains the certificate with this provider, and checks names, records and log.
fn obtains(driver: &str, provider: &str, variables: impl Fn(&NameServers) -> Vec<(&'static str, String)>) {
    if !pebble_or_skip() {
        return;
    }
    let Some(mut servers) = NameServers::start() else { return };
    servers.start_secondary();
    let work = tempfile::tempdir().unwrap();
    let pebble = Pebble::start_with_dns(work.path(), "127.0.0.1", &format!("{}:53", servers.primary));
    let setup = Setup::new(driver, CONFIG).fill("@ca@", pebble.directory()).fill("@provider@", provider);
    let setup = setup.fill("@resolver@", &servers.primary).env("LEGO_CA_CERTIFICATES", pebble.server_ca.display());
    let proxy = variables(&servers).iter().fold(setup, |setup, (name, value)| setup.env(name, value)).spawn();
    wait_for("the wildcard certificate is presented", LIMIT, || {
        let names = presented_names(&proxy, "any.ring.test");
        let all = ["DNS:*.ring.test", "DNS:ring.test", "DNS:a.deep.ring.test", "DNS:eu.deep.ring.test"];
        if all.iter().all(|name| names.contains(name)) { Ok(()) } else { Err(format!("{names}: {}", proxy.log())) }
    });
    wait_for("the records are removed", LIMIT, || {
        let names = ["_acme-challenge.ring.test", "_acme-challenge.a.deep.ring.test", "alias.ring.test"];
        let left: Vec<String> = names.iter().flat_map(|name| servers.texts(name)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}: {}", proxy.log())) }
    });
    assert_eq!(pebble.orders(), 1, "{}", proxy.log());
    assert!(!proxy.log().contains(SECRET), "the log has the secret");
}

fn presented_names(proxy: &Ringway, name: &str) -> String {
    let shell = format!(
        "echo | timeout 10 openssl s_client -connect 127.0.0.1:{} -servername {name} 2>/dev/null | openssl x509 -noout -ext subjectAltName",
        proxy.https
    );
    String::from_utf8_lossy(&run("sh", &["-c", &shell]).stdout).into_owned()
}

fn rfc2136(servers: &NameServers) -> Vec<(&'static str, String)> {
    vec![
        ("RFC2136_NAMESERVER", servers.primary.clone()),
        ("RFC2136_TSIG_FILE", servers.key_file().display().to_string()),
        ("RFC2136_POLLING_INTERVAL", "1".to_owned()),
    ]
}

#[test]
fn wildcard_is_obtained_by_signed_updates_io_uring() {
    obtains(DRIVERS[0], "rfc2136", rfc2136);
}

#[test]
fn wildcard_is_obtained_by_signed_updates_epoll() {
    obtains(DRIVERS[1], "rfc2136", rfc2136);
}

#[test]
fn wildcard_is_obtained_by_a_program() {
    obtains(DRIVERS[0], "exec", |servers| {
        let program = servers.program().display().to_string();
        vec![
            ("EXEC_PATH", program),
            ("EXEC_POLLING_INTERVAL", "1".to_owned()),
            ("EXEC_SEQUENCE_INTERVAL", "1".to_owned()),
        ]
    });
}

#[test]
fn wildcard_is_obtained_by_an_http_server() {
    obtains(DRIVERS[0], "httpreq", |servers| {
        let endpoint = http_server(servers.adding_program().display().to_string());
        vec![("HTTPREQ_ENDPOINT", endpoint), ("HTTPREQ_POLLING_INTERVAL", "1".to_owned())]
    });
}

/// An HTTP server that writes records as the program does, until the process ends.
fn http_server(program: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim_end().to_ascii_lowercase() {
                    line if line.is_empty() => break,
                    line => line.strip_prefix("content-length:").inspect(|text| length = text.trim().parse().unwrap()),
                };
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let action = if first.starts_with("POST /present ") { "present" } else { "cleanup" };
            let [fqdn, value] = ["fqdn", "value"].map(|name| body[name].as_str().unwrap().to_owned());
            let status = Command::new(&program).args([action, &fqdn, &value]).status().unwrap();
            let code = if status.success() { 200 } else { 500 };
            let response = format!("HTTP/1.1 {code} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            (&stream).write_all(response.as_bytes()).unwrap();
        }
    });
    endpoint
}

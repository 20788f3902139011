//! HTTP/2 over TLS: what ALPN agrees on, the key `http2` of an entry point, and requests that are misdirected (421).

use std::path::Path;

use crate::proxy::{Options, Proxy};
use crate::support::{run, wait_for};
use crate::{DRIVERS, Verdict};

/// curl's status and version of HTTP for a URL, and whether curl succeeded.
fn fetch(proxy: &Proxy, arguments: &[&str]) -> String {
    let resolve = |name: &str| format!("{name}:{}:127.0.0.1", proxy.tls_port);
    let format = "%{http_code} HTTP/%{http_version}";
    let fixed = ["-s", "-k", "--max-time", "10", "-o", "/dev/null", "-w", format];
    let names = ["one.test", "two.test", "w.two.test", "bare.test"].map(resolve);
    let resolved: Vec<&str> = names.iter().flat_map(|name| ["--resolve", name.as_str()]).collect();
    let output = run("curl", &[&fixed[..], &resolved, arguments].concat());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn alpn_agrees_on_http2_unless_it_is_off() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let url = format!("https://one.test:{}/", proxy.tls_port);
        assert_eq!(fetch(&proxy, &["--http2", &url]), "200 HTTP/2", "({driver})");
        assert_eq!(fetch(&proxy, &["--http1.1", &url]), "200 HTTP/1.1", "({driver})");
        // No preface of HTTP/2 counts on a connection that agreed on HTTP/1.1.
        assert_ne!(fetch(&proxy, &["--no-alpn", "--http2-prior-knowledge", &url]), "200 HTTP/2", "({driver})");
    }
}

#[test]
fn http2_switched_off_leaves_http1() {
    let off = "http2 = false\n".to_owned();
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &Options { entry: off.clone(), tls_entry: off.clone(), ..Options::default() });
        let url = format!("https://one.test:{}/", proxy.tls_port);
        assert_eq!(fetch(&proxy, &["--http2", &url]), "200 HTTP/1.1", "({driver})");
        let plain = format!("http://127.0.0.1:{}/", proxy.port);
        assert_eq!(fetch(&proxy, &[&plain]), "200 HTTP/1.1", "({driver})");
        let mut client = proxy.client();
        let answer = client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").answer();
        assert_eq!(answer.status, 505, "({driver}): {answer:?}");
    }
}

/// The table of a certificate for these names, in files of the folder.
fn certificate(folder: &Path, names: &[&str]) -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    let names_owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = rcgen::CertificateParams::new(names_owned).expect("names");
    let pem = params.self_signed(&key).expect("signed").pem();
    let file = |kind: &str| folder.join(format!("{}.{kind}", names[0].replace('*', "any")));
    std::fs::write(file("crt"), pem).expect("written");
    std::fs::write(file("key"), key.serialize_pem()).expect("written");
    format!(
        "[[tls]]\nentryPoints = [\"https\"]\n[tls.certificate]\ncertFile = \"{}\"\nkeyFile = \"{}\"\n",
        file("crt").display(),
        file("key").display()
    )
}

/// RFC 9110 15.5.20: a client that sends a request on a connection to another server than it belongs to can try again on its own.
#[test]
fn request_that_only_another_certificate_covers_gets_421() {
    let cases = [
        ("same name", "one.test", "", "200 HTTP/2"),
        ("same name with another case and a dot", "one.test", "ONE.test.", "200 HTTP/2"),
        ("another certificate", "one.test", "two.test", "421 HTTP/2"),
        ("another certificate, a port", "one.test", "two.test:443", "421 HTTP/2"),
        ("another certificate by its wildcard", "one.test", "w.two.test", "421 HTTP/2"),
        ("one certificate for both", "two.test", "w.two.test", "200 HTTP/2"),
        ("no certificate has the name", "one.test", "bare.test", "200 HTTP/2"),
        ("the default certificate was given", "bare.test", "two.test", "421 HTTP/2"),
    ];
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let folder = proxy.process.folder.path();
        let routes = std::fs::read_to_string(proxy.routes_file()).expect("the routes");
        let tables = [certificate(folder, &["one.test"]), certificate(folder, &["two.test", "*.two.test"])].concat();
        std::fs::write(proxy.routes_file(), routes + &tables).expect("written");
        let other = format!("https://one.test:{}/", proxy.tls_port);
        wait_for("the certificates are in use", std::time::Duration::from_secs(15), || {
            let seen = fetch(&proxy, &["--http2", "-H", "Host: two.test", &other]);
            if seen == "421 HTTP/2" { Ok(()) } else { Err(format!("{seen}; {}", proxy.process.log())) }
        });
        let mut verdict = Verdict::default();
        for (name, server_name, host, wanted) in cases {
            let url = format!("https://{server_name}:{}/", proxy.tls_port);
            let host = format!("Host: {host}");
            let arguments: &[&str] = if host.len() > 6 { &["--http2", "-H", &host, &url] } else { &["--http2", &url] };
            let seen = fetch(&proxy, arguments);
            verdict.check(&format!("{name} ({driver})"), seen == wanted, seen);
        }
        // HTTP/1.1 has no such requests: a connection is for one server, and clients of the wrong one are as before.
        let seen = fetch(&proxy, &["--http1.1", "-H", "Host: two.test", &other]);
        verdict.check(&format!("HTTP/1.1 ({driver})"), seen == "200 HTTP/1.1", seen);
        verdict.end();
    }
}

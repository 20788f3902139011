//! Servers with certificates of many kinds: backends, forward authentication, health checks.

use std::process::Command;
use std::time::Duration;

use crate::base::ringway::DRIVERS;
use crate::base::{Background, free_port, installed, tool_or_skip, wait_for, wait_for_port};
use crate::openssl::{Certificates, EC, RSA, RSA_1024};
use crate::proxy::{Route, count_lines, start, status};

const SAN: &str = "-addext subjectAltName=IP:127.0.0.1";

fn route(host: &'static str, url: &str) -> Route<'static> {
    (host, url.to_owned(), String::new())
}

/// nginx with a certificate, which answers 200 to everything.
fn nginx(made: &Certificates, name: &str, extra: &str) -> (Background, String) {
    let port = free_port();
    let file = |suffix: &str| made.file(&format!("{name}.{suffix}"));
    let folder = made.file("");
    let config = made.write(
        &format!("{name}-{port}.conf"),
        format!(
            "daemon off; master_process off; worker_processes 1; pid {folder}nginx-{port}.pid; error_log stderr;\n\
             events {{}}\nhttp {{ access_log off; client_body_temp_path {folder}nb; proxy_temp_path {folder}np; \
             fastcgi_temp_path {folder}nf; uwsgi_temp_path {folder}nu; scgi_temp_path {folder}ns;\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {}; {extra}\n\
             location / {{ return 200 'inside'; }} }} }}",
            file("pem"),
            file("key")
        ),
    );
    let mut command = Command::new("nginx");
    command.args(["-c", &config, "-p", &folder]);
    let process = Background::start(command, made.path(&format!("nginx-{port}.log")));
    wait_for_port(&format!("127.0.0.1:{port}"), Duration::from_secs(20));
    (process, format!("https://127.0.0.1:{port}"))
}

#[test]
fn configured_self_signed_server_serves() {
    if !tool_or_skip("nginx", installed("nginx")) {
        return;
    }
    let made = Certificates::new();
    // The plain command of the manuals: CA:TRUE by default.
    made.self_signed("plain", &format!("{RSA} {SAN}"));
    made.self_signed("ca", EC).issued("ca", "leaf", EC, "subjectAltName=IP:127.0.0.1", "");
    let (_nginx, nginx) = nginx(&made, "plain", "");
    let openssl = made.server("plain", "");
    let chained = made.server("leaf", "-tls1_2");
    for driver in DRIVERS {
        let fixed = format!("rootCAs = [{:?}, {:?}]", made.file("plain.pem"), made.file("ca.pem"));
        let auth =
            format!("[F.auth.forward]\naddress={nginx:?}\n[F.auth.forward.tls]\nca={:?}", made.file("plain.pem"));
        let routes = [
            route("nginx.test", &nginx),
            route("openssl.test", &openssl.url()),
            route("chained.test", &chained.url()),
            ("auth.test", nginx.clone(), auth),
        ];
        let proxy = start(driver, &fixed, "", &routes);
        for (host, ..) in &routes {
            assert_eq!(status(&proxy, host), "200", "{host} ({driver}): {}", proxy.log());
        }
        assert_eq!(proxy.log().matches("ERR").count(), 0, "{}", proxy.log());
    }
}

#[test]
fn refused_server_is_logged_once_with_reason_and_remedy() {
    let made = Certificates::new();
    made.self_signed("known", &format!("{EC} {SAN}")).self_signed("stranger", &format!("{EC} {SAN}"));
    made.self_signed("other-name", &format!("{EC} -addext subjectAltName=DNS:other.test"));
    made.self_signed("ca", EC).issued("ca", "late", EC, "subjectAltName=IP:127.0.0.1", "-days -1");
    made.issued("ca", "v1", EC, "", "");
    let rows = [
        ("stranger", "it is self-signed and not in rootCAs: add the certificate itself"),
        ("other-name", "it is for other.test, not for 127.0.0.1"),
        ("late", "it expired on"),
        ("v1", "it is for no name"),
    ];
    let servers = rows.map(|(name, _)| made.server(name, ""));
    for driver in DRIVERS {
        let files = ["known", "other-name", "ca"].map(|name| made.file(&format!("{name}.pem")));
        let hosts = ["a.test", "b.test", "c.test", "d.test"];
        let routes: Vec<_> = hosts.iter().zip(&servers).map(|(host, server)| route(host, &server.url())).collect();
        let auth = format!("[F.auth.forward]\naddress={:?}\n[F.auth.forward.tls]\nca={:?}", servers[0].url(), files[0]);
        let routes = [&routes[..], &[("auth.test", servers[0].url(), auth)]].concat();
        let proxy = start(driver, &format!("rootCAs = {files:?}"), "", &routes);
        for _ in 0..3 {
            for (host, ..) in &routes {
                assert_eq!(status(&proxy, host), "500", "{host} ({driver})");
            }
        }
        for ((name, reason), server) in rows.iter().zip(&servers) {
            let is_line = |line: &str| {
                line.contains(&format!("CN={name} is refused")) && line.contains(reason) && line.contains(&server.url())
            };
            // The stranger is refused under rootCAs; under auth.forward.tls.ca the line has another option.
            assert_eq!(count_lines(&proxy, name, is_line), 1, "{name} ({driver}): {}", proxy.log());
        }
        let is_line = |line: &str| line.contains("not in auth.forward.tls.ca");
        assert_eq!(count_lines(&proxy, "auth.test", is_line), 1, "{}", proxy.log());
    }
}

#[test]
fn unverified_server_only_has_to_have_its_key() {
    let made = Certificates::new();
    made.self_signed_v1("v1", EC).self_signed_v1("v1-rsa", RSA).self_signed("ca", EC);
    made.self_signed("small", &format!("{RSA_1024} -sha1"));
    made.issued("ca", "late", EC, "", "-days -1");
    made.issued("ca", "critical", EC, "1.2.3.4=critical,DER:0500", "");
    made.self_signed("ed25519", "-newkey ed25519").self_signed("p521", "-newkey ec -pkeyopt ec_paramgen_curve:P-521");
    // rustls has no key exchange with P-521, which TLS 1.2 requires for a certificate with such a key (COMPAT.md).
    let is_possible = |version: &str, name: &str| name != "p521" || version == "-tls1_3";
    let level = "-cipher DEFAULT:@SECLEVEL=0";
    let names = ["v1", "v1-rsa", "small", "late", "critical", "ed25519", "p521"];
    let mut servers = Vec::new();
    for version in ["-tls1_2", "-tls1_3"] {
        for name in names.iter().filter(|name| is_possible(version, name)) {
            servers.push((format!("{name}{version}"), made.server(name, &format!("{version} {level}"))));
        }
    }
    for driver in DRIVERS {
        let hosts: Vec<String> = (0..servers.len()).map(|at| format!("s{at}.test")).collect();
        let routes: Vec<Route<'_>> = hosts
            .iter()
            .zip(&servers)
            .map(|(host, (_, server))| (host.as_str(), server.url(), String::new()))
            .collect();
        let auth = format!(
            "[F.auth.forward]\naddress={:?}\n[F.auth.forward.tls]\ninsecureSkipVerify=true",
            servers[0].1.url()
        );
        let routes = [&routes[..], &[("auth.test", servers[0].1.url(), auth)]].concat();
        let proxy = start(driver, "insecureSkipVerify = true", "", &routes);
        for ((host, ..), name) in routes.iter().zip(servers.iter().map(|(name, _)| name.as_str()).chain(["auth"])) {
            assert_eq!(status(&proxy, host), "200", "{name} ({driver}): {}", proxy.log());
        }
    }
}

#[test]
fn servers_that_ringway_has_no_suite_for_are_explained() {
    let made = Certificates::new();
    made.self_signed("plain", &format!("{RSA} {SAN}"));
    let rows = [
        ("a.test", "-tls1_2 -cipher AES128-GCM-SHA256"),
        ("b.test", "-tls1_2 -cipher ECDHE-RSA-AES128-SHA"),
        ("c.test", "-tls1_1 -cipher ALL:@SECLEVEL=0"),
        ("d.test", "-tls1 -cipher ALL:@SECLEVEL=0"),
    ];
    let servers = rows.map(|(_, arguments)| made.server("plain", arguments));
    for driver in DRIVERS {
        let routes: Vec<_> = rows.iter().zip(&servers).map(|((host, _), server)| route(host, &server.url())).collect();
        let proxy = start(driver, "insecureSkipVerify = true", "", &routes);
        for ((host, arguments), server) in rows.iter().zip(&servers) {
            assert_eq!(status(&proxy, host), "500", "{arguments} ({driver})");
            let is_line =
                |line: &str| line.contains(&server.url()) && line.contains("no RSA key exchange, no CBC, no TLS 1.0");
            assert_eq!(count_lines(&proxy, arguments, is_line), 1, "{arguments} ({driver}): {}", proxy.log());
        }
    }
}

#[test]
fn server_that_ends_the_handshake_without_an_alert_is_explained() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || listener.incoming().flatten().for_each(drop));
    for driver in DRIVERS {
        let proxy = start(driver, "logLevel = \"WARN\"", "", &[route("a.test", &url)]);
        assert_eq!(status(&proxy, "a.test"), "502", "{driver}");
        let is_line =
            |line: &str| line.contains(&url) && line.contains("in the TLS handshake: the port may speak no TLS");
        assert!(count_lines(&proxy, "the handshake", is_line) > 0, "{driver}");
    }
}

#[test]
fn health_check_over_tls_judges_as_traffic_does() {
    let made = Certificates::new();
    made.self_signed("plain", &format!("{EC} {SAN}")).self_signed("stranger", &format!("{EC} {SAN}"));
    let (good, bad) = (made.server("plain", ""), made.server("stranger", ""));
    let check = |name: &str| format!("[backends.{name}.healthCheck]\npath=\"/\"\ninterval=\"200ms\"");
    let fixed = format!("rootCAs = [{:?}]", made.file("plain.pem"));
    let routes = [("a.test", good.url(), check("a-test")), ("b.test", bad.url(), check("b-test"))];
    let proxy = start("auto", &fixed, "", &routes);
    wait_for("the check fails", Duration::from_secs(20), || match status(&proxy, "b.test").as_str() {
        "503" => Ok(()),
        other => Err(other.to_owned()),
    });
    assert_eq!(status(&proxy, "a.test"), "200");
    let is_line = |line: &str| line.contains("Health check failed: TLS: the certificate of CN=stranger is refused");
    assert_eq!(count_lines(&proxy, "the check", is_line), 1, "{}", proxy.log());
}

//! haproxy and nginx on both sides of the PROXY protocol, both drivers.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::{Background, free_port, installed, stdout_of, tool_or_skip, wait_for, wait_for_port};

const SOON: Duration = Duration::from_secs(20);
/// curl's own address, which differs from that of the load balancers.
const CLIENT: &str = "127.0.0.9";

/// haproxy with these sections; `PORT` stands for a free port.
fn haproxy(sections: &str) -> (Background, TempDir, u16) {
    let (folder, port) = (tempfile::tempdir().expect("a folder for haproxy"), free_port());
    let defaults = "defaults\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n";
    let path = folder.path().display().to_string();
    let config = format!("{defaults}{}", sections.replace("PORT", &port.to_string()).replace("FOLDER", &path));
    fs::write(folder.path().join("haproxy.cfg"), config).expect("haproxy's configuration");
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(folder.path().join("haproxy.cfg"));
    let process = Background::start(command, folder.path().join("log"));
    (process, folder, port)
}

/// A certificate for `name` with its key, in one file as haproxy wants it.
fn certificate(folder: &TempDir, name: &str) {
    let file = |end: &str| folder.path().join(format!("cert.{end}")).display().to_string();
    let names = ["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName=DNS:{name}")];
    let made =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", &file("key"), "-out", &file("crt")];
    stdout_of("openssl", &[&made[..], &names].concat());
    let both = fs::read_to_string(file("crt")).expect("made") + &fs::read_to_string(file("key")).expect("made");
    fs::write(file("pem"), both).expect("a file");
}

/// The responses of haproxy that name the client it has learnt of.
const HAPROXY_SERVER: &str = "frontend f\n mode http\n bind 127.0.0.1:PORT accept-proxy\n \
    http-request return status 200 content-type text/plain lf-string \"%[src] %[dst_port] %[fc_pp_authority]\"\n";

const WEB: &str = r#"
defaultEntryPoints = ["http", "https"]
insecureSkipVerify = true
[entryPoints.http]
address = "127.0.0.1:@http@"
@http_table@
[entryPoints.https]
address = "127.0.0.1:@https@"
[entryPoints.https.tls]
@https_table@
[accessLog]
filePath = "@dir@/access.log"
[file]
[backends.real]
@backend@
[backends.real.servers.one]
url = "@server@"
[frontends.real]
backend = "real"
passHostHeader = true
[frontends.real.routes.all]
rule = "PathPrefix:/"
"#;

/// Ringway with entry points that expect PROXY headers from `peers`, if it is not empty, and these lines of the backend.
fn web(driver: &str, peers: &str, backend: &str, server: &str) -> Ringway {
    let table = |entry: &str| match peers {
        "" => String::new(),
        _ => format!("[entryPoints.{entry}.proxyProtocol]\ntrustedIPs = [\"{peers}\"]"),
    };
    let setup = Setup::new(driver, WEB).fill("@http_table@", table("http")).fill("@https_table@", table("https"));
    setup.fill("@backend@", backend).fill("@server@", server).start()
}

fn curl(ringway: &Ringway, arguments: &[&str]) -> String {
    ringway.curl(&[&["-k", "--interface", CLIENT], arguments].concat())
}

#[test]
fn haproxy_in_front_names_the_client_over_http_https_and_http2() {
    if !tool_or_skip("haproxy", installed("haproxy")) || !tool_or_skip("nginx", installed("nginx")) {
        return;
    }
    let (_server, _folder, server) =
        crate::nginx("return 200 \"$http_x_forwarded_for $http_x_real_ip $http_x_forwarded_proto\";");
    for driver in DRIVERS {
        let ringway = web(driver, "127.0.0.1", "", &format!("http://127.0.0.1:{server}"));
        for send in ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn proxy-v2-options crc32c,unique-id,authority"]
        {
            let tcp = |port: u16| {
                haproxy(&format!("listen l\n mode tcp\n bind 127.0.0.1:PORT\n server s 127.0.0.1:{port} {send}\n"))
            };
            let ((_plain, _plain_folder, plain), (_tls, _tls_folder, tls)) = (tcp(ringway.http), tcp(ringway.https));
            for port in [plain, tls] {
                wait_for_port(&format!("127.0.0.1:{port}"), SOON);
            }
            let got = curl(&ringway, &[&format!("http://127.0.0.1:{plain}/")]);
            assert_eq!(got, format!("{CLIENT} {CLIENT} http"), "{send} ({driver})");
            for version in ["--http1.1", "--http2"] {
                let got = curl(&ringway, &[version, "-w", " %{http_version}", &format!("https://127.0.0.1:{tls}/")]);
                let shown = if version == "--http2" { "2" } else { "1.1" };
                assert_eq!(got, format!("{CLIENT} {CLIENT} https {shown}"), "{send} {version} ({driver})");
            }
            let got = curl(&ringway, &["--http2-prior-knowledge", &format!("http://127.0.0.1:{plain}/")]);
            assert_eq!(got, format!("{CLIENT} {CLIENT} http"), "{send}, HTTP/2 without TLS ({driver})");
        }
        wait_for("the access log names the client", SOON, || {
            let log = fs::read_to_string(ringway.file("access.log")).map_err(|e| e.to_string())?;
            if log.matches(&format!("{CLIENT} - - [")).count() >= 12 { Ok(()) } else { Err(log) }
        });
        assert!(!ringway.log().contains("PROXY header"), "({driver}): {}", ringway.log());
    }
}

#[test]
fn checks_of_haproxy_and_direct_clients_are_served_beside_headers() {
    if !tool_or_skip("haproxy", installed("haproxy")) || !tool_or_skip("nginx", installed("nginx")) {
        return;
    }
    let (_server, _folder, server) = crate::nginx("return 200 \"$http_x_forwarded_for\";");
    for driver in DRIVERS {
        let ringway = web(driver, "127.0.0.1", "", &format!("http://127.0.0.1:{server}"));
        // haproxy checks by LOCAL headers, and by connections that it ends at once.
        for check in ["check-send-proxy", ""] {
            let (balancer, _folder, port) = haproxy(&format!(
                "listen l\n mode tcp\n bind 127.0.0.1:PORT\n server s 127.0.0.1:{} send-proxy-v2 check inter 200ms {check}\n",
                ringway.http
            ));
            wait_for_port(&format!("127.0.0.1:{port}"), SOON);
            thread::sleep(Duration::from_secs(1));
            assert_eq!(curl(&ringway, &[&format!("http://127.0.0.1:{port}/")]), CLIENT, "({driver})");
            assert!(!balancer.log_text().contains("DOWN"), "{check} ({driver}): {}", balancer.log_text());
        }
        assert_eq!(ringway.curl(&["--haproxy-protocol", &ringway.url("/")]), "127.0.0.1", "curl's header ({driver})");
        assert_eq!(ringway.curl(&[&ringway.url("/")]), "127.0.0.1", "no header ({driver})");
        assert!(!ringway.log().contains("PROXY header"), "({driver}): {}", ringway.log());
        // The client's own address is not trusted.
        let forged = ringway.curl(&["--interface", CLIENT, "--haproxy-protocol", &ringway.url("/")]);
        assert_eq!(forged, CLIENT, "({driver})");
    }
}

/// nginx as a stream proxy that sends PROXY headers.
fn nginx_stream(to: u16) -> (Background, TempDir, u16) {
    let (folder, port) = (tempfile::tempdir().expect("a folder for nginx"), free_port());
    let path = folder.path().display();
    let config = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off; pid {path}/pid; error_log stderr; worker_processes 1;\n\
         events {{}}\nstream {{ server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{to}; proxy_protocol on; }} }}\n"
    );
    fs::write(folder.path().join("nginx.conf"), config).expect("nginx's configuration");
    let mut command = Command::new("nginx");
    command.arg("-c").arg(folder.path().join("nginx.conf")).arg("-p").arg(folder.path());
    let process = Background::start(command, folder.path().join("log"));
    (process, folder, port)
}

fn has_nginx_stream() -> bool {
    let is_there = installed("nginx") && fs::exists("/usr/lib/nginx/modules/ngx_stream_module.so").unwrap_or(false);
    tool_or_skip("nginx with its stream module", is_there)
}

#[test]
fn nginx_stream_in_front_names_the_client() {
    if !has_nginx_stream() {
        return;
    }
    let (_server, _folder, server) = crate::nginx("return 200 \"$http_x_forwarded_for\";");
    for driver in DRIVERS {
        let ringway = web(driver, "127.0.0.1", "", &format!("http://127.0.0.1:{server}"));
        for (scheme, port) in [("http", ringway.http), ("https", ringway.https)] {
            let (_balancer, _folder, port) = nginx_stream(port);
            wait_for_port(&format!("127.0.0.1:{port}"), SOON);
            let got = curl(&ringway, &[&format!("{scheme}://127.0.0.1:{port}/")]);
            assert_eq!(got, CLIENT, "{scheme} ({driver})");
        }
    }
}

#[test]
fn haproxy_behind_learns_client_destination_and_server_name() {
    if !tool_or_skip("haproxy", installed("haproxy")) {
        return;
    }
    let (server, _folder, port) = haproxy(HAPROXY_SERVER);
    for driver in DRIVERS {
        for version in ["v1", "v2"] {
            let backend = format!(
                "proxyProtocol = \"{version}\"\n[backends.real.healthCheck]\npath = \"/\"\ninterval = \"200ms\""
            );
            let ringway = web(driver, "", &backend, &format!("http://127.0.0.1:{port}"));
            let (http, https) = (ringway.http, ringway.https);
            let got = curl(&ringway, &[&ringway.url("/")]);
            assert_eq!(got.trim_end(), format!("{CLIENT} {http}"), "{version} ({driver})");
            // Connections are not pooled: another client is another connection, also over one connection of HTTP/2.
            assert!(ringway.curl(&[&ringway.url("/")]).starts_with("127.0.0.1 "), "{version} ({driver})");
            let to = format!("a.test:{https}:127.0.0.1");
            for protocol in ["--http1.1", "--http2"] {
                let url = format!("https://a.test:{https}/");
                let got = curl(&ringway, &[protocol, "--resolve", &to, &url, &url]);
                let one =
                    if version == "v2" { format!("{CLIENT} {https} a.test") } else { format!("{CLIENT} {https} ") };
                assert_eq!(got, one.repeat(2), "{version} {protocol} ({driver})");
            }
            thread::sleep(Duration::from_millis(600));
            assert!(!ringway.log().contains("Health check failed"), "{version} ({driver}): {}", ringway.log());
        }
    }
    assert!(!server.log_text().contains("invalid"), "{}", server.log_text());
}

#[test]
fn nginx_behind_learns_the_client_over_http_and_https() {
    if !tool_or_skip("nginx", installed("nginx")) {
        return;
    }
    let certificates = tempfile::tempdir().expect("a folder");
    certificate(&certificates, "real.test");
    let path = certificates.path().display();
    let tls = format!(" ssl proxy_protocol; ssl_certificate {path}/cert.crt; ssl_certificate_key {path}/cert.key");
    let page = "return 200 \"$proxy_protocol_addr $proxy_protocol_server_port $connection_requests\\n\";";
    for (scheme, listen) in [("http", " proxy_protocol"), ("https", tls.as_str())] {
        let (server, _folder, port) = crate::nginx_on(listen, page);
        for driver in DRIVERS {
            for version in ["v1", "v2"] {
                let check = "[backends.real.healthCheck]\npath = \"/\"\ninterval = \"200ms\"";
                let backend = format!("proxyProtocol = \"{version}\"\n{check}");
                let ringway = web(driver, "", &backend, &format!("{scheme}://127.0.0.1:{port}"));
                let (url, http) = (ringway.url("/"), ringway.http);
                let got = curl(&ringway, &[&url, &url, &url]);
                // Each is the first request of its connection: none is pooled.
                assert_eq!(got, format!("{CLIENT} {http} 1\n").repeat(3), "{scheme} {version} ({driver})");
                thread::sleep(Duration::from_millis(600));
                assert!(
                    !ringway.log().contains("Health check failed"),
                    "{scheme} {version} ({driver}): {}",
                    ringway.log()
                );
            }
        }
        assert!(!server.log_text().contains("broken header"), "{scheme}: {}", server.log_text());
    }
}

#[test]
fn header_from_haproxy_goes_on_to_nginx_with_the_clients_address() {
    if !tool_or_skip("haproxy", installed("haproxy")) || !tool_or_skip("nginx", installed("nginx")) {
        return;
    }
    let (_server, _folder, server) =
        crate::nginx_on(" proxy_protocol", "return 200 \"$proxy_protocol_addr $proxy_protocol_server_port\";");
    for driver in DRIVERS {
        let ringway = web(driver, "127.0.0.1", "proxyProtocol = \"v2\"", &format!("http://127.0.0.1:{server}"));
        let (_balancer, _folder, port) = haproxy(&format!(
            "listen l\n mode tcp\n bind 127.0.0.1:PORT\n server s 127.0.0.1:{} send-proxy\n",
            ringway.http
        ));
        wait_for_port(&format!("127.0.0.1:{port}"), SOON);
        let got = curl(&ringway, &[&format!("http://127.0.0.1:{port}/")]);
        assert_eq!(got, format!("{CLIENT} {port}"), "({driver})");
    }
}

const TCP: &str = r#"
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.tcp]
address = "127.0.0.1:@https@"
@tls@
[entryPoints.tcp.proxyProtocol]
trustedIPs = ["127.0.0.1"]
[file]
[backends.page.servers.one]
url = "http://127.0.0.1:@page@"
[frontends.page]
backend = "page"
entryPoints = ["http"]
[frontends.page.routes.all]
rule = "PathPrefix:/"
[backends.tcp]
proxyProtocol = "@version@"
[backends.tcp.healthCheck]
interval = "200ms"
scheme = "@scheme@"
[backends.tcp.servers.one]
url = "tcp://127.0.0.1:@server@"
[frontends.tcp]
backend = "tcp"
entryPoints = ["tcp"]
@passthrough@
[frontends.tcp.routes.all]
rule = "HostSNI:@name@"
"#;

#[test]
fn tcp_routes_take_and_send_headers_and_servers_are_checked_with_them() {
    if !tool_or_skip("haproxy", installed("haproxy")) || !tool_or_skip("nginx", installed("nginx")) {
        return;
    }
    let certificates = tempfile::tempdir().expect("a folder");
    certificate(&certificates, "real.test");
    let tls = HAPROXY_SERVER
        .replace("accept-proxy", &format!("accept-proxy ssl crt {}/cert.pem", certificates.path().display()));
    let (_page, _page_folder, page) = crate::nginx("return 200 page;");
    let (_plain, _plain_folder, plain) = haproxy(HAPROXY_SERVER);
    let (_tls, _tls_folder, tls) = haproxy(&tls);
    for driver in DRIVERS {
        for version in ["v1", "v2"] {
            for (name, server, passthrough, scheme) in
                [("*", plain, "", ""), ("real.test", tls, "passthrough = true", "tls")]
            {
                let case = format!("{name} {version} ({driver})");
                let table = if scheme == "tls" { "[entryPoints.tcp.tls]" } else { "" };
                let setup =
                    Setup::new(driver, TCP).fill("@tls@", table).fill("@page@", page).fill("@version@", version);
                let setup = setup.fill("@server@", server).fill("@passthrough@", passthrough).fill("@name@", name);
                let top = "insecureSkipVerify = true\n";
                let setup =
                    setup.fill("@scheme@", scheme).fill("[entryPoints.http]", format!("{top}[entryPoints.http]"));
                let ringway = setup.start();
                let (_balancer, _folder, port) = haproxy(&format!(
                    "listen l\n mode tcp\n bind 127.0.0.1:PORT\n server s 127.0.0.1:{} send-proxy-v2\n",
                    ringway.https
                ));
                wait_for_port(&format!("127.0.0.1:{port}"), SOON);
                let is_tls = scheme == "tls";
                let url =
                    if is_tls { format!("https://real.test:{port}/") } else { format!("http://real.test:{port}/") };
                let got = curl(&ringway, &["--resolve", &format!("real.test:{port}:127.0.0.1"), &url]);
                let authority = if is_tls && version == "v2" { "real.test" } else { "" };
                assert_eq!(got, format!("{CLIENT} {port} {authority}"), "{case}: {}", ringway.log());
                thread::sleep(Duration::from_millis(600));
                assert!(!ringway.log().contains("Health check failed"), "{case}: {}", ringway.log());
            }
        }
    }
}

#[test]
fn check_by_connection_and_by_handshake_finds_a_server_that_is_down() {
    if !tool_or_skip("haproxy", installed("haproxy")) || !tool_or_skip("nginx", installed("nginx")) {
        return;
    }
    let (_page, _page_folder, page) = crate::nginx("return 200 page;");
    let (mut plain, _folder, port) = haproxy(HAPROXY_SERVER);
    for (scheme, wanted) in [("tls", "Health check failed: "), ("", "Health check failed: ")] {
        let setup = Setup::new(DRIVERS[0], TCP).fill("@tls@", "").fill("@page@", page).fill("@version@", "v2");
        let setup = setup.fill("@server@", port).fill("@passthrough@", "").fill("@name@", "*").fill("@scheme@", scheme);
        let ringway = setup.fill("[entryPoints.http]", "logLevel = \"WARN\"\n[entryPoints.http]").start();
        if scheme.is_empty() {
            thread::sleep(Duration::from_millis(600));
            assert!(!ringway.log().contains(wanted), "{}", ringway.log());
            plain.end();
        }
        // A server without TLS fails the handshake; one that has ended fails the connection.
        ringway.await_log(wanted, 1);
    }
}

#[test]
fn route_for_any_protocol_takes_nothing_from_untrusted_peers_and_misses_headers_of_trusted_ones() {
    if !tool_or_skip("nginx", installed("nginx")) {
        return;
    }
    let (_page, _page_folder, page) = crate::nginx("return 200 page;");
    let (_server, _folder, server) = crate::nginx_on(" proxy_protocol", "return 200 $proxy_protocol_addr;");
    for driver in DRIVERS {
        let setup = Setup::new(driver, TCP).fill("@tls@", "").fill("@page@", page).fill("@version@", "");
        let setup = setup.fill("@server@", server).fill("@passthrough@", "").fill("@name@", "*").fill("@scheme@", "");
        let ringway = setup.start();
        let _silent = TcpStream::connect(("127.0.0.1", ringway.https)).expect("the proxy accepts");
        // The header of curl is a part of the stream here: it reaches nginx, which expects one.
        let url = format!("http://127.0.0.1:{}/", ringway.https);
        assert_eq!(curl(&ringway, &["--haproxy-protocol", &url]), CLIENT, "({driver}): {}", ringway.log());
        ringway.await_log("PROXY header: the trusted peer sent none", 1);
    }
}

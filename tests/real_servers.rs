//! Real servers behind the built program, on both drivers: what their own responses look like to a client.

#[path = "support/mod.rs"]
mod support;
#[path = "real_servers/http2.rs"]
mod http2;
#[path = "real_servers/proxy_protocol.rs"]
mod proxy_protocol;

use std::fs;
use std::process::Command;

use support::ringway::{DRIVERS, Ringway, Setup};
use support::{Background, free_port, installed, tool_or_skip};

const CONFIG: &str = r#"
defaultEntryPoints = ["http"]
[entryPoints.http]
address = "127.0.0.1:@http@"
[file]
[backends.real.servers.one]
url = "http://127.0.0.1:@server@"
[frontends.real]
backend = "real"
[frontends.real.routes.all]
rule = "PathPrefix:/"
"#;

fn proxy(driver: &str, server: u16) -> Ringway {
    Setup::new(driver, CONFIG).fill("@server@", server).start()
}

/// nginx with this `location /` on a port of its own, its files in a folder of its own.
fn nginx(location: &str) -> (Background, tempfile::TempDir, u16) {
    nginx_on("", location)
}

/// As [`nginx`], with parameters of the `listen` directive. `FILES` in the location stands for the folder.
fn nginx_on(listen: &str, location: &str) -> (Background, tempfile::TempDir, u16) {
    let (folder, port) = (tempfile::tempdir().expect("a folder for nginx"), free_port());
    let path = folder.path().display();
    let location = location.replace("FILES", &path.to_string());
    let config = format!(
        "daemon off; pid {path}/pid; error_log stderr; worker_processes 1;\nevents {{}}\nhttp {{\n access_log off;\n \
         client_body_temp_path {path}/a; proxy_temp_path {path}/b; fastcgi_temp_path {path}/c; uwsgi_temp_path {path}/d; \
         scgi_temp_path {path}/e;\n server {{\n listen 127.0.0.1:{port}{listen};\n location / {{\n{location}\n}} }} }}\n"
    );
    fs::write(folder.path().join("nginx.conf"), config).expect("nginx's configuration");
    let mut command = Command::new("nginx");
    command.arg("-c").arg(folder.path().join("nginx.conf")).arg("-p").arg(folder.path());
    let server = Background::start(command, folder.path().join("log"));
    (server, folder, port)
}

#[test]
fn nginx_header_over_two_lines_reaches_the_client_as_one() {
    if !tool_or_skip("nginx", installed("nginx")) {
        return;
    }
    let location =
        "add_header Content-Security-Policy \"default-src 'self';\n    img-src *\";\n return 200 \"hello\\n\";";
    let (_server, _folder, port) = nginx(location);
    for driver in DRIVERS {
        let proxy = proxy(driver, port);
        let got = proxy.curl(&["-i", &proxy.url("/")]);
        assert!(got.starts_with("HTTP/1.1 200 "), "({driver}): {got}");
        assert!(got.contains("\r\nContent-Security-Policy: default-src 'self'; img-src *\r\n"), "({driver}): {got}");
        assert!(got.ends_with("\r\n\r\nhello\n"), "({driver}): {got}");
    }
}

#[test]
fn node_early_hints_reach_the_client_before_the_page() {
    if !tool_or_skip("node", installed("node")) {
        return;
    }
    let (folder, port) = (tempfile::tempdir().expect("a folder for node"), free_port());
    let script = format!(
        "require('http').createServer((request, response) => {{\n  \
         response.writeProcessing();\n  \
         response.writeEarlyHints({{ link: '</style.css>; rel=preload; as=style' }});\n  \
         setTimeout(() => response.end('page'), 50);\n}}).listen({port}, '127.0.0.1');\n"
    );
    fs::write(folder.path().join("hints.js"), script).expect("a script for node");
    let mut command = Command::new("node");
    command.arg(folder.path().join("hints.js"));
    let _server = Background::start(command, folder.path().join("log"));
    for driver in DRIVERS {
        let proxy = proxy(driver, port);
        let got = proxy.curl(&["-i", &proxy.url("/")]);
        let heads: Vec<&str> = got.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect();
        assert_eq!(
            heads,
            ["HTTP/1.1 102 Processing", "HTTP/1.1 103 Early Hints", "HTTP/1.1 200 OK"],
            "({driver}): {got}"
        );
        assert!(got.contains("\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n"), "({driver}): {got}");
        assert!(got.ends_with("\r\n\r\npage"), "({driver}): {got}");
        let old = proxy.curl(&["-0", "-i", &proxy.url("/")]);
        assert!(old.starts_with("HTTP/1.0 200 ") && old.ends_with("page"), "HTTP/1.0 ({driver}): {old}");
    }
}

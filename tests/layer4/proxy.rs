//! The proxy under test: an entry point with TLS, some without, and TCP routes on them.

use std::path::Path;
use std::time::Duration;

use crate::support::ringway::{Ringway, Setup};
use crate::support::{free_port, stdout_of, wait_for};

const CONFIG: &str = r#"
logLevel = "INFO"
defaultEntryPoints = ["https"]
@top@
[tcp]
idleTimeout = "@idle@"
[accessLog]
filePath = "@dir@/access.log"
format = "json"
[api]
entryPoint = "api"
[metrics.prometheus]
entryPoint = "api"
[entryPoints.api]
address = "127.0.0.1:@api@"
[entryPoints.https]
address = "127.0.0.1:@https@"
[entryPoints.https.tls]
[[entryPoints.https.tls.certificates]]
certFile = "@dir@/one.pem"
keyFile = "@dir@/one.key"
@plain_entries@
[file]
filename = "@dir@/routes.toml"
watch = true
"#;

/// A route of the entry point with TLS: the frontend's name, its rule, more keys of it, and the URL of its server.
pub type NamedRoute<'a> = (&'a str, &'a str, &'a str, &'a str);

pub struct Proxy {
    pub process: Ringway,
    /// The ports of the entry points without TLS, in the order of their servers.
    pub plain: Vec<u16>,
}

/// Keys of the static configuration.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    pub top: &'a str,
    pub idle: &'a str,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { top: "", idle: "10m" }
    }
}

/// A key and a certificate that is its own authority, for all names below `test`.
pub fn certificate(folder: &Path) {
    let (key, pem) = (folder.join("one.key"), folder.join("one.pem"));
    let words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"];
    let names =
        ["a.test", "db.test", "raw.test", "redis.test", "page.test", "other.test"].map(|name| format!("DNS:{name}"));
    let names = format!("subjectAltName={},IP:127.0.0.1", names.join(","));
    let files = ["-keyout", &key.to_string_lossy(), "-out", &pem.to_string_lossy()].map(str::to_owned);
    let rest = ["-subj", "/CN=a.test", "-addext", &names, "-addext", "basicConstraints=critical,CA:FALSE"];
    stdout_of("openssl", &[&words[..], &files.each_ref().map(String::as_str), &rest].concat());
}

/// The frontends and backends of routes by name, and of `HostSNI:*` on the entry points `plain0`, `plain1` and so on.
pub fn routes(named: &[NamedRoute<'_>], plain: &[&str]) -> String {
    let mut text = String::new();
    for (name, rule, keys, server) in named {
        text += &format!("[backends.{name}.servers.a]\nurl = \"{server}\"\n[frontends.{name}]\nbackend = \"{name}\"\n");
        text += &format!("entryPoints = [\"https\"]\n{keys}\n[frontends.{name}.routes.r]\nrule = \"{rule}\"\n");
    }
    for (number, server) in plain.iter().enumerate() {
        text += &format!("[backends.plain{number}.servers.a]\nurl = \"{server}\"\n[frontends.plain{number}]\n");
        text += &format!("backend = \"plain{number}\"\nentryPoints = [\"plain{number}\"]\n");
        text += &format!("[frontends.plain{number}.routes.r]\nrule = \"HostSNI:*\"\n");
    }
    text
}

impl Proxy {
    pub fn start(driver: &str, named: &[NamedRoute<'_>], plain: &[&str]) -> Proxy {
        Proxy::with(driver, Options::default(), plain.len(), &routes(named, plain))
    }

    /// Starts the proxy with `entries` entry points without TLS and these routes.
    pub fn with(driver: &str, options: Options<'_>, entries: usize, routes: &str) -> Proxy {
        let plain: Vec<u16> = (0..entries).map(|_| free_port()).collect();
        let entry = |(number, port)| format!("[entryPoints.plain{number}]\naddress = \"127.0.0.1:{port}\"\n");
        let plain_entries: String = plain.iter().enumerate().map(entry).collect();
        let setup = Setup::new(driver, CONFIG).fill("@top@", options.top).fill("@idle@", options.idle);
        let setup = setup.fill("@plain_entries@", plain_entries).file("routes.toml", routes);
        certificate(setup.folder.path());
        let proxy = Proxy { process: setup.spawn(), plain };
        proxy.process.await_log("Server configuration reloaded", 1);
        proxy.process.await_port(proxy.https());
        proxy
    }

    pub fn https(&self) -> u16 {
        self.process.https
    }

    pub fn folder(&self) -> &Path {
        self.process.folder.path()
    }

    /// Replaces the routes, and waits until the `count`th configuration is in use.
    pub fn replace_routes(&self, routes: &str, count: usize) {
        let new = self.process.file("routes.new");
        std::fs::write(&new, routes).expect("a file");
        std::fs::rename(new, self.process.file("routes.toml")).expect("replaced");
        self.process.await_log("Server configuration reloaded", count);
    }

    /// The lines of the access log, once there are this many.
    pub fn access_log(&self, count: usize) -> Vec<String> {
        wait_for(&format!("{count} lines in the access log"), Duration::from_secs(20), || {
            let text = std::fs::read_to_string(self.process.file("access.log")).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if lines.len() >= count { Ok(lines) } else { Err(format!("{} lines: {text}", lines.len())) }
        })
    }

    /// The value of a counter.
    pub fn metric(&self, name: &str) -> u64 {
        let page = self.process.page("/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in {page}")).parse().expect("a number")
    }

    /// Waits until the backend has no open connection.
    pub fn await_idle(&self, backend: &str) {
        wait_for("no open TCP connection", Duration::from_secs(20), || {
            match self.metric(&format!("ringway_tcp_connections_open{{backend=\"{backend}\"}}")) {
                0 => Ok(()),
                open => Err(format!("{open} open")),
            }
        });
    }
}

//! The proxy under test, with a plain and a TLS entry point in front of one server, and the cases of a script run against it.

use std::path::Path;
use std::time::Duration;

use crate::peers::{Peer, certificate};
use crate::support::ringway::{Ringway, Setup};
use crate::support::wait_for;
use crate::tools::{output_of, script};

const CONFIG: &str = r#"
logLevel = "INFO"
defaultEntryPoints = ["http", "https"]
rootCAs = ["@trusted@"]
@top@
[accessLog]
filePath = "@dir@/access.log"
format = "json"
[entryPoints.http]
address = "127.0.0.1:@http@"
@entry@
[entryPoints.https]
address = "127.0.0.1:@https@"
@entry@
[entryPoints.https.tls]
[[entryPoints.https.tls.certificates]]
certFile = "@dir@/one.pem"
keyFile = "@dir@/one.key"
@tables@
[file]
[backends.one.servers.a]
url = "@server@"
@backend@
[frontends.all]
backend = "one"
passHostHeader = true
[frontends.all.routes.r]
rule = "PathPrefix:/"
"#;
const START_SECS_MAX: u64 = 60;

/// Additions to the usual configuration.
#[derive(Default, Clone, Copy)]
pub struct Options {
    /// Keys at the top of the file.
    pub top: &'static str,
    /// Keys of both entry points.
    pub entry: &'static str,
    /// Tables after those of the entry points.
    pub tables: &'static str,
    /// Tables of the backend.
    pub backend: &'static str,
}

/// The entry point that a client uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry {
    /// HTTP/2 by prior knowledge.
    Plain,
    /// HTTP/2 by ALPN.
    Tls,
}

pub const ENTRIES: [Entry; 2] = [Entry::Plain, Entry::Tls];

pub struct Proxy {
    pub process: Ringway,
}

impl Proxy {
    pub fn start(driver: &str, server: &Peer) -> Proxy {
        Proxy::with(driver, server, Options::default())
    }

    pub fn with(driver: &str, server: &Peer, options: Options) -> Proxy {
        Proxy::spawn(driver, &server.url, &server.folder().join("one.pem"), options)
    }

    /// A proxy in front of a server that is no [`Peer`].
    pub fn to(driver: &str, url: &str) -> Proxy {
        Proxy::spawn(driver, url, Path::new(""), Options::default())
    }

    /// Starts the proxy, which trusts the server's certificate if that file exists.
    fn spawn(driver: &str, url: &str, trusted: &Path, options: Options) -> Proxy {
        let setup = Setup::new(driver, CONFIG).fill("@top@", options.top).fill("@tables@", options.tables);
        let setup = setup.fill("@entry@", options.entry).fill("@backend@", options.backend).fill("@server@", url);
        certificate(setup.folder.path());
        let own = setup.folder.path().join("one.pem");
        let setup = setup.fill("@trusted@", if trusted.is_file() { trusted } else { &own }.display());
        let proxy = Proxy { process: setup.spawn() };
        proxy.await_routes();
        proxy
    }

    /// Waits until there is a route: then the server responds, or the proxy in its place, but with no 404.
    pub fn await_routes(&self) {
        wait_for("the proxy has routes", Duration::from_secs(START_SECS_MAX), || {
            let url = self.process.url("/");
            let status = self.process.curl(&["--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", &url]);
            let is_served = !["000", "404", ""].contains(&status.as_str());
            if is_served { Ok(()) } else { Err(format!("{status}: {}", self.process.log())) }
        });
    }

    pub fn port(&self, entry: Entry) -> u16 {
        match entry {
            Entry::Plain => self.process.http,
            Entry::Tls => self.process.https,
        }
    }

    /// The path of the certificate that clients trust.
    pub fn ca(&self) -> String {
        self.process.file("one.pem").to_string_lossy().into_owned()
    }

    /// curl at an entry point, with the host name of the certificate; what it prints.
    pub fn curl(&self, entry: Entry, path: &str, arguments: &[&str]) -> String {
        let port = self.port(entry);
        let scheme = if entry == Entry::Plain { "http" } else { "https" };
        let (resolve, ca) = (format!("a.test:{port}:127.0.0.1"), self.ca());
        let url = format!("{scheme}://a.test:{port}{path}");
        self.process.curl(&[&["--cacert", &ca, "--resolve", &resolve, &url], arguments].concat())
    }

    /// Runs cases of a client script and fails with its output if one of them fails.
    pub fn run_cases(&self, name: &str, entry: Entry, more: &[&str], cases: &[&str]) {
        let mut command = script(name);
        command.args(["--port", &self.port(entry).to_string()]).args(more);
        if entry == Entry::Tls {
            command.args(["--ca", &self.ca()]);
        }
        let (output, text) = output_of(command.args(cases));
        assert!(output.status.success(), "{name} over {entry:?}:\n{text}\nthe proxy:\n{}", self.process.log());
        for case in cases {
            assert!(text.contains(&format!("passed: {case}\n")), "{case} did not run: {text}");
        }
    }

    /// The lines of the access log, once there are this many.
    pub fn access_log(&self, count: usize) -> Vec<String> {
        wait_for(&format!("{count} lines in the access log"), Duration::from_secs(20), || {
            let text = std::fs::read_to_string(self.process.file("access.log")).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if lines.len() >= count { Ok(lines) } else { Err(format!("{} lines", lines.len())) }
        })
    }
}

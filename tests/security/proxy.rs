//! The built program in front of a scripted origin server.

use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::{Answer, Client};
use crate::origin::{Origin, Script};
use crate::support::ringway::{Ringway, Setup};
use crate::support::wait_for;

const CONFIG: &str = r#"
logLevel = "INFO"
workers = 1
defaultEntryPoints = ["http", "https"]
providersThrottleDuration = "50ms"
@top@
[entryPoints.http]
address = "127.0.0.1:@http@"
@entry@
[entryPoints.https]
address = "127.0.0.1:@https@"
@tls_entry@
[entryPoints.https.tls]
[file]
filename = "@dir@/routes.toml"
watch = true
@tables@
"#;
const ROUTES: &str = "routes.toml";
const START_SECS_MAX: u64 = 15;

pub struct Proxy {
    pub process: Ringway,
    pub port: u16,
    pub tls_port: u16,
    pub origin: Origin,
}

/// Additions to the usual configuration.
#[derive(Default, Clone)]
pub struct Options {
    /// Lines at the top of the file.
    pub top: String,
    /// Lines of `[entryPoints.http]`, sub-tables included.
    pub entry: String,
    /// Lines of `[entryPoints.https]`.
    pub tls_entry: String,
    /// Lines of `[frontends.main]`, sub-tables included.
    pub frontend: String,
    /// Tables at the end of the file.
    pub tables: String,
    /// `ulimit -n`.
    pub open_files: Option<u32>,
    /// URLs of more servers of the backend.
    pub servers: Vec<String>,
}

impl Proxy {
    pub fn start(driver: &str) -> Proxy {
        Proxy::with(driver, &Options::default())
    }

    /// Starts the program with one worker: one worker has one connection pool, so that it is determined which connection is reused.
    pub fn with(driver: &str, options: &Options) -> Proxy {
        let origin = Origin::start();
        let setup = Setup::new(driver, CONFIG).fill("@top@", &options.top).fill("@entry@", &options.entry);
        let setup = setup.fill("@tls_entry@", &options.tls_entry);
        let limit = options.open_files.map_or(String::new(), |n| format!("ulimit -n {n}; "));
        let setup = setup.under(&["sh", "-c", &format!("{limit}exec \"$0\" \"$@\"")]);
        let process = setup.fill("@tables@", &options.tables).file(ROUTES, routes(origin.port, options)).spawn();
        let proxy = Proxy { port: process.http, tls_port: process.https, process, origin };
        proxy.await_routes();
        proxy
    }

    /// Waits until the routes are in force, then clears the records of the requests that this took.
    pub fn await_routes(&self) {
        wait_for("the proxy serves", Duration::from_secs(START_SECS_MAX), || {
            TcpStream::connect(("127.0.0.1", self.port)).map_err(|e| e.to_string())?;
            let answer = self.get("/ready");
            if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}; log: {}", self.process.log())) }
        });
        self.origin.set_script(Script::default());
    }

    pub fn client(&self) -> Client {
        Client::to(self.port)
    }

    /// A plain request on a connection of its own.
    pub fn get(&self, path: &str) -> Answer {
        self.client().send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).answer()
    }

    pub fn routes_file(&self) -> PathBuf {
        self.process.file(ROUTES)
    }
}

pub fn routes(origin: u16, options: &Options) -> String {
    let more: String = options
        .servers
        .iter()
        .enumerate()
        .map(|(n, url)| format!("[backends.main.servers.more{n}]\nurl = \"{url}\"\n"))
        .collect();
    format!(
        "[backends.main.servers.one]\nurl = \"http://127.0.0.1:{origin}\"\n{more}\
         [frontends.main]\nbackend = \"main\"\npassHostHeader = true\n{}\n[frontends.main.routes.all]\nrule = \"PathPrefix:/\"\n",
        options.frontend
    )
}

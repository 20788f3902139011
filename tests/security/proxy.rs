//! The real binary in front of a scripted origin.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::client::{Answer, Client};
use crate::origin::{Origin, Script};
use crate::support::{free_port, wait_for};

const START_SECS_MAX: u64 = 15;

pub struct Proxy {
    child: Child,
    pub port: u16,
    pub tls_port: u16,
    pub origin: Origin,
    pub folder: tempfile::TempDir,
}

/// What a test wants beside the usual configuration.
#[derive(Default, Clone)]
pub struct Options {
    /// Lines at the top of the file.
    pub top: String,
    /// Lines of `[entryPoints.http]`, sub-tables included.
    pub entry: String,
    /// Lines of `[frontends.main]`, sub-tables included.
    pub frontend: String,
    /// Tables of their own at the end of the file.
    pub tables: String,
    /// `ulimit -n`.
    pub open_files: Option<u32>,
    /// More servers of the backend, by URL.
    pub servers: Vec<String>,
}

impl Proxy {
    pub fn start(driver: &str) -> Proxy {
        Proxy::with(driver, &Options::default())
    }

    /// One worker: it has one pool, so which connection is reused is no accident.
    pub fn with(driver: &str, options: &Options) -> Proxy {
        let folder = tempfile::tempdir().expect("a folder for the proxy");
        let origin = Origin::start();
        let (port, tls_port) = (free_port(), free_port());
        fs::write(folder.path().join("ringway.toml"), fixed(port, tls_port, folder.path(), options)).expect("the file");
        fs::write(folder.path().join("routes.toml"), routes(origin.port, options)).expect("the routes");
        let child = launch(&folder.path().join("ringway.toml"), driver, options.open_files);
        let proxy = Proxy { child, port, tls_port, origin, folder };
        proxy.await_routes();
        proxy
    }

    /// Waits until the routes are there, then forgets the requests that this took.
    pub fn await_routes(&self) {
        wait_for("the proxy serves", Duration::from_secs(START_SECS_MAX), || {
            TcpStream::connect(("127.0.0.1", self.port)).map_err(|e| e.to_string())?;
            let answer = self.get("/ready");
            if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}; log: {}", self.log())) }
        });
        self.origin.plays(Script::default());
    }

    pub fn client(&self) -> Client {
        Client::to(self.port)
    }

    /// A plain request on a connection of its own.
    pub fn get(&self, path: &str) -> Answer {
        self.client().send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).answer()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("ringway.log")).unwrap_or_default()
    }

    pub fn routes_file(&self) -> PathBuf {
        self.folder.path().join("routes.toml")
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Ends the process without notice and starts it again on the same ports.
    pub fn restart(&mut self, driver: &str) {
        self.child.kill().expect("the proxy was running");
        let _ = self.child.wait();
        self.child = launch(&self.folder.path().join("ringway.toml"), driver, None);
    }

    /// A line of /proc/PID/status in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// CPU time used so far.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let fields: Vec<u64> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().filter_map(|n| n.parse().ok()).collect();
        // utime and stime; the letter of the state is no number, so both move up by one.
        Duration::from_millis((fields.get(10).unwrap_or(&0) + fields.get(11).unwrap_or(&0)) * 10)
    }

    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the proxy's log:\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(file: &std::path::Path, driver: &str, open_files: Option<u32>) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(file.with_extension("log")).expect("a log");
    let errors = log.try_clone().expect("the log twice");
    let limit = open_files.map_or(String::new(), |n| format!("ulimit -n {n}; "));
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limit}exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_ringway")]);
    command.arg(format!("--configFile={}", file.display())).arg(format!("--driver={driver}"));
    command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().expect("the proxy starts")
}

fn fixed(port: u16, tls_port: u16, folder: &std::path::Path, options: &Options) -> String {
    format!(
        "logLevel = \"INFO\"\nworkers = 1\ndefaultEntryPoints = [\"http\", \"https\"]\nprovidersThrottleDuration = \"50ms\"\n{}\n\
         [entryPoints.http]\naddress = \"127.0.0.1:{port}\"\n{}\n\
         [entryPoints.https]\naddress = \"127.0.0.1:{tls_port}\"\n[entryPoints.https.tls]\n\
         [file]\nfilename = \"{}\"\nwatch = true\n{}\n",
        options.top,
        options.entry,
        folder.join("routes.toml").display(),
        options.tables,
    )
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

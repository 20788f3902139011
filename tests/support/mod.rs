//! Shared by the live tests: processes that end with their test, a Docker Engine, an ACME server, the example backend.
//!
//! A missing tool never passes silently: [`docker_or_skip`] and [`pebble_or_skip`] print that the test is skipped, and
//! fail when `RINGWAY_REQUIRE_DOCKER=1` or `RINGWAY_REQUIRE_PEBBLE=1` is set, as `scripts/test.sh` does.
#![allow(dead_code, reason = "every test binary uses its own part of this module")]

pub mod acme;
pub mod containers;
pub mod docker;
pub mod compile_context;
pub mod http;
pub mod http2_client;
pub mod load;
pub mod origin;
pub mod podman;
mod ports;
pub mod ringway;
pub mod socket_filter;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

pub use ports::free_port;

/// Runs a program to its end. Panics when it cannot be started; the caller checks the exit status.
pub fn run(program: &str, arguments: &[&str]) -> Output {
    let result = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    result.unwrap_or_else(|error| panic!("{program} could not be started: {error}"))
}

/// Runs a program that must succeed and returns its standard output, without the last line end.
pub fn stdout_of(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {} failed ({}): {errors}", arguments.join(" "), output.status);
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Calls `check` every 100 ms until it returns a value. Panics with `what` and the last reason once `limit` has elapsed.
pub fn wait_for<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + limit;
    loop {
        match check() {
            Ok(value) => return value,
            Err(reason) if Instant::now() > end => panic!("after {limit:?} still not: {what}; last: {reason}"),
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Waits until a server accepts connections on `address`.
pub fn wait_for_port(address: &str, limit: Duration) {
    wait_for(&format!("something listens on {address}"), limit, || {
        TcpStream::connect(address).map(drop).map_err(|error| error.to_string())
    });
}

/// A name for containers, networks and images that no other run of the tests has. It contains `RINGWAY_RUN`, so that a script
/// can clean up after a test that was killed.
pub fn unique(prefix: &str) -> String {
    let nanos = std::time::UNIX_EPOCH.elapsed().map(|age| age.subsec_nanos()).unwrap_or_default();
    let run = std::env::var("RINGWAY_RUN").map(|run| format!("-{run}")).unwrap_or_default();
    format!("{prefix}{run}-{}-{:x}", std::process::id(), nanos)
}

/// The project's folder.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds the whoami example as a static program in the folder; returns its path.
pub fn whoami_program(folder: &Path) -> String {
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let (program, source) = (folder.join("whoami"), project().join("examples/whoami.rs"));
    let (program, source) = (program.to_string_lossy().into_owned(), source.to_string_lossy().into_owned());
    let flags = ["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols"];
    stdout_of(&compiler, &[&flags[..], &["-o", &program, &source]].concat());
    program
}

/// A background process with its output in a file, ended (by its own id) when the value is dropped.
pub struct Background {
    child: Child,
    pub log: PathBuf,
}

impl Background {
    pub fn start(mut command: Command, log: PathBuf) -> Self {
        let file = fs::File::create(&log).expect("a log file for a background process");
        let errors = file.try_clone().expect("a second handle of the log file");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        Background { child: child.unwrap_or_else(|error| panic!("{command:?} could not be started: {error}")), log }
    }

    pub fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the process has ended.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Kills the process.
    pub fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- {}:\n{}", self.log.display(), self.log_text());
        }
        self.end();
    }
}

fn required(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| value == "1")
}

/// Whether a Docker Engine responds. Without one the skip is printed, or the test fails if the engine is required.
pub fn docker_or_skip() -> bool {
    let answered = Command::new("docker").arg("version").stdin(Stdio::null()).output();
    if answered.is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(!required("RINGWAY_REQUIRE_DOCKER"), "no Docker Engine answers: scripts/engine.sh starts one");
    eprintln!("skipped: no Docker Engine answers (scripts/engine.sh starts one)");
    false
}

/// Whether a test that needs `tool` can run. Without the tool the skip is printed, or the test fails if the tools are required.
pub fn tool_or_skip(tool: &str, is_there: bool) -> bool {
    if !is_there {
        assert!(!required("RINGWAY_REQUIRE_TOOLS"), "{tool} is missing: scripts/test.sh installs it, as root");
        println!("skipped: {tool} is missing");
    }
    is_there
}

/// Whether pebble and its test DNS server are installed. Without them the skip is printed, or the test fails if required.
pub fn pebble_or_skip() -> bool {
    if ["pebble", "pebble-challtestsrv", "openssl", "curl"].into_iter().all(installed) {
        return true;
    }
    assert!(!required("RINGWAY_REQUIRE_PEBBLE"), "pebble is not installed: scripts/packages.sh pebble openssl curl");
    eprintln!("skipped: pebble is not installed (scripts/packages.sh pebble openssl curl)");
    false
}

/// Whether a program of this name is on the PATH.
pub fn installed(name: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(name).is_file())
}

//! The built program with its own files and ports: configure, start, query, signal, and kill it at the end of the test.

use std::fmt::Display;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use super::{Background, free_port, run, stdout_of, wait_for};

/// Both drivers, which are tested alike: a container's seccomp profile may deny io_uring.
pub const DRIVERS: [&str; 2] = ["io_uring", "epoll"];

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringway");
const FILE: &str = "ringway.toml";
/// Longer than any start or hand-over takes on a loaded machine.
const START_SECS_MAX: u64 = 60;

/// The preparation of a process.
pub struct Setup {
    pub folder: tempfile::TempDir,
    pub http: u16,
    pub https: u16,
    pub api: u16,
    /// The built program, unless the test uses a copy.
    pub program: String,
    driver: String,
    config: String,
    wrapper: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// Prepares a process. In the configuration `@http@`, `@https@`, `@api@` and `@dir@` stand for free ports and the folder.
    pub fn new(driver: &str, config: &str) -> Setup {
        Setup {
            folder: tempfile::tempdir().expect("a folder for the proxy"),
            http: free_port(),
            https: free_port(),
            api: free_port(),
            program: PROGRAM.to_owned(),
            driver: driver.to_owned(),
            config: config.to_owned(),
            wrapper: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Replaces a placeholder of the configuration.
    pub fn fill(mut self, word: &str, value: impl Display) -> Setup {
        self.config = self.config.replace(word, &value.to_string());
        self
    }

    /// Writes a file beside the configuration.
    pub fn file(self, name: &str, text: impl AsRef<[u8]>) -> Setup {
        fs::write(self.folder.path().join(name), text).expect("a file for the proxy");
        self
    }

    /// Starts the program through this command, to which program and arguments are appended.
    pub fn under(mut self, wrapper: &[&str]) -> Setup {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    pub fn env(mut self, name: &str, value: impl Display) -> Setup {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    /// Starts the process and returns once `/` gets a 200.
    pub fn start(self) -> Ringway {
        let ringway = self.spawn();
        ringway.await_status("a.test", "200");
        ringway
    }

    /// Starts the process without waiting for anything.
    pub fn spawn(self) -> Ringway {
        let (http, https, api) = (self.http, self.https, self.api);
        let folder = self.folder.path().display().to_string();
        let config = self.config.replace("@http@", &http.to_string()).replace("@https@", &https.to_string());
        let config = config.replace("@api@", &api.to_string()).replace("@dir@", &folder);
        let file = self.folder.path().join(FILE);
        fs::write(&file, config).expect("the configuration");
        let mut words = self.wrapper.clone();
        words.extend([self.program, format!("--configFile={}", file.display()), format!("--driver={}", self.driver)]);
        let launch = Launch { words, environment: self.environment };
        let process = launch.start(&self.folder);
        Ringway { process, launch, folder: self.folder, http, https, api }
    }
}

/// How the process was started, for starting it again.
struct Launch {
    words: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Launch {
    /// Starts the process in its own folder, where a core dump would be written.
    fn start(&self, folder: &tempfile::TempDir) -> Background {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).envs(self.environment.iter().cloned()).current_dir(folder.path());
        Background::start(command, folder.path().join("log"))
    }
}

/// A running process with its files.
pub struct Ringway {
    // Declared first: the process ends before its folder is removed.
    process: Background,
    launch: Launch,
    pub folder: tempfile::TempDir,
    pub http: u16,
    pub https: u16,
    pub api: u16,
}

impl Ringway {
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config_file(&self) -> PathBuf {
        self.file(FILE)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    /// curl's standard output; empty when curl fails.
    pub fn curl(&self, arguments: &[&str]) -> String {
        let output = run("curl", &[&["-s", "--max-time", "20"], arguments].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A page of the entry point on the port `api`.
    pub fn page(&self, path: &str) -> String {
        self.curl(&[&format!("http://127.0.0.1:{}{path}", self.api)])
    }

    /// Waits until the host's `/` gets this status.
    pub fn await_status(&self, host: &str, wanted: &str) {
        let (host, url) = (format!("Host: {host}"), self.url("/"));
        wait_for(&format!("{wanted} for {host}"), Duration::from_secs(START_SECS_MAX), || {
            let got = self.curl(&["--max-time", "2", "-o", "/dev/null", "-w", "%{http_code}", "-H", &host, &url]);
            if got == wanted { Ok(()) } else { Err(format!("{got}: {}", self.log())) }
        });
    }

    /// Waits until the log contains this text this many times.
    pub fn await_log(&self, text: &str, times: usize) {
        wait_for(&format!("{text:?} in the log"), Duration::from_secs(START_SECS_MAX), || {
            if self.log().matches(text).count() >= times { Ok(()) } else { Err(self.log()) }
        });
    }

    /// The process that took over last, once `count` processes have taken over.
    pub fn successor(&self, count: usize) -> Successor {
        self.await_log("has taken over", count);
        let log = self.log();
        let before = log.split(" has taken over").nth(count - 1).unwrap_or_default();
        Successor(before.rsplit(' ').next().expect("its id").to_owned())
    }

    /// Waits until the process accepts connections on one of its ports.
    pub fn await_port(&self, port: u16) {
        wait_for("the process accepts connections", Duration::from_secs(START_SECS_MAX), || {
            TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|e| format!("{e}: {}", self.log()))
        });
    }

    pub fn log(&self) -> String {
        self.process.log_text()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, name: &str) {
        stdout_of("kill", &[&format!("-{name}"), &self.pid().to_string()]);
    }

    /// Waits until the process has ended by itself.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        wait_for("the process ends", limit, || self.process.status().ok_or_else(|| self.process.log_text()))
    }

    /// Kills the process, if it still runs, and starts it again with the same files and ports.
    pub fn restart(&mut self) {
        self.process.end();
        self.process = self.launch.start(&self.folder);
    }

    /// The resident memory.
    pub fn resident_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// The peak of the resident memory.
    pub fn peak_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    fn memory_kib(&self, field: &str) -> u64 {
        let status = self.of_kernel("status");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field of memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// CPU time used so far.
    pub fn cpu(&self) -> Duration {
        let stat = self.of_kernel("stat");
        let fields: Vec<u64> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().filter_map(|n| n.parse().ok()).collect();
        // utime and stime; the state is a letter and not among the numbers, so both indices are one lower.
        Duration::from_millis((fields[10] + fields[11]) * 10)
    }

    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("its descriptors (the test runs as root)").count()
    }

    fn of_kernel(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.pid())).expect("a running process")
    }
}

/// A process that was started by the proxy under test: not a child of the test, and killed by its PID when dropped.
pub struct Successor(String);

impl Successor {
    pub fn signal(&self, name: &str) {
        stdout_of("kill", &[&format!("-{name}"), &self.0]);
    }

    /// Waits until the process has ended by itself.
    pub fn wait(self) {
        let own = format!("/proc/{}/stat", self.0);
        wait_for("the successor has ended", Duration::from_secs(15), || match fs::read_to_string(&own) {
            Ok(stat) if !stat.contains(") Z ") => Err(stat),
            _ => Ok(()),
        });
        std::mem::forget(self);
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        run("kill", &["-KILL", &self.0]);
    }
}

/// Runs the program to its end: `check`, `version`, or a start that fails.
pub fn ringway(arguments: &[&str]) -> Output {
    run(PROGRAM, arguments)
}

/// Runs the program with a configuration; returns its exit code and its output.
pub fn run_with_config(arguments: &[&str], config: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(FILE);
    fs::write(&file, config).expect("written");
    let output = ringway(&[arguments, &[&format!("--configFile={}", file.display())]].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

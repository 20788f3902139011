//! An input: files, arguments, certificates to make and containers of an Engine, written into a folder of its own.
//!
//! A line `### NAME` begins a file. Some names are no files: `args` has further arguments, `make` certificates, `container NAME` a
//! container, `own` the host name of the proxy's own container. `@dir@` stands for the folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::engine::{Container, Engine};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringway");
/// Runs a program in a network of its own, where every port is free, and under the host name `$OWN`, if there is one.
const ISOLATED: &str =
    "ip link set lo up; if [ -n \"$OWN\" ]; then echo \"$OWN\" > /proc/sys/kernel/hostname; fi; exec \"$@\"";

pub struct Case {
    pub folder: tempfile::TempDir,
    arguments: Vec<String>,
    own: String,
    _engine: Option<Engine>,
}

/// The folder of the inputs.
pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/golden")
}

/// All inputs, in the order of their names.
pub fn names() -> Vec<String> {
    let files = fs::read_dir(golden()).expect("the inputs").map(|file| file.expect("readable").path());
    let inputs = files.filter(|file| file.extension().is_some_and(|extension| extension == "in"));
    let mut names: Vec<String> =
        inputs.map(|file| file.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

impl Case {
    /// Writes the files of an input and starts its Engine.
    pub fn prepare(name: &str) -> Case {
        let folder = tempfile::tempdir().expect("a folder");
        let input = fs::read_to_string(golden().join(format!("{name}.in"))).expect("an input");
        let (mut arguments, mut own, mut containers, mut has_file) = (Vec::new(), String::new(), Vec::new(), false);
        for section in input.split("### ").filter(|section| !section.is_empty()) {
            let (title, body) = section.split_once('\n').expect("a title and a body");
            let body = body.replace("@dir@", &folder.path().display().to_string());
            match title.split_once(' ').unwrap_or((title, "")) {
                ("args", _) => arguments.extend(body.lines().map(str::to_owned)),
                ("make", _) => body.lines().for_each(|line| crate::documents::make_certificate(folder.path(), line)),
                ("own", _) => own = body.trim().to_owned(),
                ("container", name) => containers.push(Container::parse(name, &body)),
                (file, _) => {
                    has_file |= file == "traefik.toml";
                    let path = folder.path().join(file);
                    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                    fs::write(path, body).expect("written");
                }
            }
        }
        if has_file {
            arguments.insert(0, "--configFile=traefik.toml".to_owned());
        }
        let engine = arguments.iter().any(|argument| argument == "--docker");
        let engine = engine.then(|| Engine::start(&folder.path().join("engine.sock"), &containers));
        Case { folder, arguments, own, _engine: engine }
    }

    /// Runs `ringway check` with further arguments.
    pub fn check(&self, more: &[&str]) -> Output {
        let mut command = self.command(&["check"]);
        command.args(&self.arguments).args(more).stdin(Stdio::null()).output().expect("the program runs")
    }

    /// Starts the proxy with a log in JSON, at a level that shows everything unless the input is about the level.
    pub fn start(&self) -> crate::base::Background {
        let mut command = self.command(&[]);
        command.args(self.arguments.iter().filter(|argument| !["--strict", "--docker"].contains(&argument.as_str())));
        let main = fs::read_to_string(self.folder.path().join("traefik.toml")).unwrap_or_default();
        let sets_level = main.contains("logLevel") || self.arguments.iter().any(|given| given.contains("logLevel"));
        command.args(Some("--logLevel=DEBUG").filter(|_| !sets_level)).arg("--traefikLog.format=json");
        crate::base::Background::start(command, self.folder.path().join("log"))
    }

    fn command(&self, first: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--net", "--uts", "sh", "-c", ISOLATED, "sh", PROGRAM]).args(first);
        command.current_dir(self.folder.path()).env("OWN", &self.own);
        for variable in ["LEGO_CA_CERTIFICATES", "LEGO_EAB_KID", "LEGO_EAB_HMAC", "TRAEFIK_CONFIGFILE"] {
            command.env_remove(variable);
        }
        command
    }

    /// The text with the parts replaced that differ from run to run.
    pub fn stable(&self, text: &str) -> String {
        let text = text.replace(&self.folder.path().display().to_string(), "@dir@");
        let days = regex::Regex::new(r"expired \d+ days ago").expect("an expression");
        days.replace_all(&text, "expired N days ago").into_owned()
    }
}

/// Whether this machine can run the inputs. Without root there is no network of its own to run them in.
pub fn can_isolate() -> bool {
    let works = Command::new("unshare").args(["--net", "--uts", "true"]).output();
    if works.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let is_required = std::env::var("RINGWAY_REQUIRE_TOOLS").is_ok_and(|value| value == "1");
    assert!(!is_required, "unshare --net --uts does not work: run the tests as root");
    println!("skipped: unshare --net --uts does not work here");
    false
}

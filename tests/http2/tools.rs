//! Where the tools are that `scripts/http2-tools.sh` installs, and the scripts in `python` that run with them.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::support::{project, tool_or_skip};

/// The folder of `scripts/http2-tools.sh`, which has the same default.
fn folder() -> PathBuf {
    let cache = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    std::env::var_os("RINGWAY_TOOLS").map_or_else(|| cache().unwrap_or_else(home).join("ringway-tools"), PathBuf::from)
}

/// The suite of crates.io.
pub fn httpwg() -> PathBuf {
    folder().join("bin/httpwg")
}

fn python() -> PathBuf {
    folder().join("python/bin/python3")
}

/// Whether the Python with the packages of `python/requirements.txt` is there.
pub fn python_or_skip() -> bool {
    tool_or_skip("the Python of scripts/http2-tools.sh", python().is_file())
}

/// A script of the folder `python`, ready to be started.
pub fn script(name: &str) -> Command {
    let mut command = Command::new(python());
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg("-u").arg(project().join("tests/http2/python").join(name));
    command
}

/// Runs a command to its end, with its output for the message of a failure.
pub fn output_of(command: &mut Command) -> (Output, String) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} could not be started: {error}"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

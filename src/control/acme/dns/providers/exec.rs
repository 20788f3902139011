//! A program of the operator that writes the record (lego's provider `exec`). What it prints goes into the log.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;

use crate::control::acme::dns::error::DnsError;
use crate::control::acme::dns::variables::{Timing, Variables};

use super::task::Task;

/// The longest time that the program may run.
const RUN_MAX: Duration = Duration::from_secs(300);
/// The pause between two looks whether the program has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The longest wait for the output of a program that has ended.
const OUTPUT_PAUSE: Duration = Duration::from_secs(1);
/// The longest output that goes into the log; the rest is read and dropped.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;
const LINE_CHARS_MAX: usize = 1_000;

/// The program.
pub struct Exec {
    path: String,
    /// `EXEC_MODE=RAW`: the program gets the token and the key authorisation instead of the record.
    pub is_raw: bool,
}

/// A started program, killed when the value is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if the program has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Exec {
    /// Reads `EXEC_...`.
    pub fn new(variables: &mut Variables<'_>) -> (Exec, Timing) {
        let timing = variables.timing(&["EXEC_"], Timing::default());
        let path = variables.required(&["EXEC_PATH"]);
        if path.contains('/') && !std::path::Path::new(&path).is_file() {
            variables.problem(format!("EXEC_PATH: {path} is not a file"));
        }
        let is_raw = variables.plain("EXEC_MODE").as_deref() == Some("RAW");
        (Exec { path, is_raw }, timing)
    }

    /// Runs the program with `action`, `present` or `cleanup`, and waits for its end.
    pub async fn run(&self, action: &str, task: &Task<'_>) -> Result<(), DnsError> {
        let record = task.record;
        let arguments = match self.is_raw {
            true => vec![action, "--", &record.domain, &record.token, &record.key_authorization],
            false => vec![action, task.fqdn, task.value],
        };
        let failed = |reason: String| DnsError(format!("exec: {} {action}: {reason}", self.path));
        let (mut program, output) =
            start(&self.path, &arguments).map_err(|e| failed(format!("cannot be started: {e}")))?;
        let mut log = std::pin::pin!(log_output(output, &self.path));
        let ended = tokio::time::timeout(RUN_MAX, async {
            tokio::select! {
                status = wait(&mut program) => {
                    // A process that the program has left behind may keep the pipe open.
                    let last_line = tokio::time::timeout(OUTPUT_PAUSE, &mut log).await.unwrap_or_default();
                    status.map(|status| (status, last_line))
                }
                last_line = &mut log => wait(&mut program).await.map(|status| (status, last_line)),
            }
        });
        let (status, last_line) = match ended.await {
            Ok(ended) => ended.map_err(|e| failed(e.to_string()))?,
            Err(_) => return Err(failed(format!("did not end within {} s and is stopped", RUN_MAX.as_secs()))),
        };
        match status.success() {
            true => Ok(()),
            false => Err(failed(format!("failed ({status}): {last_line}"))),
        }
    }
}

/// Starts the program with one pipe for its output and its errors.
fn start(path: &str, arguments: &[&str]) -> std::io::Result<(Running, pipe::Receiver)> {
    let (reader, writer) = std::io::pipe()?;
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let program = Running(command.spawn()?);
    // The command holds the writing ends: without them the pipe ends with the program.
    drop(command);
    Ok((program, pipe::Receiver::from_owned_fd(reader.into())?))
}

async fn wait(program: &mut Running) -> std::io::Result<ExitStatus> {
    loop {
        match program.0.try_wait()? {
            Some(status) => return Ok(status),
            None => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

/// Logs each line until all writers have closed the pipe. Returns the last line.
async fn log_output(output: pipe::Receiver, path: &str) -> String {
    let mut lines = BufReader::new(output.take(OUTPUT_BYTES_MAX));
    let (mut line, mut last) = (Vec::new(), String::new());
    while let Ok(1..) = lines.read_until(b'\n', &mut line).await {
        let text = String::from_utf8_lossy(&line);
        let text: String =
            text.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).take(LINE_CHARS_MAX).collect();
        if !text.is_empty() {
            tracing::info!("{path}: {text}");
            last = text;
        }
        line.clear();
    }
    // The program must not be stopped by a full pipe.
    let mut rest = lines.into_inner().into_inner();
    let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    last
}

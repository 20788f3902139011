//! Runs the command of `acme.onIssued` after a certificate has been issued or renewed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tracing::{error, info};

/// The time that the command may take.
const COMMAND_SECS: u64 = 60;
/// The pause between two looks whether the command has ended.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Starts the command on a thread of its own. The command is a program and its arguments, separated by blanks: no shell is involved.
pub fn spawn(command: &str, names: &[String], storage: &Path) {
    let mut words = command.split_whitespace().map(str::to_owned);
    let Some(program) = words.next() else { return };
    let mut process = Command::new(&program);
    process.args(words).stdin(Stdio::null());
    process.env("RINGWAY_CERTIFICATE_MAIN", names.first().map_or("", String::as_str));
    process.env("RINGWAY_CERTIFICATE_NAMES", names.join(","));
    process.env("RINGWAY_ACME_STORAGE", storage);
    let names = names.join(", ");
    let started = std::thread::Builder::new().name("acme-on-issued".to_owned()).spawn(move || {
        match run(process, Duration::from_secs(COMMAND_SECS)) {
            Ok(()) => info!("acme.onIssued: {program} was run for {names}"),
            Err(reason) => error!("acme.onIssued: {program} failed for {names}: {reason}"),
        }
    });
    if let Err(e) = started {
        error!("acme.onIssued: no thread for the command: {e}");
    }
}

/// Runs a command to its end, for `limit` at most.
fn run(mut process: Command, limit: Duration) -> Result<(), String> {
    let mut child = process.spawn().map_err(|e| e.to_string())?;
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(status.to_string()),
            None if Instant::now() < deadline => std::thread::sleep(LOOK_PAUSE),
            None => {
                // The process may have ended meanwhile: then there is nothing to kill.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it did not end within {} s and was killed", limit.as_secs_f32()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_that_fails_or_hangs_is_reported() {
        let run = |program: &str, argument: &str, limit| {
            let mut command = Command::new(program);
            command.arg(argument);
            run(command, limit)
        };
        assert_eq!(run("true", "", Duration::from_secs(10)), Ok(()));
        assert!(run("false", "", Duration::from_secs(10)).is_err_and(|reason| reason.contains('1')));
        assert!(run("/nowhere/program", "", Duration::from_secs(10)).is_err());
        let started = Instant::now();
        let outcome = run("sleep", "60", Duration::from_millis(100));
        assert!(outcome.is_err_and(|reason| reason.contains("killed")) && started.elapsed() < Duration::from_secs(20));
    }
}

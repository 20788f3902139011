//! Taking over from a running Ringway without losing a connection, and being taken over from (SIGUSR2). The listening sockets are inherited,
//! so that what waits in their queues is served by the new process.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Running;
use super::doors::wait_until;
use crate::limits;
use crate::net::handed;

/// The program and its arguments, as they were at the start: a new version lies at the same path later.
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// A path that was written is kept as it was written, so that a link may lead to a new version.
    pub fn of_this_process() -> std::io::Result<Program> {
        let mut arguments = std::env::args_os();
        let written = arguments.next().map(PathBuf::from).filter(|path| path.components().count() > 1);
        let path = match written {
            Some(path) => std::path::absolute(path)?,
            None => std::env::current_exe()?,
        };
        Ok(Program { path, arguments: arguments.collect() })
    }
}

/// Starts the program anew and hands the listening sockets over once it can serve. Until then nothing changes here.
///
/// # Errors
/// A sentence for the log: this process goes on as before.
pub fn hand_over(running: &Running) -> Result<(), String> {
    if std::process::id() == 1 {
        return Err("the first process of a container cannot be replaced, its end is the container's: start a second \
                    container beside this one instead"
            .to_owned());
    }
    running.rest_acme();
    let started = start(running);
    if started.is_err() {
        running.standby.resume();
        running.rest.resume();
    }
    let (pid, successor) = started?;
    running.shared.accepting.store(false, Relaxed);
    wait_until(limits::DOORS_CLOSE_SECS, || running.shared.doors_are_closed());
    successor.go();
    tracing::info!("process {pid} has taken over and serves; this one ends with its last request");
    Ok(())
}

fn start(running: &Running) -> Result<(u32, handed::Successor), String> {
    let Program { path, arguments } = &running.program;
    let spawned = handed::expose(&running.listeners, &running.rest.hand_over(), |environment| {
        Command::new(path).args(arguments).envs(environment).env_remove("LISTEN_PID").spawn()
    });
    let (mut child, mut successor) = spawned.map_err(|e| format!("{} cannot be started: {e}", path.display()))?;
    match successor.wait_until_ready(Duration::from_secs(limits::SUCCESSOR_READY_SECS)) {
        Ok(()) => Ok((child.id(), successor)),
        Err(e) => Err(ended(&mut child, path.display(), &e)),
    }
}

/// The new process failed; it has said why on the same log.
fn ended(child: &mut Child, program: impl std::fmt::Display, error: &std::io::Error) -> String {
    // Its end of the channel closes a moment before it can be waited for.
    wait_until(5, || !matches!(child.try_wait(), Ok(None)));
    let outcome = match child.try_wait() {
        Ok(Some(status)) => format!("ended ({status})"),
        _ => {
            let _ = child.kill().and_then(|()| child.wait());
            format!("was not ready within {} s ({error})", limits::SUCCESSOR_READY_SECS)
        }
    };
    format!("{program} {outcome} before it could serve: its own message says why; this process goes on")
}

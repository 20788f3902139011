//! The old process's side of a listener hand-over (SIGUSR2): starts the program again, and lets the new process accept once it is ready.
//! The new process inherits the listening sockets, so that connections waiting in their queues are not lost but served by it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::Running;
use super::systemd;
use super::wait::wait_until;
use crate::limits;
use crate::net::listener_handover;

/// How often a process that waits for its successor checks for a shutdown signal.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Path and arguments of this program, read at the start: a new version is installed at the same path later.
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    /// Why no successor would outlive this process; `None` if one would.
    obstacle: Option<&'static str>,
}

impl Program {
    /// Keeps a path as it was written on the command line, symbolic links included: a link may point to a new version later.
    pub fn of_this_process() -> std::io::Result<Program> {
        let mut arguments = std::env::args_os();
        let written_path = arguments.next().map(PathBuf::from).filter(|path| path.components().count() > 1);
        let path = match written_path {
            Some(path) => std::path::absolute(path)?,
            None => std::env::current_exe()?,
        };
        Ok(Program {
            path,
            arguments: arguments.collect(),
            obstacle: handover_obstacle(&Supervision::of_this_process()),
        })
    }
}

/// Whether this process is in the host's PID namespace, not in that of a container.
fn is_in_host_namespace() -> bool {
    // The inode number of the host's PID namespace is part of the kernel's interface (PROC_PID_INIT_INO).
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|namespace| namespace.as_os_str() == "pid:[4026531836]")
}

/// The facts that tell whether a supervisor would stop the successor when this process exits.
#[derive(Clone, Copy)]
struct Supervision {
    pid: u32,
    parent: u32,
    /// systemd, the machine's or a user's, started this very process (`SYSTEMD_EXEC_PID`, systemd.exec(5)).
    is_unit: bool,
    /// The supervisor is told the new main PID, or there is none.
    is_notified: bool,
}

impl Supervision {
    fn of_this_process() -> Supervision {
        let pid = std::process::id();
        let variable = |name: &str| std::env::var(name).ok();
        // On the host a process 1 other than systemd does not stop the processes that it has adopted.
        let is_supervised = !is_in_host_namespace() || std::path::Path::new("/run/systemd/system").exists();
        Supervision {
            pid,
            parent: std::os::unix::process::parent_id(),
            is_unit: variable("SYSTEMD_EXEC_PID").and_then(|pid| pid.parse().ok()) == Some(pid),
            is_notified: !is_supervised || variable("NOTIFY_SOCKET").is_some(),
        }
    }
}

/// Why a hand-over is impossible, or `None`: a supervisor that is not told the new main PID stops the successor when this process exits. A
/// process started by a hand-over has its predecessor as parent, so no such supervisor applies.
fn handover_obstacle(supervision: &Supervision) -> Option<&'static str> {
    let Supervision { pid, parent, is_unit, is_notified } = *supervision;
    match parent {
        // A parent outside this PID namespace is shown as 0.
        _ if pid == 1 || parent == 0 => Some(
            "hand-over is not possible for PID 1 of a container: its exit stops the new process too; start a second container \
             beside this one instead",
        ),
        _ if (parent == 1 || is_unit) && !is_notified => Some(
            "hand-over is not possible under an init or a systemd unit without Type=notify: the exit of this process may stop the \
             new one too; in a container, start a second one beside it; with systemd, set Type=notify and NotifyAccess=all",
        ),
        _ => None,
    }
}

/// Why the new process does not take over.
enum HandoverError {
    /// The new process exited before it was ready.
    Exited,
    /// The new process exited after this process had stopped accepting.
    ExitedAfterAcceptStopped,
    /// The new process was not ready within `SUCCESSOR_READY_SECS`.
    TimedOut,
    /// This process received SIGTERM or SIGINT.
    ShutdownRequested,
}

/// Starts the program again and hands the listening sockets over once the new process is ready. Until then this process serves as before,
/// except that ACME is paused and the REST provider takes no documents. `shutdown_requested` tells whether this process has received a
/// shutdown signal: such a signal cancels the hand-over until the new process has been told to accept.
///
/// # Errors
/// A message for the log. This process serves on as before, unless it has stopped accepting already (`WorkerShared::accepting`): then no
/// process accepts, and the caller must exit.
pub fn hand_over(running: &Running, shutdown_requested: &mut dyn FnMut() -> bool) -> Result<(), String> {
    if let Some(obstacle) = running.program.obstacle {
        return Err(obstacle.to_owned());
    }
    if shutdown_requested() {
        return Err("hand-over cancelled by a shutdown signal".to_owned());
    }
    running.pause_acme();
    let started = start_successor(running, shutdown_requested);
    if started.is_err() {
        running.acme_pause.resume();
        running.rest_provider.resume();
    }
    let pid = started?;
    tracing::info!("process {pid} has taken over; draining remaining requests");
    Ok(())
}

fn start_successor(running: &Running, shutdown_requested: &mut dyn FnMut() -> bool) -> Result<u32, String> {
    let Program { path, arguments, .. } = &running.program;
    let spawned = listener_handover::spawn_with_listeners(
        &running.listeners,
        &running.rest_provider.hand_over(),
        |environment| Command::new(path).args(arguments).envs(environment).env_remove("LISTEN_PID").spawn(),
    );
    let (mut child, mut successor) =
        spawned.map_err(|e| format!("hand-over failed: {} cannot be started: {e}", path.display()))?;
    let outcome = wait_ready_and_stop_accepting(running, &mut successor, shutdown_requested).and_then(|()| {
        // Sent by this process: systemd may accept the message only from the main process, which is still this one.
        systemd::set_main_pid(child.id());
        successor.let_accept().map_err(|_| HandoverError::ExitedAfterAcceptStopped)
    });
    outcome.map(|()| child.id()).map_err(|error| reap_failed_successor(&mut child, path.display(), error))
}

/// Waits until the successor is ready, then stops accepting in this process.
fn wait_ready_and_stop_accepting(
    running: &Running,
    successor: &mut listener_handover::Successor,
    shutdown_requested: &mut dyn FnMut() -> bool,
) -> Result<(), HandoverError> {
    let end = Instant::now() + Duration::from_secs(limits::SUCCESSOR_READY_SECS);
    loop {
        let is_ready = successor.is_ready_within(POLL_INTERVAL).map_err(|_| HandoverError::Exited)?;
        if shutdown_requested() {
            return Err(HandoverError::ShutdownRequested);
        }
        if is_ready {
            break;
        }
        if Instant::now() >= end {
            return Err(HandoverError::TimedOut);
        }
    }
    running.shared.accepting.store(false, Relaxed);
    // After ACCEPT_STOP_SECS the hand-over continues even if a worker has not stopped accepting: both processes may then accept for a
    // while.
    wait_until(limits::ACCEPT_STOP_SECS, || running.shared.has_stopped_accepting());
    if !running.shared.has_stopped_accepting() {
        tracing::error!(
            "a worker still accepts connections after {} s: the hand-over continues, and both processes may accept for a while; report this",
            limits::ACCEPT_STOP_SECS
        );
    }
    // Accepting is not resumed: a process that received a shutdown signal does not need it.
    if shutdown_requested() { Err(HandoverError::ShutdownRequested) } else { Ok(()) }
}

/// Kills and reaps a new process that does not take over, and returns the message for the log.
fn reap_failed_successor(child: &mut Child, program: impl std::fmt::Display, error: HandoverError) -> String {
    if matches!(error, HandoverError::Exited | HandoverError::ExitedAfterAcceptStopped) {
        // The channel of an exiting process closes a moment before the process can be reaped.
        wait_until(5, || !matches!(child.try_wait(), Ok(None)));
    }
    // A process that has exited by itself keeps its exit status.
    let _ = child.kill();
    let status = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
    let outcome = match error {
        HandoverError::ShutdownRequested => {
            return format!("hand-over cancelled by a shutdown signal: {program} stopped before it served");
        }
        HandoverError::ExitedAfterAcceptStopped => {
            return format!(
                "hand-over failed: {program} exited ({status}) after this process had stopped accepting: exiting; the \
                 supervisor must restart the service"
            );
        }
        HandoverError::Exited => format!("ended ({status})"),
        HandoverError::TimedOut => format!("was not ready within {} s", limits::SUCCESSOR_READY_SECS),
    };
    format!("hand-over failed: {program} {outcome} before it could serve: see its log; this process keeps serving")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handover_is_refused_if_a_supervisor_would_stop_the_successor() {
        let plain = Supervision { pid: 9, parent: 7, is_unit: false, is_notified: false };
        let first = Some("hand-over is not possible for PID 1 of a container");
        let supervised = Some("hand-over is not possible under an init");
        for (supervision, expected) in [
            (plain, None),
            (Supervision { pid: 1, parent: 0, ..plain }, first),
            (Supervision { pid: 1, parent: 0, is_notified: true, ..plain }, first),
            // In a PID namespace that is shared with other containers.
            (Supervision { parent: 0, ..plain }, first),
            (Supervision { parent: 1, ..plain }, supervised),
            (Supervision { parent: 1, is_notified: true, ..plain }, None),
            // A unit of a user's systemd.
            (Supervision { is_unit: true, ..plain }, supervised),
            (Supervision { is_unit: true, is_notified: true, ..plain }, None),
        ] {
            let (pid, parent, obstacle) = (supervision.pid, supervision.parent, handover_obstacle(&supervision));
            assert_eq!(obstacle.is_some(), expected.is_some(), "{pid} of {parent}");
            assert!(obstacle.zip(expected).is_none_or(|(text, expected)| text.starts_with(expected)), "{obstacle:?}");
        }
    }
}

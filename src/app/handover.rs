//! Taking over from a running Ringway without losing a connection, and being taken over from (SIGUSR2). The listening sockets are inherited,
//! so that what waits in their queues is served by the new process.

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

/// How often a process that waits for its successor looks whether it has been told to end.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The program and its arguments, as they were at the start: a new version lies at the same path later.
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    /// Why no successor would outlive this process, if so.
    bond: Option<&'static str>,
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
        Ok(Program { path, arguments: arguments.collect(), bond: handover_obstacle(&Supervision::of_this_process()) })
    }
}

/// The process ids are the machine's, not those of a container.
fn is_host() -> bool {
    // The number of the first namespace is part of the kernel's interface (PROC_PID_INIT_INO).
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|namespace| namespace.as_os_str() == "pid:[4026531836]")
}

/// Who watches over this process.
#[derive(Clone, Copy)]
struct Supervision {
    own: u32,
    parent: u32,
    /// systemd started this very process, be it the machine's or a user's (`SYSTEMD_EXEC_PID`, systemd.exec(5)).
    is_unit: bool,
    /// Whoever watches is told which process to watch next, or watches over nobody.
    is_told: bool,
}

impl Supervision {
    fn of_this_process() -> Supervision {
        let own = std::process::id();
        let variable = |name: &str| std::env::var(name).ok();
        // Any other process 1 lets those that it has adopted be.
        let is_watched = !is_host() || std::path::Path::new("/run/systemd/system").exists();
        Supervision {
            own,
            parent: std::os::unix::process::parent_id(),
            is_unit: variable("SYSTEMD_EXEC_PID").and_then(|pid| pid.parse().ok()) == Some(own),
            is_told: !is_watched || variable("NOTIFY_SOCKET").is_some(),
        }
    }
}

/// Whoever watches over this process ends all with it, unless told which process to watch next. A successor's parent is its predecessor, so
/// it is bound to nobody.
fn handover_obstacle(watch: &Supervision) -> Option<&'static str> {
    let Supervision { own, parent, is_unit, is_told } = *watch;
    match parent {
        // A parent outside has no number here.
        _ if own == 1 || parent == 0 => Some(
            "the first process of a container cannot be replaced, its end is the container's: start a second container \
             beside this one instead",
        ),
        _ if (parent == 1 || is_unit) && !is_told => Some(
            "process 1 or systemd started this one, and may end everything with it: in a container, start a second one beside it; \
             with systemd, write Type=notify and NotifyAccess=all into the unit",
        ),
        _ => None,
    }
}

/// Why a new process does not take over.
enum HandoverError {
    /// It has ended.
    Exited,
    /// It has ended when this process had closed its doors for it.
    ExitedAfterAcceptStopped,
    /// It has not said in time that it can serve.
    TimedOut,
    /// This process has been told to end.
    ShutdownRequested,
}

/// Starts the program anew and hands the listening sockets over once it can serve. Until then nothing changes here. `is_over` says
/// whether this process has been told to end: that counts until the other one has been told to serve.
///
/// # Errors
/// A sentence for the log: this process goes on as before, or ends without a successor.
pub fn hand_over(running: &Running, is_over: &mut dyn FnMut() -> bool) -> Result<(), String> {
    if let Some(bond) = running.program.bond {
        return Err(bond.to_owned());
    }
    if is_over() {
        return Err("this process was told to end".to_owned());
    }
    running.pause_acme();
    let started = start(running, is_over);
    if started.is_err() {
        running.acme_pause.resume();
        running.rest.resume();
    }
    let pid = started?;
    tracing::info!("process {pid} has taken over and serves; this one ends with its last request");
    Ok(())
}

fn start(running: &Running, is_over: &mut dyn FnMut() -> bool) -> Result<u32, String> {
    let Program { path, arguments, .. } = &running.program;
    let spawned =
        listener_handover::spawn_with_listeners(&running.listeners, &running.rest.hand_over(), |environment| {
            Command::new(path).args(arguments).envs(environment).env_remove("LISTEN_PID").spawn()
        });
    let (mut child, mut successor) = spawned.map_err(|e| format!("{} cannot be started: {e}", path.display()))?;
    let handed = wait_ready_and_stop_accepting(running, &mut successor, is_over).and_then(|()| {
        // systemd may take this from nobody but the process that it watches, which is still this one.
        systemd::set_main_pid(child.id());
        successor.let_accept().map_err(|_| HandoverError::ExitedAfterAcceptStopped)
    });
    handed.map(|()| child.id()).map_err(|failure| reap_failed_successor(&mut child, path.display(), failure))
}

/// Waits until the successor can serve, and ends accepting here.
fn wait_ready_and_stop_accepting(
    running: &Running,
    successor: &mut listener_handover::Successor,
    is_over: &mut dyn FnMut() -> bool,
) -> Result<(), HandoverError> {
    let end = Instant::now() + Duration::from_secs(limits::SUCCESSOR_READY_SECS);
    loop {
        let is_ready = successor.is_ready_within(POLL_INTERVAL).map_err(|_| HandoverError::Exited)?;
        if is_over() {
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
    wait_until(limits::ACCEPT_STOP_SECS, || running.shared.has_stopped_accepting());
    // Doors that are closed stay closed, but whoever is told to end needs none.
    if is_over() { Err(HandoverError::ShutdownRequested) } else { Ok(()) }
}

/// Sees to the end of a new process that does not take over.
fn reap_failed_successor(child: &mut Child, program: impl std::fmt::Display, failure: HandoverError) -> String {
    if matches!(failure, HandoverError::Exited | HandoverError::ExitedAfterAcceptStopped) {
        // Its end of the channel closes a moment before it can be waited for.
        wait_until(5, || !matches!(child.try_wait(), Ok(None)));
    }
    // One that has ended by itself keeps its status.
    let _ = child.kill();
    let status = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
    let outcome = match failure {
        HandoverError::ShutdownRequested => {
            return format!("this process was told to end, so {program} was ended before it served");
        }
        HandoverError::ExitedAfterAcceptStopped => {
            return format!(
                "{program} ended ({status}) before it served, and this process has closed its doors: all ends, for \
                 whoever watches over it to start it again"
            );
        }
        HandoverError::Exited => format!("ended ({status})"),
        HandoverError::TimedOut => format!("was not ready within {} s", limits::SUCCESSOR_READY_SECS),
    };
    format!("{program} {outcome} before it could serve: its own message says why; this process goes on")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_ends_all_with_the_process_binds_it() {
        let plain = Supervision { own: 9, parent: 7, is_unit: false, is_told: false };
        let first = Some("the first process of a container");
        let started = Some("process 1 or systemd started this one");
        for (watch, expected) in [
            (plain, None),
            (Supervision { own: 1, parent: 0, ..plain }, first),
            (Supervision { own: 1, parent: 0, is_told: true, ..plain }, first),
            // In a namespace of processes that is shared with other containers.
            (Supervision { parent: 0, ..plain }, first),
            (Supervision { parent: 1, ..plain }, started),
            (Supervision { parent: 1, is_told: true, ..plain }, None),
            // Of a user's systemd.
            (Supervision { is_unit: true, ..plain }, started),
            (Supervision { is_unit: true, is_told: true, ..plain }, None),
        ] {
            let (own, parent, bond) = (watch.own, watch.parent, handover_obstacle(&watch));
            assert_eq!(bond.is_some(), expected.is_some(), "{own} of {parent}");
            assert!(bond.zip(expected).is_none_or(|(bond, expected)| bond.starts_with(expected)), "{bond:?}");
        }
    }
}

//! Notifications to systemd (sd_notify(3)), if `NOTIFY_SOCKET` is set.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Reports that this process serves. After a hand-over it is not the process that systemd started (see `handover`): `MAINPID` names it.
pub fn ready() {
    notify(&format!("READY=1\nMAINPID={}", std::process::id()));
}

/// Reports that the process `pid` is about to take over from this one.
pub fn set_main_pid(pid: u32) {
    notify(&format!("MAINPID={pid}"));
}

/// Reports that this process is shutting down.
pub fn stopping() {
    notify("STOPPING=1");
}

fn notify(state: &str) {
    let Ok(path) = std::env::var("NOTIFY_SOCKET") else { return };
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(e) = sent {
        tracing::warn!("NOTIFY_SOCKET {path}: {e}; systemd did not receive {state:?}");
    }
}

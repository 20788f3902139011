//! Telling systemd what becomes of the process (sd_notify(3)), where it asked to be told.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The process serves. It may be another one than systemd started: see `upgrade`.
pub fn ready() {
    notify(&format!("READY=1\nMAINPID={}", std::process::id()));
}

/// The process of that id is about to serve in this one's place.
pub fn set_main_pid(pid: u32) {
    notify(&format!("MAINPID={pid}"));
}

/// The process ends.
pub fn stopping() {
    notify("STOPPING=1");
}

fn notify(state: &str) {
    let Ok(place) = std::env::var("NOTIFY_SOCKET") else { return };
    let address = match place.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&place),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(e) = sent {
        tracing::warn!("NOTIFY_SOCKET {place}: {e}; systemd is not told that {state:?}");
    }
}

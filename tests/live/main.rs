//! The built program as a user runs it: real sockets, curl, openssl and htpasswd, on both drivers.

#[path = "../support/mod.rs"]
mod support;

mod explain;
mod figures;
mod flattening;
mod handover_aborted;
mod handover;
mod process;
mod renewal;
mod start;
mod traffic;

//! Layer 4 against real peers, on both drivers.

#[path = "../support/mod.rs"]
mod support;

mod udp;
mod udp_peers;
mod udp_process;

//! The checklist of what a proxy must withstand, against the real binary on both drivers: a client and an origin that say exactly
//! what a script tells them, byte for byte. The number in front of each row is the checklist's (SECURITY.md says where it comes from).

mod aborts;
mod bodies;
mod client;
mod forwarded;
mod guards;
mod origin;
mod process;
mod proxy;
mod refused;
mod responses;
mod stalls;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod tunnels;

use support::ringway::DRIVERS;

/// Collects what went wrong, so that one run tells all of it.
#[derive(Default)]
struct Verdict(Vec<String>);

impl Verdict {
    fn check(&mut self, row: &str, holds: bool, seen: impl Into<String>) {
        if !holds {
            self.0.push(format!("{row}: {}", seen.into()));
        }
    }

    fn end(self) {
        assert!(self.0.is_empty(), "{} row(s) fail:\n{}", self.0.len(), self.0.join("\n"));
    }
}

//! Attacks that a proxy must withstand, against the built program on both drivers: the client and the origin server send exactly the
//! bytes of a script. docs/reference/security-promises.md lists the promises that these tests prove.

mod aborts;
mod bodies;
mod bound;
mod client;
mod forwarded;
mod guards;
mod http2;
mod http2_floods;
mod http2_protocol;
mod http2_resets;
mod http2_splitting;
mod http2_stalls;
mod http2_tls;
mod normalised;
mod origin;
mod process;
mod proxy;
mod proxy_headers;
mod refused;
mod responses;
mod session;
mod stalls;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod tunnels;

use support::ringway::DRIVERS;

/// Collects the failed checks, so that one run reports all of them.
#[derive(Default)]
struct Verdict(Vec<String>);

impl Verdict {
    fn check(&mut self, case: &str, holds: bool, seen: impl Into<String>) {
        if !holds {
            self.0.push(format!("{case}: {}", seen.into()));
        }
    }

    fn end(self) {
        assert!(self.0.is_empty(), "{} case(s) fail:\n{}", self.0.len(), self.0.join("\n"));
    }
}

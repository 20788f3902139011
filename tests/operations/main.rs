//! What an operator relies on, on the real binary: users, secrets, full disks, engines that go away, changes under load.

mod engine;
mod faults;
mod least_power;
#[allow(dead_code, reason = "it is shared with tests/live")]
#[path = "../live/proxy.rs"]
mod proxy;
mod reload;
mod socket_proxy;
#[path = "../support/mod.rs"]
mod support;

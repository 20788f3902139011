//! What an operator relies on, on the real binary: users, secrets, full disks, engines that go away, changes under load.

mod bounds;
mod connections;
mod engine;
mod faults;
mod privileges;
mod pipelining;
mod reload;
mod socket_proxy;
#[path = "../support/mod.rs"]
mod support;

//! The built program in operation: users, secrets, full disks, lost engines, changes under load.

mod bounds;
mod connections;
mod engine;
mod engine_upgrades;
mod faults;
mod idle_ends;
mod own_engine;
mod podman;
mod privileges;
mod pipelining;
mod reload;
mod several_hosts;
mod socket_proxy;
#[path = "../support/mod.rs"]
mod support;

//! The connection of HTTP/2 from outside, in both roles.

mod attacks;
mod client;
mod crate_peer;
mod cuts;
mod endpoint;
mod flow;
#[path = "../../support/h2_observer.rs"]
mod h2_observer;
#[path = "../../support/h2_wire.rs"]
mod h2_wire;
mod pair;
mod rules;

use h2_wire as wire;

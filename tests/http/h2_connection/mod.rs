//! The connection of HTTP/2 from outside, in both roles.

mod attacks;
mod client;
mod cuts;
mod endpoint;
mod flow;
mod pair;
mod rules;
#[path = "../../support/h2_wire.rs"]
mod wire;

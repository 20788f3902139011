//! The data plane: one thread with one ring for each worker. `resources` holds the objects that a worker lends to its exchanges, `message`
//! the protocol versions behind one boundary, `upstream` the connections to servers, `request` the path of a request, which names no
//! protocol version, `downstream` the connections of clients, and `layer4` those of TCP routes
//! and the datagrams of UDP entry points.

mod bounds;
mod downstream;
mod handshake;
mod http2_metrics;
mod layer4;
mod link_turns;
mod listen;
mod message;
mod bound_connections;
mod open_links;
mod pool;
mod server_links;
mod tcp_choice;
mod request;
mod resources;
mod upstream;
#[expect(clippy::module_inception, reason = "the module is named after its one type")]
mod worker;

pub use crate::http::flattened_host::AskHost;
pub use crate::middleware::Now;
pub use downstream::serve;
pub use layer4::{Routed, route as route_tcp};
pub use listen::{WorkerHandle, spawn};
pub use request::explain::Explainer;
pub use resources::client_info::{ClientInfo, fill_random};
pub use resources::connection_balancer::WorkerStatus;
pub use resources::connection_limiter::ConnectionLimiter;
pub use resources::dial::{ConnectionTask, Dial, Dialled, VersionOffer};
pub use resources::entry_point::EntryPoint;
pub use resources::rest_handler::{RestHandler, RestUpdateError};
pub use resources::verify::VerifyPool;
pub use resources::{access_log, log_queue};
pub use worker::{Timeouts, Worker, WorkerShared};

#[cfg(test)]
mod tests;

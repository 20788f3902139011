//! Objects that a worker lends to its exchanges: buffers, contexts, handlers, memory, permits, clocks and logs. No file here depends on a
//! protocol.

pub mod access_log;
pub mod buffers;
pub mod client_info;
pub mod clock;
pub mod connection_balancer;
pub mod connection_limiter;
pub mod context;
pub mod dial;
pub mod entry_point;
pub mod handler_pool;
pub mod host_resolver;
pub mod log_queue;
pub mod memory_budget;
pub mod rest_handler;
pub mod terminating_configs;
pub mod tracer;
pub mod verify;

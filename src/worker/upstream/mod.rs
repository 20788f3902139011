//! Connections to servers: opened, taken from the pool, and given back to it.

pub mod connect;
pub mod connection;
pub mod faults;
pub mod link_task;
pub mod response_head;
pub mod shared_stream;

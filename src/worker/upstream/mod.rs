//! Connections to servers: opened, taken from the pool, and given back to it.

pub mod connection;
pub mod faults;
pub mod response_head;

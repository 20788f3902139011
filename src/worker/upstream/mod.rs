//! Connections to servers: opened, taken from the pool or shared, and given back.

pub mod acquire;
pub mod connection;
pub mod faults;
mod link_task;
pub mod network;
pub mod response_head;

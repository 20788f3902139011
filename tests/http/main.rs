//! The module `http` from outside: every case whole, byte by byte and cut at every position.

mod body;
mod forward;
mod h2;
mod h2_connection;
mod property;
mod request;
mod response;
mod server_response;
mod smuggling;

//! TLS without sockets: rustls kept as a machine, and the values it needs made from plain bytes.
//!
//! Nothing here reads a file, a clock or a socket: PEM text, time and random bytes are arguments.
//!
//! * [`session`] — one connection, ciphertext in and out;
//! * [`certificate`] — PEM text to a certificate with its names;
//! * [`resolver`] — which certificate a handshake gets, published as an immutable store;
//! * [`challenge`] — answers to HTTP-01 challenges, published likewise;
//! * [`settings`] — options as written to rustls configurations;
//! * [`tickets`] — what lets clients resume, shared by all workers.

pub mod session;
pub mod certificate;
pub mod resolver;
pub mod challenge;
pub mod settings;
pub mod suites;
pub mod tickets;

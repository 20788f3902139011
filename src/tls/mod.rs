//! TLS without sockets: rustls as a state machine, and its configuration made from plain bytes.
//!
//! No code in this module reads a file, a clock or a socket: PEM text, time and random bytes are arguments.
//!
//! * [`session`] — a connection as a state machine: ciphertext in and out, plaintext in and out;
//! * [`certificate`] — certificates with their names, made from PEM text;
//! * [`pem`] — PEM text to blocks, with the line of each damaged one;
//! * [`verifier`] — verifies the certificates of servers and clients;
//! * [`resolver`] — selects the certificate of a handshake from an immutable, published store;
//! * [`challenge`] — responses to HTTP-01 and TLS-ALPN-01 challenges, published likewise;
//! * [`alpn_challenge`] — the handshake of a TLS-ALPN-01 validation;
//! * [`settings`] — rustls configurations made from the options as written;
//! * [`suites`] — cipher suites by their names in the configuration;
//! * [`tickets`] — session resumption, shared by all workers.

pub mod session;
pub mod certificate;
pub mod pem;
pub mod verifier;
pub mod resolver;
pub mod challenge;
pub mod alpn_challenge;
pub mod settings;
pub mod suites;
pub mod tickets;

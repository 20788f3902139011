//! The modules `middleware` and `backend` from outside: exact responses, and Traefik v1's own unit tables.

mod answers;
mod auth;
mod backend;
#[path = "../support/mod.rs"]
mod base;
mod cases;
mod chain;
mod client_certs;
mod compress;
mod limits;
mod support;

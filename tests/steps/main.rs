//! The middlewares in the running proxy: what the client gets, what the server sees, and in which order (dynamic.md 5).

#[path = "../support/mod.rs"]
mod base;
mod limits;
mod auth;
mod bodies;
mod certs;
mod health;
mod pages;
mod rest;
mod support;

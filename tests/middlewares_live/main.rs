//! The middlewares in the running proxy: effects on the client and on the server, and their order
//! (docs/reference/middlewares.md#order).

#[path = "../support/mod.rs"]
mod base;
mod limits;
mod auth;
mod names;
mod bodies;
mod balance;
mod certs;
mod compression;
mod fail_closed;
mod answers;
mod headers;
mod health;
mod pages;
mod redirects;
mod rejected;
mod rest;
mod servers;
mod support;
mod users;

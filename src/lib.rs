//! Ringway: a reverse proxy on io_uring with Traefik v1's toml and label contract.
//!
//! The modules, in dependency order (tests/architecture enforces which module may use which; ARCHITECTURE.md explains why):
//!
//! * *core* — bytes, values and decisions; no sockets, no clock, no runtime:
//!   [`limits`], [`diagnostics`], [`error`], [`http`], [`tls`], [`detect`], [`rule`], [`middleware`], [`backend`], [`config`], [`observe`];
//! * *data plane* — monoio worker threads, one ring each: [`net`], [`worker`];
//! * *control plane* — one thread with a tokio runtime: [`control`];
//! * *wiring* — [`cli`], [`app`].
#![deny(unsafe_code)]

pub mod limits;
pub mod diagnostics;
pub mod error;
pub mod http;
pub mod tls;
pub mod detect;
pub mod rule;
pub mod middleware;
pub mod backend;
pub mod config;
pub mod observe;
pub mod net;
pub mod worker;
pub mod control;
pub mod cli;
pub mod app;

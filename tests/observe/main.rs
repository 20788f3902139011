//! The module `observe` from outside.

mod access_log;
mod metrics;
mod pages;

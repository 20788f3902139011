//! The observe room from outside.

mod access_log;
mod metrics;
mod pages;

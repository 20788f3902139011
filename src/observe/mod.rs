//! Observability: the access log, the metrics, the API, the dashboard and the format of the process log.
//!
//! The module does no I/O: times, process facts and configurations are arguments, and the callers write the bytes.

pub mod access_log;
pub mod layer4;
pub mod certificates;
pub mod explanation;
pub mod local_time;
pub mod process_log;
pub mod repeated_lines;

pub mod time_format;
pub mod go_json;
pub mod metrics;

pub mod status;
pub mod traffic;
pub mod trace;

mod published;

pub use published::Published;

//! What the proxy tells about itself: the access log, the counters, the API, the dashboard and the lines of its own log.
//!
//! Values in, bytes out: times, process facts and configurations are arguments, and the bytes are written by others.

pub mod access_log;
pub mod process_log;

pub mod time_format;
pub mod go_json;
pub mod metrics;

pub mod status;

mod published;

pub use published::Published;

//! What the proxy tells about itself: the access log, the counters, the API, the dashboard and the lines of its own log.
//!
//! Values in, bytes out: times, process facts and configurations are arguments, and the bytes are written by others.

pub mod access_log;
pub mod app_log;

pub mod clock_text;
pub mod json_text;
pub mod metrics;

pub mod status;

mod published;

pub use published::Published;

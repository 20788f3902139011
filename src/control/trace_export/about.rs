//! The facts that all spans of a process share.

use crate::observe::trace::SpanNames;

/// The facts that all spans of a process share.
pub struct About {
    pub service_name: String,
    pub names: SpanNames,
    /// A tag of every span (`tracing.datadog.globalTag`).
    pub tag: Option<(String, String)>,
    pub host_name: String,
    pub version: &'static str,
}

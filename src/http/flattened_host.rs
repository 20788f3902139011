//! The question of a worker to the control plane for the name that a host's CNAME records lead to (docs/reference/rules.md#cname-flattening).

use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;

/// The answer for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlattenedHost {
    /// The name at the end of the CNAME records, in lower case and without a trailing dot; `None` if the host has none.
    pub name: Option<Arc<str>>,
    /// How long the answer may be used.
    pub valid_for: Duration,
}

/// A question for a host, in lower case. A question that is dropped has no answer: too many wait, or the look-up failed.
pub struct HostQuestion {
    pub host: String,
    pub answer: oneshot::Sender<FlattenedHost>,
}

/// Asks a question without waiting.
pub type AskHost = Arc<dyn Fn(HostQuestion) + Send + Sync>;

//! Local replies: responses that the proxy makes itself instead of forwarding a server's.

use crate::http::Reply;
use crate::middleware::Label;

/// A response that the proxy makes itself.
pub struct LocalReply {
    pub reply: Reply,
    /// The frontend's name in the access log line of this reply; `None` leaves the frontend's own name.
    pub log_label: Option<Label>,
    /// The index of the middleware that made the reply: the response side of the chain runs from there outwards.
    pub chain_index: usize,
}

/// The chain of a frontend that made a local reply; the reply's `chain_index` counts in that chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplySource {
    Outer,
    Inner,
    Attempt,
    /// The backend failed: the reply takes the place of its response (docs/reference/middlewares.md#middlewares-on-local-replies).
    Gateway,
}

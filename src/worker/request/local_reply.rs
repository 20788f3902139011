//! A response that the proxy makes itself instead of forwarding a server's.

use crate::http::Reply;
use crate::middleware::Label;

/// An answer made here instead of a backend's.
pub struct LocalReply {
    pub reply: Reply,
    /// The access log's name for it; `None` leaves the frontend's.
    pub log_label: Option<Label>,
    /// The step that gave it: the way back through the chain begins there.
    pub chain_index: usize,
}

/// The chain of a frontend that an answer comes out of; the refusal's `at` counts in that chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplySource {
    Outer,
    Inner,
    Attempt,
    /// The backend failed: the answer stands for the backend's (docs/reference/middlewares.md#middlewares-on-local-replies).
    Gateway,
}

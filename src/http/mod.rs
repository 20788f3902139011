//! HTTP messages and their wire format. This module uses no sockets and no configuration; time is an argument.

mod asked;
mod byte_scan;
pub mod connection_auth;
mod content_length;
pub mod deviation;
pub mod edits;
pub mod flattened_host;
pub mod forward;
pub mod h1;
pub mod h2;
pub mod head;
pub mod head_limits;
mod host;
pub mod host_name;
pub mod keep_alive;
pub mod known;
pub mod percent;
pub mod phrase;
pub mod reply;
pub mod span;
mod target;
mod token;
mod trailer;
pub mod upgrade;
pub mod violation;

pub use asked::asked_head;
pub use edits::Edits;
pub use head::{BodyFraming, Field, RequestHead, RequestView, ResponseHead, ResponseView, Upgrade, Version};
pub use head_limits::HeadLimits;
pub use known::{KnownField, is_forwarding_field, is_precondition};
pub use reply::Reply;
pub use span::Span;
pub use violation::{InvalidBody, RejectedRequest, Violation};

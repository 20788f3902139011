//! Messages and their wire format: no sockets, no configuration, and no clock except as an argument.

pub mod edits;
pub mod forward;
pub mod h1;
pub mod head;
pub mod percent;
pub mod phrase;
pub mod reply;

pub use edits::Edits;
pub use head::{
    BodyFraming, Field, KnownField, RequestHead, RequestView, ResponseHead, ResponseView, Span, Version,
    is_forwarding_field,
};
pub use reply::Reply;

//! Messages on their way in and out: the boundary that the request path sees (`stream`), a body's way from reader to writer (`relay`, `collect`),
//! and the protocol versions behind it.

pub mod collect;
pub mod h1;
pub mod limits;
pub mod relay;
pub mod stream;

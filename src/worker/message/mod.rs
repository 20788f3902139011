//! Receiving and sending messages: the boundary that the request path uses (`stream`), moving a body from a reader to a writer or into
//! memory (`relay`, `collect`), and the protocol versions behind the boundary.

pub mod collect;
pub mod h1;
pub mod h2;
pub mod limits;
pub mod relay;
pub mod stream;

//! A handler is the large future (about 3 KiB) that reads a request, forwards it and writes the response. An idle connection holds none: it
//! takes one from the worker's pool for its requests. Up to `READS_AHEAD_MAX` connections per worker keep theirs while idle.

use std::rc::Rc;

use crate::net::reusable_future::ReusableFuture;
use crate::worker::message::stream::ConnectionDisposition;
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// A connection whose next request has begun to arrive, or that may wait for its request inside the handler.
pub struct HandlerInput<T, D: Dial> {
    pub worker: Rc<Worker<D>>,
    pub io: T,
    pub peer: Box<ClientInfo>,
    /// No request has been read from this connection before.
    pub is_new: bool,
}

/// The connection after its requests: idle if `end` is `KeepAlive`, else to be closed or served in HTTP/2.
pub struct HandlerOutput<T> {
    pub io: T,
    pub peer: Box<ClientInfo>,
    pub end: HandlerEnd,
}

/// How a handler leaves a connection.
pub enum HandlerEnd {
    Disposition(ConnectionDisposition),
    /// The client has begun with the preface of HTTP/2; these bytes have arrived.
    PriorKnowledge(Vec<u8>),
}

/// Serves one connection after another.
pub type Handler<T, D> = ReusableFuture<HandlerInput<T, D>, HandlerOutput<T>>;

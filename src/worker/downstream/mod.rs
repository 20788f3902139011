//! The connections of clients: their requests are read, handled by `worker::request`, and their connections closed.

mod close;
mod due_streams;
pub mod h1;
pub mod h2;
pub mod handler;
mod stream_handler;
mod streams;

use std::future::{Future, ready};
use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::Either;

use super::resources::client_info::ClientInfo;
use super::resources::dial::Dial;
use super::worker::Worker;
use crate::net::Transport;

/// Serves a connection to its end, in the version that its client speaks: HTTP/1 unless it begins with the preface of HTTP/2. Not an
/// `async fn`, which would hold the connection once more.
pub fn serve<T: Transport + 'static, D: Dial>(
    worker: Rc<Worker<D>>,
    io: T,
    peer: Box<ClientInfo>,
) -> impl Future<Output = ()> {
    let for_http2 = Rc::clone(&worker);
    h1::serve(worker, io, peer).then(move |served| match served {
        None => Either::Left(ready(())),
        // Boxed: most connections never need the space of this future.
        Some(known) => Either::Right(Box::pin(h2::serve(for_http2, known.io, known.peer, known.received))),
    })
}

//! The connections of clients: their requests are read, handled by `worker::request`, and their connections closed.

mod close;
mod due_streams;
pub mod h1;
pub mod h2;
pub mod handler;
mod stream_handler;
mod streams;

use std::rc::Rc;

use super::resources::client_info::ClientInfo;
use super::resources::dial::Dial;
use super::worker::Worker;
use crate::net::Transport;
use h1::PriorKnowledge;

/// Serves a connection to its end, in the version that its client speaks: HTTP/1 unless it begins with the preface of HTTP/2.
pub async fn serve<T: Transport + 'static, D: Dial>(worker: Rc<Worker<D>>, io: T, peer: Box<ClientInfo>) {
    let served = h1::serve(Rc::clone(&worker), io, peer).await;
    if let Some(PriorKnowledge { io, peer, received }) = served {
        // Boxed: most connections never need the space of this future.
        Box::pin(h2::serve(worker, io, peer, received)).await;
    }
}

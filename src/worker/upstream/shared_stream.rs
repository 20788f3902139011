//! A stream of a connection to a server that requests share.

use std::rc::Rc;

use crate::http::h2::connection::StreamKey;
use crate::worker::message::h2;
use crate::worker::resources::dial::Dial;
use crate::worker::server_links::ServerLink;
use crate::worker::worker::Worker;

/// A stream that one exchange uses. On drop it is given back, and the server learns if nobody waits for the rest of its response.
pub struct SharedStream<'w, D: Dial> {
    worker: &'w Worker<D>,
    link: Rc<ServerLink>,
    key: StreamKey,
    /// The connection is for this exchange alone.
    is_alone: bool,
}

impl<'w, D: Dial> SharedStream<'w, D> {
    pub fn new(worker: &'w Worker<D>, (link, key): (Rc<ServerLink>, StreamKey), is_alone: bool) -> Self {
        SharedStream { worker, link, key, is_alone }
    }

    /// The exchange on this stream.
    pub fn stream(&self) -> h2::Stream<'_> {
        h2::Stream::upstream(&self.link.link, self.key, &self.worker.buffers)
    }
}

impl<D: Dial> Drop for SharedStream<'_, D> {
    fn drop(&mut self) {
        // While the process drains, nothing is kept for later requests.
        let is_last = self.is_alone || self.worker.is_draining();
        self.link.release(self.key, is_last, self.worker.clock.mono_nanos(), &self.worker.buffers);
    }
}

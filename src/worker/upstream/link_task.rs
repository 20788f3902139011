//! The task of an HTTP/2 connection to a server: receives, wakes the requests whose streams have changed, and sends.

use std::rc::Rc;
use std::time::Duration;

use crate::http::h2::connection::Connection;
use crate::limits;
use crate::net::{Transport, WriteHalf};
use crate::worker::link_turns::{LinkUser, run_turns};
use crate::worker::message::h2::link::Link;
use crate::worker::resources::dial::Dial;
use crate::worker::server_links::Server;
#[cfg(doc)]
use crate::worker::server_links::ServerLinks;
use crate::worker::worker::Worker;

/// Runs the connection to its end: until the server or the idle timeout ([`ServerLinks::sweep`]) ends it and its last request is done. `server`: where requests find
/// the connection; `None` if it is for one request. `url` names the server in the log.
pub async fn run_link<D: Dial>(
    worker: Rc<Worker<D>>,
    link: Rc<Link>,
    mut io: D::Io,
    server: Option<Rc<Server>>,
    url: String,
) {
    run_turns(&worker, &link, &mut io, Requests(&link)).await;
    if let Some(server) = &server {
        server.remove(&link);
    }
    let error = link.see(|connection| connection.error().copied());
    if let Some(error) = error {
        worker.log_link_failure(&url, &error);
    }
    let limit = worker.deadlines.limit(Duration::from_secs(limits::LINGER_SECS));
    // The server learns that the connection has ended in order; it is closed in any case.
    let _ = limit.within_io(io.split().1.shutdown()).await;
}

/// The requests that use a connection to a server. Their handlers belong to other tasks.
struct Requests<'a>(&'a Link);

impl LinkUser for Requests<'_> {
    fn take_changes(&mut self) {
        self.0.wake_handlers();
    }

    fn is_done(&self) -> bool {
        self.0.see(Connection::streams) == 0
    }
}

//! Finds the TCP route of a connection by the ClientHello with which it begins, of which nothing is taken
//! (docs/reference/layer4.md#rules). A connection without a route goes on to HTTP with all its bytes.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::tcp::{ChosenRoute, serve};
use crate::config::snapshot::TcpFrontend;
use crate::detect::client_hello::{PEEK_BYTES_MAX, Peek, peek_hello};
use crate::limits::{self, Bound};
use crate::net::peek::{PeekHalf, PeekVerdict, peek};
use crate::net::{Duplex, WriteHalf, is_timeout};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::dial::{ConnectionTask, Dial};
use crate::worker::tcp_choice::{Beginning, Choice, choose};
use crate::worker::worker::Worker;

/// A connection that no TCP route takes: it goes on to HTTP.
pub struct Unrouted<R, W> {
    pub io: Duplex<R, W>,
    pub peer: Box<ClientInfo>,
}

/// The outcome of the search for a route.
pub enum Routed<R, W> {
    Http(Box<Unrouted<R, W>>),
    /// A TCP route takes the connection: the task serves it to its end.
    Tcp(ConnectionTask),
    Closed,
}

/// Finds out whether a TCP route of its entry point takes a connection.
pub async fn route<R: PeekHalf + 'static, W: WriteHalf + 'static, D: Dial>(
    worker: Rc<Worker<D>>,
    mut io: Duplex<R, W>,
    peer: Box<ClientInfo>,
) -> Routed<R, W> {
    let published = worker.snapshot();
    let Some(routes) = published.snapshot.tcp.get(peer.entry) else {
        return Routed::Http(Box::new(Unrouted { io, peer }));
    };
    let has_tls = worker.shared.entry_points[peer.entry].tls.is_some();
    // Without TLS and without names, the server may be the one that speaks first: nothing is awaited.
    let beginning = match has_tls || routes.needs_name() {
        true => await_beginning(&worker, &mut io.reader, &peer).await,
        false => Beginning::Opaque,
    };
    let counters = |frontend: &TcpFrontend| published.shared_counters(frontend.backend.number);
    let chosen = match choose(routes, beginning, has_tls) {
        Choice::Http => return Routed::Http(Box::new(Unrouted { io, peer })),
        Choice::Close => return Routed::Closed,
        Choice::Route { frontend, terminates, hello } => ChosenRoute {
            counters: counters(&frontend),
            frontend,
            terminates,
            name: hello.and_then(|hello| hello.server_name).map(Box::from),
        },
    };
    Routed::Tcp(Box::pin(serve(worker, io, peer, chosen)))
}

async fn await_beginning<R: PeekHalf, D: Dial>(worker: &Worker<D>, reader: &mut R, peer: &ClientInfo) -> Beginning {
    // A client that sends nothing has no more time than on an entry point without TCP routes.
    let limit = Duration::from_secs(limits::HANDSHAKE_SECS).min(worker.first_idle_timeout());
    let judge = |bytes: &[u8]| match peek_hello(bytes) {
        Ok(Peek::Partial { needed }) => PeekVerdict::NeedsBytes(needed),
        Ok(Peek::Complete(hello)) => PeekVerdict::Decided(Beginning::Hello(hello)),
        Ok(Peek::NotTls) => PeekVerdict::Decided(Beginning::Opaque),
        Err(invalid) => {
            tracing::debug!(client = %peer.address, "no TCP route: {invalid}");
            PeekVerdict::Decided(Beginning::Opaque)
        }
    };
    match peek(reader, PEEK_BYTES_MAX, worker.deadlines.limit(limit), judge).await {
        Ok(Some(beginning)) => beginning,
        Ok(None) => Beginning::Nothing,
        Err(e) if is_timeout(&e) => {
            worker.exceeded(Bound::Handshake);
            Beginning::Nothing
        }
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Beginning::Opaque,
        Err(_) => Beginning::Failed,
    }
}

impl<D: Dial> Worker<D> {
    /// Whether connections of the entry point may belong to TCP routes.
    pub fn has_tcp_routes(&self, entry: usize) -> bool {
        self.with_snapshot(|published| published.snapshot.tcp.get(entry).is_some_and(|routes| !routes.is_empty()))
    }
}

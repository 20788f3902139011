//! TLS of a TCP route that ends here: the client gets the certificate of its name, and plain bytes go on.

use std::time::Duration;

use crate::config::snapshot::TcpFrontend;
use crate::limits;
use crate::net::tls_stream::{self, TlsStream};
use crate::net::{Duplex, ReadHalf, WriteHalf};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Completes the client's TLS handshake, and notes in `peer` what a server may learn of it. `None` if the handshake failed; the client has
/// got an alert.
pub async fn terminate<R: ReadHalf, W: WriteHalf, D: Dial>(
    worker: &Worker<D>,
    io: Duplex<R, W>,
    peer: &mut ClientInfo,
    frontend: &TcpFrontend,
) -> Option<TlsStream<R, W>> {
    let of_entry_point = worker.shared.entry_points[peer.entry].tls.as_ref()?;
    let config = worker.terminating_configs.get(peer.entry, &frontend.alpn, of_entry_point);
    let limit = worker.deadlines.limit(Duration::from_secs(limits::HANDSHAKE_SECS));
    match limit.within_io(tls_stream::accept(io, config)).await {
        Ok(stream) => {
            if let Some(arrival) = &mut peer.arrival {
                arrival.alpn = stream.with_session(|session| session.alpn().map(Box::from));
            }
            Some(stream)
        }
        Err(e) => {
            worker.handshake_failed(peer, &e);
            None
        }
    }
}

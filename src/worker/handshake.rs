//! A connection's task, from its acceptance to its end: a PROXY header and TLS if the entry point has them, then the client's protocol.

mod proxy_header;

use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::Either;
use rustls::ServerConfig;

use self::proxy_header::read_proxy_header;
use super::downstream::{h2, serve};
use super::layer4::{self, Routed, Unrouted};
use super::resources::client_info::{Arrival, ClientInfo, unmap_ipv4};
use super::resources::connection_limiter::ConnectionPermit;
use super::resources::dial::{ConnectionTask, Dial};
use super::upstream::network::NetworkDial;
use super::worker::Worker;
use crate::limits;
use crate::net::tcp::{TcpReader, TcpWriter};
use crate::net::tls_stream::TlsStream;
use crate::net::{Duplex, ReadHalf, Tcp, WriteHalf, tls_stream};
use crate::observe::metrics::Metrics;
use crate::tls::alpn_challenge;
use crate::tls::challenge::{ALPN_PROTOCOL, ChallengeTable};
use crate::tls::session::Session;

/// A connection's task. Neither this function nor the functions that it combines are `async fn`s: each would hold the connection once more.
pub fn connection_task(
    worker: Rc<Worker<NetworkDial>>,
    permit: ConnectionPermit,
    entry: usize,
    tcp: Tcp,
    address: SocketAddr,
) -> impl Future<Output = ()> {
    catch_panic(handshake(Rc::clone(&worker), entry, tcp, address)).map(move |outcome| {
        if outcome == TaskOutcome::Panicked {
            log_panic(&worker.shared.metrics, address);
        }
        drop(permit);
        worker.handoff_queue().end();
    })
}

#[derive(PartialEq, Eq)]
enum TaskOutcome {
    Ended,
    Panicked,
}

/// Catches a panic of one connection, so that it ends no other connection.
fn catch_panic(serving: impl Future<Output = ()>) -> impl Future<Output = TaskOutcome> {
    AssertUnwindSafe(serving).catch_unwind().map(|ended| ended.map_or(TaskOutcome::Panicked, |()| TaskOutcome::Ended))
}

fn log_panic(metrics: &Metrics, address: SocketAddr) {
    metrics.connection_panicked();
    tracing::error!(client = %address, "panic in a connection's task, a bug in Ringway: this connection was closed, others are not affected; please report it with the panic message above");
}

/// Reads the PROXY header if the entry point expects one, then serves the client. The futures beside the plain one are boxed, so that a plain
/// connection does not take their space.
fn handshake<D: Dial>(worker: Rc<Worker<D>>, entry: usize, tcp: Tcp, address: SocketAddr) -> impl Future<Output = ()> {
    match worker.shared.entry_points[entry].proxy_protocol {
        None => Either::Left(serve_client(worker, entry, tcp, address, None)),
        Some(_) => Either::Right(Box::pin(serve_proxied(worker, entry, tcp, address))),
    }
}

/// Serves a connection whose peer may be a load balancer that speaks for a client: the address in its PROXY header replaces the peer's.
async fn serve_proxied<D: Dial>(worker: Rc<Worker<D>>, entry: usize, mut tcp: Tcp, peer: SocketAddr) {
    let shared = Arc::clone(&worker.shared);
    let Some(trusted) = &shared.entry_points[entry].proxy_protocol else { return };
    if let Ok(proxied) = read_proxy_header(&worker, trusted, entry, &mut tcp, peer).await {
        drop(shared);
        let client = proxied.map_or(peer, |addresses| addresses.source);
        serve_client(worker, entry, tcp, client, proxied.map(|addresses| addresses.destination)).await;
    }
}

/// Runs the TLS handshake if the entry point has TLS, then serves the client. `destination`: where the client connected to, if a PROXY header
/// has said so.
fn serve_client<D: Dial>(
    worker: Rc<Worker<D>>,
    entry: usize,
    tcp: Tcp,
    address: SocketAddr,
    destination: Option<SocketAddr>,
) -> impl Future<Output = ()> {
    let entry_point = &worker.shared.entry_points[entry];
    let ip = unmap_ipv4(address.ip());
    let peer = Box::new(ClientInfo {
        entry,
        address,
        ip_text: ip.to_string().into(),
        secure: entry_point.tls.is_some(),
        certs: Vec::new(),
        server_name: None,
        trusted: entry_point.trust.includes(ip),
        arrival: arrival(&worker, &tcp, destination),
        bound: Default::default(),
        has_sent_ahead: Default::default(),
    });
    if worker.has_tcp_routes(entry) {
        let routed = Box::pin(layer4::route(Rc::clone(&worker), tcp, peer));
        return Either::Right(Either::Left(routed.then(|routed| serve_routed(worker, routed))));
    }
    match entry_point.tls.clone() {
        None => Either::Left(serve(worker, tcp, peer)),
        Some(config) => Either::Right(Either::Right(Box::pin(tls_handshake(worker, tcp, peer, config)))),
    }
}

/// The rest of a connection of an entry point that has TCP routes. The future that has found the route is gone by then.
fn serve_routed<D: Dial>(worker: Rc<Worker<D>>, routed: Routed<TcpReader, TcpWriter>) -> ConnectionTask {
    let Unrouted { io, peer } = match routed {
        Routed::Http(unrouted) => *unrouted,
        Routed::Tcp(serving) => return serving,
        Routed::Closed => return Box::pin(ready(())),
    };
    match worker.shared.entry_points[peer.entry].tls.clone() {
        None => Box::pin(serve(worker, io, peer)),
        Some(config) => Box::pin(tls_handshake(worker, io, peer, config)),
    }
}

/// How the connection arrived, if it began with a PROXY header or a server may get one for it.
fn arrival<D: Dial>(worker: &Worker<D>, tcp: &Tcp, proxied: Option<SocketAddr>) -> Option<Box<Arrival>> {
    if proxied.is_none() && !worker.sends_proxy_headers() {
        return None;
    }
    let destination = proxied.or_else(|| tcp.reader.local_address().ok());
    Some(Box::new(Arrival { destination, ..Arrival::default() }))
}

async fn tls_handshake<D: Dial>(worker: Rc<Worker<D>>, tcp: Tcp, mut peer: Box<ClientInfo>, config: Arc<ServerConfig>) {
    // A client that sends nothing has no more time than on a connection without TLS.
    let limit = Duration::from_secs(limits::HANDSHAKE_SECS).min(worker.first_idle_timeout());
    match Box::pin(worker.deadlines.limit(limit).within_io(accept(&worker.shared.challenges, tcp, config))).await {
        Ok(stream) if stream.with_session(|session| session.alpn() == Some(ALPN_PROTOCOL)) => {
            end_validation(stream).await
        }
        Ok(stream) => {
            let shown = |session: &Session| session.peer_certificates().iter().map(|der| der.to_vec()).collect();
            peer.certs = stream.with_session(shown);
            if let Some(arrival) = &mut peer.arrival {
                let (server_name, alpn) = stream
                    .with_session(|session| (session.server_name().map(Box::from), session.alpn().map(Box::from)));
                (arrival.server_name, arrival.alpn) = (server_name, alpn);
            }
            let speaks_http2 = stream.with_session(|session| session.alpn() == Some(b"h2"));
            if speaks_http2 {
                peer.server_name = stream.with_session(|session| session.server_name().map(Box::from));
            }
            match speaks_http2 {
                true => Box::pin(h2::serve(worker, stream, peer, Vec::new())).await,
                false => Box::pin(serve(worker, stream, peer)).await,
            }
        }
        Err(e) => worker.handshake_failed(&peer, &e),
    }
}

/// Completes the handshake. While an authority may validate a name by TLS-ALPN-01, the ClientHello is read first: a validation gets the
/// challenge's configuration (docs/reference/acme.md#tls-challenge).
async fn accept<R: ReadHalf, W: WriteHalf>(
    challenges: &ArcSwap<ChallengeTable>,
    io: Duplex<R, W>,
    config: Arc<ServerConfig>,
) -> io::Result<TlsStream<R, W>> {
    let is_expected = challenges.load().has_alpn();
    match is_expected {
        false => tls_stream::accept(io, config).await,
        true => {
            let select = |start: &[u8]| alpn_challenge::select(&challenges.load(), start);
            Box::pin(tls_stream::accept_selected(io, config, select)).await
        }
    }
}

/// Ends the connection of a validation, which carries no data (RFC 8737 3).
async fn end_validation<R: ReadHalf, W: WriteHalf>(mut stream: TlsStream<R, W>) {
    // The authority may have closed already: its verdict does not depend on the end of the connection.
    let _ = stream.writer.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::driver::{Driver, DriverPreference};
    use crate::observe::metrics::{Format, MetricsSettings, Scrape};

    #[test]
    fn panic_in_connection_is_caught_and_counted() {
        let metrics = Metrics::new(&MetricsSettings::default());
        let address = SocketAddr::from(([127, 0, 0, 1], 4711));
        let mut driver = Driver::build(DriverPreference::Auto).expect("a driver");
        driver.block_on(async {
            assert!(catch_panic(async { panic!("on purpose") }).await == TaskOutcome::Panicked);
            assert!(catch_panic(async {}).await == TaskOutcome::Ended);
        });
        log_panic(&metrics, address);
        let page = String::from_utf8(metrics.prometheus_page(&Scrape::default(), Format::Text)).expect("text");
        assert!(page.contains("\nringway_connection_panics_total 1\n"), "{page}");
    }
}

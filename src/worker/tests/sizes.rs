//! The memory that a connection takes: its task, and the handler that is lent to it while it is served. A handler is as large as the
//! largest state of a request, so futures that few requests need are boxed. `cargo nextest run sizes --no-capture` shows the figures.

use crate::http::h2::connection::Connection;
use crate::http::h2::stream::Stream;
use crate::net::tcp::{TcpReader, TcpWriter};
use crate::net::tunnel::copy_both;
use crate::net::{Duplex, tls_stream};
use crate::worker::downstream::h1::{serve, serve_requests};
use crate::worker::downstream::h2;
use crate::worker::handshake::connection_task;
use crate::worker::layer4::route;
use crate::worker::message::h1;
use crate::worker::request::exchange::handle_request;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::upstream::network::{NetworkDial, UpstreamConnection};

/// The largest size of a connection's task, idle or not.
const TASK_BYTES_MAX: usize = 448;
/// The largest size of the handler that is lent to an active connection.
const HANDLER_BYTES_MAX: usize = 3200;
/// The largest size of serving an HTTP/2 connection, idle or not; its state, [`Connection`], is apart.
const HTTP2_BYTES_MAX: usize = 1856;
/// The largest size of the state of an HTTP/2 connection, without what it has allocated.
const HTTP2_STATE_BYTES_MAX: usize = 688;
/// The largest size of a stream's place in that state.
const STREAM_BYTES_MAX: usize = 360;
/// The largest size of a relay between plain sockets: the larger part of an idle connection of a TCP route.
const RELAY_BYTES_MAX: usize = 1056;
/// The largest size of a connection to a server, which moves between the pool and its requests.
const UPSTREAM_BYTES_MAX: usize = 48;

fn bytes_of<A, B, C, D, F>(_future: fn(A, B, C, D) -> F) -> usize {
    size_of::<F>()
}

fn bytes_of_five<A, B, C, D, E, F>(_future: fn(A, B, C, D, E) -> F) -> usize {
    size_of::<F>()
}

fn bytes_of_one<A, F>(_future: fn(A) -> F) -> usize {
    size_of::<F>()
}

fn bytes_of_three<A, B, C, F>(_future: fn(A, B, C) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn connection_futures_stay_within_bounds() {
    type Plain = Duplex<TcpReader, TcpWriter>;
    type Tls = tls_stream::TlsStream<TcpReader, TcpWriter>;
    let task = bytes_of_five(connection_task);
    let handler = bytes_of_one(serve_requests::<Plain, NetworkDial>);
    let link = bytes_of(h2::serve::<Plain, NetworkDial>);
    let relay = bytes_of(copy_both::<TcpReader, TcpWriter, TcpReader, TcpWriter>);
    let rows = [
        ("task of a connection", task),
        ("handler of a plain one", handler),
        ("handler of a TLS one", bytes_of_one(serve_requests::<Tls, NetworkDial>)),
        ("serving a plain one", bytes_of_three(serve::<Plain, NetworkDial>)),
        ("serving a TLS one", bytes_of_three(serve::<Tls, NetworkDial>)),
        ("serving one of HTTP/2", link),
        ("state of HTTP/2", size_of::<Connection>()),
        ("place of a stream", size_of::<Stream>()),
        ("exchange of a plain one", bytes_of(handle_request::<h1::Stream<'static, TcpReader, TcpWriter>, NetworkDial>)),
        ("ctx, while a request is under way", size_of::<ExchangeContext>()),
        ("connection to a server", size_of::<UpstreamConnection>()),
        ("finding a TCP route", bytes_of_three(route::<TcpReader, TcpWriter, NetworkDial>)),
        ("relay of a TCP connection", relay),
    ];
    rows.iter().for_each(|(what, bytes)| println!("{what}: {bytes} bytes"));
    assert!(task <= TASK_BYTES_MAX, "{rows:?}");
    assert!(relay <= RELAY_BYTES_MAX, "{rows:?}");
    assert!(link <= HTTP2_BYTES_MAX, "{rows:?}");
    assert!(size_of::<Connection>() <= HTTP2_STATE_BYTES_MAX, "{rows:?}");
    assert!(size_of::<Stream>() <= STREAM_BYTES_MAX, "{rows:?}");
    assert!(handler <= HANDLER_BYTES_MAX, "{rows:?}");
    assert!(size_of::<UpstreamConnection>() <= UPSTREAM_BYTES_MAX, "{rows:?}");
}

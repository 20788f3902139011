//! What a connection costs in memory: its task while it idles, and the handler that is lent to it while it is served. A handler is as
//! large as the largest moment of a request, so what few requests need is boxed. `cargo nextest run sizes --no-capture` shows the figures.

use crate::net::tcp::{TcpReader, TcpWriter};
use crate::net::{Duplex, secure};
use crate::worker::connection::{converse, serve};
use crate::worker::exchange::exchange;
use crate::worker::listen::look_after;
use crate::worker::talk::Talk;
use crate::worker::upstream::{NetworkDial, Upstream};

/// A connection's task, idle or not.
const TASK_BYTES_MAX: usize = 448;
/// What is lent to a busy one besides.
const HANDLER_BYTES_MAX: usize = 3200;
/// A connection to a backend moves between the pool and its requests.
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
fn a_connection_is_small() {
    type Plain = Duplex<TcpReader, TcpWriter>;
    type Tls = secure::Secure<TcpReader, TcpWriter>;
    let task = bytes_of_five(look_after);
    let handler = bytes_of_one(converse::<Plain, NetworkDial>);
    let rows = [
        ("task of a connection", task),
        ("handler of a plain one", handler),
        ("handler of a TLS one", bytes_of_one(converse::<Tls, NetworkDial>)),
        ("serving a plain one", bytes_of_three(serve::<Plain, NetworkDial>)),
        ("serving a TLS one", bytes_of_three(serve::<Tls, NetworkDial>)),
        ("exchange of a plain one", bytes_of(exchange::<Plain, NetworkDial>)),
        ("talk, while a request is under way", size_of::<Talk>()),
        ("connection to a backend", size_of::<Upstream>()),
    ];
    rows.iter().for_each(|(what, bytes)| println!("{what}: {bytes} bytes"));
    assert!(task <= TASK_BYTES_MAX, "{rows:?}");
    assert!(handler <= HANDLER_BYTES_MAX, "{rows:?}");
    assert!(size_of::<Upstream>() <= UPSTREAM_BYTES_MAX, "{rows:?}");
}

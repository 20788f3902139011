//! What a connection costs in memory. Its task is as large as the largest moment of a request, from the first byte to the last, also
//! while it idles: what few requests need is boxed. `cargo nextest run sizes --no-capture` shows the figures.

use crate::net::tcp::{TcpReader, TcpWriter};
use crate::net::{Duplex, secure};
use crate::worker::connection::serve;
use crate::worker::exchange::exchange;
use crate::worker::listen::look_after;
use crate::worker::talk::Talk;
use crate::worker::upstream::{NetworkDial, Upstream};

/// A connection's task. The goal is 2 KiB: then 5,000 idle connections fit into 20 MiB beside the program.
const TASK_BYTES_MAX: usize = 3712;
/// A connection to a backend moves between the pool and its requests.
const UPSTREAM_BYTES_MAX: usize = 48;

fn bytes_of<A, B, C, D, F>(_future: fn(A, B, C, D) -> F) -> usize {
    size_of::<F>()
}

fn bytes_of_five<A, B, C, D, E, F>(_future: fn(A, B, C, D, E) -> F) -> usize {
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
    let rows = [
        ("task of a connection", task),
        ("serving a plain one", bytes_of_three(serve::<Plain, NetworkDial>)),
        ("serving a TLS one", bytes_of_three(serve::<Tls, NetworkDial>)),
        ("exchange of a plain one", bytes_of(exchange::<Plain, NetworkDial>)),
        ("talk, while a request is under way", size_of::<Talk>()),
        ("connection to a backend", size_of::<Upstream>()),
    ];
    rows.iter().for_each(|(what, bytes)| println!("{what}: {bytes} bytes"));
    assert!(task <= TASK_BYTES_MAX, "{rows:?}");
    assert!(size_of::<Upstream>() <= UPSTREAM_BYTES_MAX, "{rows:?}");
}

//! A lower bound for the cost of any proxy on this runtime: copies bytes between two sockets without parsing them, by the same driver with
//! the same flags as a worker of Ringway. docs/performance.md compares Ringway with it.
//!
//!   cargo run --release --example relay -- LISTEN ORIGIN [io_uring|epoll]

use std::io;
use std::net::SocketAddr;

use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, Splitable};
use monoio::net::{ListenerOpts, TcpListener, TcpStream};
use ringway::net::driver::{Driver, DriverPreference};

const BUFFER_BYTES: usize = 8 * 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [listen, origin, rest @ ..] = &args[..] else {
        return Err("usage: relay LISTEN ORIGIN [io_uring|epoll]".into());
    };
    let origin: SocketAddr = origin.parse()?;
    let wanted = rest.first().map_or(Ok(DriverPreference::Auto), |name| name.parse())?;
    let listen: SocketAddr = listen.parse()?;
    Driver::build(wanted)?.block_on(async {
        let accepting = monoio::spawn(accept(listen, origin));
        accepting.await
    })?;
    Ok(())
}

async fn accept(listen: SocketAddr, origin: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind_with_config(listen, &ListenerOpts::new().backlog(4096))?;
    loop {
        let (client, _) = listener.accept().await?;
        monoio::spawn(async move { drop(relay(client, origin).await) });
    }
}

async fn relay(client: TcpStream, origin: SocketAddr) -> io::Result<()> {
    let upstream = TcpStream::connect_addr(origin).await?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let ((from_client, to_client), (from_origin, to_origin)) = (client.into_split(), upstream.into_split());
    monoio::spawn(async move { drop(copy(from_origin, to_client).await) });
    copy(from_client, to_origin).await
}

async fn copy(mut from: impl AsyncReadRent, mut to: impl AsyncWriteRent) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        let (read, filled) = from.read(buffer).await;
        if read? == 0 {
            return to.shutdown().await;
        }
        let (written, sent) = to.write_all(filled).await;
        written?;
        buffer = sent;
        buffer.clear();
    }
}

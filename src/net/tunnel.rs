//! Two-way copying between two connections that no longer speak HTTP (WebSocket after its 101).

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;

use super::{ReadHalf, Transport, WriteHalf};
use crate::limits;

/// Copies both ways until both directions have ended or one has failed. Each end of stream is passed on as one, so that half-closed
/// connections work; the order of bytes is kept. Returns the bytes that went (to the client, to the backend).
pub async fn copy_both<A: Transport, B: Transport>(
    client: &mut A,
    from_client: Vec<u8>,
    backend: &mut B,
    from_backend: Vec<u8>,
) -> (u64, u64) {
    let (client_reader, client_writer) = client.split();
    let (backend_reader, backend_writer) = backend.split();
    let (mut down, mut up) = (0, 0);
    {
        let mut downward = pin!(copy_one(backend_reader, from_backend, client_writer, &mut down));
        let mut upward = pin!(copy_one(client_reader, from_client, backend_writer, &mut up));
        let (mut down_done, mut up_done) = (false, false);
        // A direction that fails ends the tunnel: the other one's pending read is dropped with its connection.
        std::future::poll_fn(|cx| {
            if !down_done && let Poll::Ready(result) = downward.as_mut().poll(cx) {
                if result.is_err() {
                    return Poll::Ready(());
                }
                down_done = true;
            }
            if !up_done && let Poll::Ready(result) = upward.as_mut().poll(cx) {
                if result.is_err() {
                    return Poll::Ready(());
                }
                up_done = true;
            }
            if down_done && up_done { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    (down, up)
}

async fn copy_one<R: ReadHalf, W: WriteHalf>(
    from: &mut R,
    first: Vec<u8>,
    to: &mut W,
    copied: &mut u64,
) -> io::Result<()> {
    let mut buffer = first;
    loop {
        if !buffer.is_empty() {
            let (result, returned) = to.write_all(buffer).await;
            buffer = returned;
            result?;
            *copied += buffer.len() as u64;
            buffer.clear();
        }
        // An idle tunnel holds no buffer: there may be tens of thousands of them.
        if buffer.capacity() > 0 {
            buffer = Vec::new();
        }
        from.readable().await?;
        buffer.reserve(limits::COPY_BUFFER_MIN_BYTES);
        let (result, returned) = from.read(buffer).await;
        buffer = returned;
        if result? == 0 {
            return to.shutdown().await;
        }
    }
}

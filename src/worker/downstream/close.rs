//! Closing a client's connection.

use std::io;
use std::time::Duration;

use crate::limits;
use crate::net::{ReadHalf, Transport, WriteHalf};
use crate::worker::message::stream::ConnectionDisposition;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Closes the connection with a FIN; for a client that still sends, reads on for up to `LINGER_SECS`.
pub async fn close<T: Transport, D: Dial>(worker: &Worker<D>, io: &mut T, end: ConnectionDisposition) {
    let (reader, writer) = io.split();
    if end == ConnectionDisposition::Abort {
        return reader.abort();
    }
    if end == ConnectionDisposition::Close && reader.as_plain().is_some() {
        // The writer sends the FIN when it is dropped, without waiting.
        return;
    }
    let linger = worker.deadlines.limit(Duration::from_secs(limits::LINGER_SECS));
    // A client that reads nothing would hold up the last record of TLS indefinitely.
    if linger.within_io(writer.shutdown()).await.is_err() || end != ConnectionDisposition::Linger {
        return;
    }
    let _ = linger.within_io(drain(reader)).await;
}

/// Reads and drops what the client still sends, up to `LINGER_BYTES_MAX`.
async fn drain<R: ReadHalf>(reader: &mut R) -> io::Result<()> {
    let mut left = limits::LINGER_BYTES_MAX;
    let mut buffer = Vec::with_capacity(limits::COPY_BUFFER_MIN_BYTES);
    while left > 0 {
        let (result, returned) = reader.read(buffer).await;
        buffer = returned;
        match result? {
            0 => break,
            n => left = left.saturating_sub(n),
        }
        buffer.clear();
    }
    Ok(())
}

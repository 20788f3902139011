//! Moves one message's body from a reader to a writer, with bounded buffers and back-pressure: the next bytes are read only when the
//! receiver has taken the previous ones.

use super::limits::RelayLimits;
use super::stream::{BodyReader, Delivered, MessageWriter, RelayError};

/// Sends what `sink` holds, then the rest of the body as it arrives, and ends the message.
///
/// # Errors
/// The side that failed. Earlier bytes have been sent already: only the end of its connection tells the receiver that the body is cut.
pub async fn relay<R: BodyReader, W: MessageWriter>(
    source: &mut R,
    sink: &mut W,
    limits: &mut RelayLimits<'_>,
) -> Result<(), RelayError> {
    match source.read_into(sink) {
        // Most bodies have arrived whole together with their head. Boxed: most connections never need the space of this future.
        Ok(Delivered::Part) => Box::pin(relay_rest(source, sink, limits, false)).await,
        Ok(Delivered::Full) => Box::pin(relay_rest(source, sink, limits, true)).await,
        result => end(source, sink, limits, result).await,
    }
}

/// Relays the rest of a body. `is_full`: payload has arrived that waits for space in the sink.
async fn relay_rest<R: BodyReader, W: MessageWriter>(
    source: &mut R,
    sink: &mut W,
    limits: &mut RelayLimits<'_>,
    is_full: bool,
) -> Result<(), RelayError> {
    let mut is_full = is_full;
    loop {
        if is_full || !source.pass_raw(sink, limits).await? {
            sink.send(limits.stall).await.map_err(RelayError::Sink)?;
            if !is_full {
                source.fill(limits.read_timeout).await?;
            }
        }
        match source.read_into(sink) {
            Ok(Delivered::Part) => is_full = false,
            Ok(Delivered::Full) => is_full = true,
            result => return end(source, sink, limits, result).await,
        }
    }
}

/// Sends the last bytes. Valid bytes in front of invalid ones still belong to the receiver.
async fn end<R: BodyReader, W: MessageWriter>(
    source: &R,
    sink: &mut W,
    limits: &mut RelayLimits<'_>,
    result: Result<Delivered, RelayError>,
) -> Result<(), RelayError> {
    limits.release_permits();
    let sent = match &result {
        Ok(_) => sink.finish(source.trailers(), limits.closes, limits.stall).await,
        // After an invalid body the connection may be reset: the valid part of the body is sent before.
        Err(_) => sink.send(limits.stall).await,
    };
    result?;
    sent.map_err(RelayError::Sink)
}

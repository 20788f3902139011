//! Moving one message's body from a reader to a writer, with bounded buffers and back-pressure: nothing is read while the receiver has not
//! taken what was read before.

use super::limits::RelayLimits;
use super::stream::{BodyReader, Delivered, MessageWriter, RelayError};

/// Sends what `sink` holds, then the rest of the body as it arrives, and ends the message.
///
/// # Errors
/// The side that failed. What was sent before has been sent: the receiver must be told by its connection's end.
pub async fn relay<R: BodyReader, W: MessageWriter>(
    source: &mut R,
    sink: &mut W,
    limits: &mut RelayLimits<'_>,
) -> Result<(), RelayError> {
    match source.read_into(sink) {
        // Few bodies are longer than what came with their head. Boxed: most connections never need the space.
        Ok(Delivered::Part) => Box::pin(relay_rest(source, sink, limits)).await,
        ended => end(source, sink, limits, ended).await,
    }
}

async fn relay_rest<R: BodyReader, W: MessageWriter>(
    source: &mut R,
    sink: &mut W,
    limits: &mut RelayLimits<'_>,
) -> Result<(), RelayError> {
    loop {
        if !source.pass_raw(sink, limits).await? {
            sink.send(limits.stall).await.map_err(RelayError::Sink)?;
            source.fill(limits.read_timeout).await?;
        }
        match source.read_into(sink) {
            Ok(Delivered::Part) => {}
            ended => return end(source, sink, limits, ended).await,
        }
    }
}

/// Sends the last bytes. Good bytes in front of bad ones still belong to the receiver.
async fn end<R: BodyReader, W: MessageWriter>(
    source: &R,
    sink: &mut W,
    limits: &mut RelayLimits<'_>,
    ended: Result<Delivered, RelayError>,
) -> Result<(), RelayError> {
    limits.release_permits();
    let sent = match &ended {
        Ok(_) => sink.finish(source.trailers(), limits.closes, limits.stall).await,
        // Behind a bad body the connection may be reset: what was good of it leaves at once.
        Err(_) => sink.send(limits.stall).await,
    };
    ended?;
    sent.map_err(RelayError::Sink)
}

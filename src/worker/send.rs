//! Sending what stands in memory: each piece of it within the time that a peer may stand still.

use std::io;

use crate::limits;
use crate::net::{TimeLimit, WriteHalf};

/// Sends a whole buffer, within `stall`.
pub async fn send<W: WriteHalf>(writer: &mut W, buffer: Vec<u8>, stall: TimeLimit<'_>) -> (io::Result<()>, Vec<u8>) {
    let sent = stall.within_io(async { Ok(writer.write_all(buffer).await) }).await;
    sent.unwrap_or_else(|late| (Err(late), Vec::new()))
}

/// As [`send`]; if it `closes`, the connection is shut down as soon as this is done, and the bytes may leave with its end
/// ([`WriteHalf::write_last`]).
pub async fn send_final<W: WriteHalf>(
    writer: &mut W,
    buffer: Vec<u8>,
    closes: bool,
    stall: TimeLimit<'_>,
) -> (io::Result<()>, Vec<u8>) {
    if !closes {
        return send(writer, buffer, stall).await;
    }
    let sent = stall.within_io(async { Ok(writer.write_last(buffer).await) }).await;
    sent.unwrap_or_else(|late| (Err(late), Vec::new()))
}

/// As [`send_answer`], for what is held in memory: it goes out in pieces, and each has the time of `stall` as the pieces of a body have that
/// is passed on. One limit for all of it would cut off whoever takes a long answer at the speed of its line. `out`, the head, goes first.
pub async fn send_in_chunks<W: WriteHalf>(
    writer: &mut W,
    mut out: Vec<u8>,
    mut body: &[u8],
    closes: bool,
    stall: TimeLimit<'_>,
) -> (io::Result<()>, Vec<u8>) {
    loop {
        let room = limits::HELD_PIECE_BYTES.saturating_sub(out.len());
        let (next, rest) = body.split_at(room.min(body.len()));
        out.extend_from_slice(next);
        body = rest;
        if body.is_empty() {
            return send_final(writer, out, closes, stall).await;
        }
        let (sent, returned) = send(writer, out, stall).await;
        out = returned;
        if sent.is_err() {
            return (sent, out);
        }
        out.clear();
    }
}

/// As [`send_held`], for a message in one buffer, which comes back.
pub async fn send_whole<W: WriteHalf>(
    writer: &mut W,
    message: Vec<u8>,
    closes: bool,
    stall: TimeLimit<'_>,
) -> (io::Result<()>, Vec<u8>) {
    if message.len() <= limits::HELD_PIECE_BYTES {
        return send_final(writer, message, closes, stall).await;
    }
    // Boxed: few are so long.
    let (sent, _) = Box::pin(send_in_chunks(writer, Vec::new(), &message, closes, stall)).await;
    (sent, message)
}

//! Responses of gRPC that break off: the client gets a status instead of a broken stream (docs/reference/backends.md#grpc).

use std::io;

use crate::http::ResponseView;
use crate::net::TimeLimit;
use crate::worker::message::stream::{MessageWriter, RelayError};
use crate::worker::resources::context::UpstreamResponse;

/// The trailers of a call whose server has failed: status 14, UNAVAILABLE, which clients may try again.
const UNAVAILABLE: &[u8] =
    b"grpc-status: 14\r\ngrpc-message: the server closed the connection before the call was complete\r\n";

/// Whether the response is one of gRPC. The form for browsers (`application/grpc-web`) has its trailers in the body.
pub fn is_grpc(response: &UpstreamResponse) -> bool {
    let view = ResponseView { head: &response.head, bytes: &response.bytes, edits: &response.edits };
    let Some(rest) = view.first(b"content-type").and_then(|value| value.strip_prefix(b"application/grpc")) else {
        return false;
    };
    matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// Ends a response that its server has broken off: the calls that the client has in progress on other streams are not concerned.
pub async fn end_broken_call<W: MessageWriter>(
    writer: &mut W,
    result: &Result<(), RelayError>,
    stall: TimeLimit<'_>,
) -> io::Result<()> {
    match result {
        Err(RelayError::Source(_)) => writer.finish(UNAVAILABLE, false, stall).await,
        _ => Ok(()),
    }
}

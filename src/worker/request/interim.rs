//! Informational responses: forwarded before the final one.

use super::response_context::ResponseContext;
use crate::error::ProxyError;
use crate::http::forward::{ResponsePlan, write_response};
use crate::http::{BodyFraming, ResponseView};
use crate::worker::message::stream::{HeadKind, MessageWriter, ResponseReader};
use crate::worker::resources::context::UpstreamResponse;
use crate::worker::resources::dial::Dial;
use crate::worker::upstream::response_head::read_final_head;
use crate::worker::worker::Worker;

/// Forwards informational responses to the client (RFC 9110 15.2), and reads the head of the final one. Not forwarded are 100, which
/// Ringway itself has sent to a client that waits for it, and all of them to a client whose protocol version does not know them.
pub async fn forward_interim<R: ResponseReader, W: MessageWriter, D: Dial>(
    worker: &Worker<D>,
    reader: &mut R,
    writer: &mut W,
    context: &ResponseContext<'_>,
    response: &mut UpstreamResponse,
) -> Result<(), ProxyError> {
    let client_version = context.head.version;
    let to_head = context.head.method.of(context.bytes) == b"HEAD";
    read_final_head(worker, reader, to_head, context.request_sent, response, async |response| {
        if response.head.status == 100 || !writer.takes_interim() {
            return;
        }
        let view = ResponseView { head: &response.head, bytes: &response.bytes, edits: &response.edits };
        let plan = ResponsePlan { client_version, keep_alive: true, body: BodyFraming::None, date: None };
        write_response(writer.head(), view, &plan);
        writer.head_complete(HeadKind::Interim);
        // If the client is gone, sending the final response says so.
        let _ = writer.send(worker.stall()).await;
    })
    .await
}

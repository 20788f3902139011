//! Forwards a server's response to the client: the head through the chains, the body in bounded pieces.

use std::time::Duration;

use super::grpc::{end_broken_call, is_grpc};
use super::gzip;
use super::interim::forward_interim;
use super::request_record::RequestRecord;
use super::response_context::{ResponseContext, ResponseOutcome, run_response_chain, write_response_head};
use super::response_end::end_response;
use super::upgrade::check_switch;
use super::websocket::translate_accept;
use crate::config::snapshot::Frontend;
use crate::error::ProxyError;
use crate::http::BodyFraming;
use crate::middleware::gzip::CompressionPlan;
use crate::worker::message::limits::RelayLimits;
use crate::worker::message::relay::relay;
use crate::worker::message::stream::{MessageWriter, ReceivedHead, ResponseReader};
use crate::worker::resources::context::UpstreamResponse;
use crate::worker::resources::dial::Dial;
use crate::worker::upstream::response_head::read_head;
use crate::worker::worker::Worker;

/// Receives a server's response and forwards it to the client.
///
/// # Errors
/// Only while nothing has been sent to the client: afterwards only closing its connection tells the client that the response is cut
/// (docs/reference/security-promises.md#truncated-response).
pub async fn forward_response<R: ResponseReader, W: MessageWriter, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    reader: &mut R,
    writer: &mut W,
    mut context: ResponseContext<'_>,
    response: &mut UpstreamResponse,
    record: &mut RequestRecord<'_>,
) -> Result<ResponseOutcome, ProxyError> {
    let to_head = context.head.method.of(context.bytes) == b"HEAD";
    if read_head(worker, reader, to_head, context.request_sent, response).await? == ReceivedHead::Interim {
        Box::pin(forward_interim(worker, reader, writer, &context, response)).await?;
    }
    let upgraded = response.head.status == 101;
    if upgraded {
        check_switch(&context, response)?;
        translate_accept(&context, response)?;
    }
    worker.clock.read();
    record.response_received(response.head.status, worker);
    if let Some(cookie) = context.cookie {
        response.edits.add(b"Set-Cookie", cookie.as_bytes());
    }
    let page = run_response_chain(worker, frontend, &mut context, response);
    if page.is_some() {
        // The replaced response's body is not read: its connection is closed, unless the response has no body.
        let upstream_ok = response.head.keep_alive && response.head.body == BodyFraming::None;
        return Ok(ResponseOutcome { keep_alive: false, upstream_ok, upgraded: false, is_cut: false, page });
    }
    if context.chain_state.body != CompressionPlan::Plain {
        return Ok(Box::pin(gzip::deliver(worker, reader, writer, &mut context, response, record)).await);
    }
    let outgoing = writer.framing_for(response.head.body);
    let keep_alive = write_response_head(worker, &context, response, outgoing, writer);
    context.response_started.set(true);
    let stall = worker.stall();
    let mut limits = RelayLimits {
        stall,
        read_timeout: stall.with(Duration::MAX),
        // A tunnel keeps its permits to its own end.
        permits: (!upgraded).then_some(context.chain_state),
        closes: !keep_alive && !upgraded,
    };
    let result = worker.relayed(relay(reader, writer, &mut limits).await);
    let is_complete = result.is_ok();
    if !is_complete && outgoing == BodyFraming::Chunked && is_grpc(response) {
        // The log says why the response broke off, whether or not the client gets the status.
        let _ = Box::pin(end_broken_call(writer, &result, stall)).await;
    }
    end_response(worker, reader, result, record);
    Ok(ResponseOutcome {
        keep_alive: keep_alive && is_complete,
        upstream_ok: is_complete && response.head.keep_alive && !upgraded,
        upgraded: upgraded && is_complete,
        is_cut: outgoing == BodyFraming::UntilClose && !is_complete,
        page: None,
    })
}

//! Decides which responses are compressed with gzip (docs/reference/middlewares.md#compression). [`super::gzip`] holds the encoder.

use super::gzip::{CompressionPlan, GZIP_BYTES_MIN};
use super::{ChainState, Request, Response, Verdict};
use crate::http::BodyFraming;

/// Notes in `chain_state` whether the client accepts gzip.
pub fn on_request(request: &Request, chain_state: &mut ChainState) -> Verdict {
    let is_grpc = request.first(b"content-type").is_some_and(|value| value.starts_with(b"application/grpc"));
    let is_upgrade = request.head.upgrade.is_forwarded();
    chain_state.takes_gzip = !is_grpc && !is_upgrade && request.view().all(b"accept-encoding").any(accepts_gzip);
    Verdict::Next
}

/// Adds `Vary` to the response and plans its body: plain or compressed.
pub fn on_response(request: &Request, response: &mut Response, chain_state: &mut ChainState) {
    // An error page may replace a response whose body was planned already.
    chain_state.body = CompressionPlan::Plain;
    if response.status() == 101 {
        return;
    }
    response.add("Vary", b"Accept-Encoding");
    // A partial response (206) is not compressed: its ranges count bytes of the original representation.
    let has_body = request.method() != b"HEAD" && !matches!(response.status(), 204 | 206 | 304);
    if !chain_state.takes_gzip || !has_body || response.first(b"content-encoding").is_some() {
        return;
    }
    let is_event_stream = response.first(b"content-type").is_some_and(|value| value.starts_with(b"text/event-stream"));
    let body = match response {
        Response::Backend { head, .. } => head.body,
        Response::Gateway(reply) | Response::Local(reply) => BodyFraming::Length(reply.body.len() as u64),
    };
    chain_state.body = match body {
        BodyFraming::None => CompressionPlan::Plain,
        BodyFraming::Length(bytes) if bytes < GZIP_BYTES_MIN as u64 => CompressionPlan::Plain,
        BodyFraming::Length(_) => CompressionPlan::Gzip,
        // Server-sent events must not wait until `GZIP_BYTES_MIN` bytes are there: compressed from the first byte, flushed one by one.
        BodyFraming::Chunked | BodyFraming::UntilClose if is_event_stream => CompressionPlan::Gzip,
        BodyFraming::Chunked | BodyFraming::UntilClose => CompressionPlan::GzipIfLong,
    };
    if chain_state.body == CompressionPlan::Gzip {
        announce(response);
    }
}

/// Changes a response's fields for a body that is compressed with gzip.
pub fn announce(response: &mut Response) {
    response.set("Content-Encoding", b"gzip");
    response.remove("Content-Length");
    response.remove("Accept-Ranges");
}

/// Whether an element of an Accept-Encoding value names gzip with a weight above zero.
fn accepts_gzip(value: &[u8]) -> bool {
    value.split(|&b| b == b',').any(|element| {
        let mut parts = element.split(|&b| b == b';');
        let coding = parts.next().unwrap_or_default().trim_ascii();
        coding.eq_ignore_ascii_case(b"gzip") && parts.all(|parameter| weight_above_zero(parameter.trim_ascii()))
    })
}

/// Whether a parameter leaves the coding acceptable: `q=0`, `q=0.0` and a weight that is no number do not.
fn weight_above_zero(parameter: &[u8]) -> bool {
    let Some(digits) = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q=")) else { return true };
    std::str::from_utf8(digits).ok().and_then(|text| text.trim().parse::<f32>().ok()).is_some_and(|q| q > 0.0)
}

//! Compression of responses with gzip (docs/reference/entry-points.md#compression, docs/reference/middlewares.md#compression): the decision, and the machine that carries it out.

use super::gzip::{CompressionPlan, GZIP_BYTES_MIN};
use super::{ChainState, Request, Response, Verdict};
use crate::http::BodyFraming;

/// Takes note of whether the client can read gzip.
pub fn on_request(request: &Request, passage: &mut ChainState) -> Verdict {
    let grpc = request.first(b"content-type").is_some_and(|value| value.starts_with(b"application/grpc"));
    let websocket = request.head.websocket;
    passage.takes_gzip = !grpc && !websocket && request.view().all(b"accept-encoding").any(accepts_gzip);
    Verdict::Next
}

/// Adds `Vary` and decides about the body.
pub fn on_response(request: &Request, answer: &mut Response, passage: &mut ChainState) {
    // An error page may come in place of an answer that was planned for already.
    passage.body = CompressionPlan::Plain;
    if answer.status() == 101 {
        return;
    }
    answer.add("Vary", b"Accept-Encoding");
    // A part of a resource stays as it is: its ranges count bytes of the original.
    let has_body = request.method() != b"HEAD" && !matches!(answer.status(), 204 | 206 | 304);
    if !passage.takes_gzip || !has_body || answer.first(b"content-encoding").is_some() {
        return;
    }
    let events = answer.first(b"content-type").is_some_and(|value| value.starts_with(b"text/event-stream"));
    let body = match answer {
        Response::Backend { head, .. } => head.body,
        Response::Gateway(reply) | Response::Local(reply) => BodyFraming::Length(reply.body.len() as u64),
    };
    passage.body = match body {
        BodyFraming::None => CompressionPlan::Plain,
        BodyFraming::Length(bytes) if bytes < GZIP_BYTES_MIN as u64 => CompressionPlan::Plain,
        BodyFraming::Length(_) => CompressionPlan::Gzip,
        // Events must not wait for company: they are compressed from the first byte, and flushed one by one.
        BodyFraming::Chunked | BodyFraming::UntilClose if events => CompressionPlan::Gzip,
        BodyFraming::Chunked | BodyFraming::UntilClose => CompressionPlan::GzipIfLong,
    };
    if passage.body == CompressionPlan::Gzip {
        announce(answer);
    }
}

/// Changes a head for a body that goes through [`Gzip`].
pub fn announce(answer: &mut Response) {
    answer.set("Content-Encoding", b"gzip");
    answer.remove("Content-Length");
    answer.remove("Accept-Ranges");
}

/// An element of Accept-Encoding names gzip with a weight above zero.
fn accepts_gzip(value: &[u8]) -> bool {
    value.split(|&b| b == b',').any(|element| {
        let mut parts = element.split(|&b| b == b';');
        let coding = parts.next().unwrap_or_default().trim_ascii();
        coding.eq_ignore_ascii_case(b"gzip") && parts.all(|parameter| weight_above_zero(parameter.trim_ascii()))
    })
}

/// Everything but `q=0`, `q=0.0` and so on; a weight that cannot be read counts as none.
fn weight_above_zero(parameter: &[u8]) -> bool {
    let Some(digits) = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q=")) else { return true };
    std::str::from_utf8(digits).ok().and_then(|text| text.trim().parse::<f32>().ok()).is_some_and(|q| q > 0.0)
}

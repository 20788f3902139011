//! Decides which responses are compressed with gzip (docs/reference/middlewares.md#compression). [`super::gzip`] holds the encoder,
//! [`super::validators`] the changes to entity tags and digests.

use super::gzip::{CompressionPlan, GZIP_BYTES_MIN};
use super::validators;
use super::{ChainState, Request, Response, Verdict};
use crate::http::BodyFraming;

/// Notes in `chain_state` whether the client accepts gzip, and maps the entity tags that compression has weakened back to the server's.
pub fn on_request(request: &mut Request, chain_state: &mut ChainState) -> Verdict {
    let view = request.view();
    let is_grpc = view.first(b"content-type").is_some_and(|value| begins_with(value, b"application/grpc"));
    let is_left_alone =
        is_grpc || request.head.upgrade.is_forwarded() || view.all(b"cache-control").any(forbids_transforming);
    chain_state.takes_gzip = !is_left_alone && accepts_gzip(view.all(b"accept-encoding"));
    validators::restore_preconditions(request, chain_state.takes_gzip);
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
    match response.status() {
        304 => return validators::describe_not_modified(request, response, chain_state.takes_gzip),
        // A partial response (206) is not compressed: its ranges count bytes of the original representation.
        204 | 206 => return,
        _ => {}
    }
    if !chain_state.takes_gzip || !may_be_transformed(response) {
        return;
    }
    match BodyLength::of(request, response) {
        BodyLength::Short => {}
        BodyLength::Long => {
            chain_state.body = CompressionPlan::Gzip;
            announce(response);
        }
        BodyLength::Unknown => chain_state.body = CompressionPlan::GzipIfLong,
        // The response to HEAD describes the body that GET gets (RFC 9110 9.3.2).
        BodyLength::LongNotSent => announce(response),
        BodyLength::UnknownNotSent => validators::describe_compressed(response),
    }
}

/// Changes a response's fields for a body that is compressed with gzip.
pub fn announce(response: &mut Response) {
    response.set("Content-Encoding", b"gzip");
    validators::describe_compressed(response);
}

/// Whether the fields of a response allow compression: the server has neither encoded nor signed the body, nor forbidden to transform it (RFC 9110
/// 7.7). `Signature-Input` may cover entity tag, digest and encoding (RFC 9421).
fn may_be_transformed(response: &Response) -> bool {
    let is_coded = |value: &[u8]| !value.eq_ignore_ascii_case(b"identity");
    !response.has_value(b"content-encoding", is_coded)
        && !response.has_value(b"cache-control", forbids_transforming)
        && response.first(b"signature-input").is_none()
}

/// The length of the body that a GET gets, compared with [`GZIP_BYTES_MIN`].
enum BodyLength {
    Short,
    Long,
    Unknown,
    /// The request is a HEAD: the server has announced the length, but sends no body.
    LongNotSent,
    UnknownNotSent,
}

impl BodyLength {
    fn of(request: &Request, response: &Response) -> Self {
        let is_short = |bytes: u64| bytes < GZIP_BYTES_MIN as u64;
        let body = match response {
            Response::Backend { head, .. } => head.body,
            Response::Gateway(reply) | Response::Local(reply) => BodyFraming::Length(reply.body.len() as u64),
        };
        match body {
            BodyFraming::Length(bytes) if is_short(bytes) => BodyLength::Short,
            BodyFraming::Length(_) => BodyLength::Long,
            BodyFraming::Chunked | BodyFraming::UntilClose => BodyLength::Unknown,
            BodyFraming::None if request.method() != b"HEAD" => BodyLength::Short,
            BodyFraming::None => match response.first(b"content-length").map(parse_length) {
                Some(Some(bytes)) if is_short(bytes) => BodyLength::Short,
                Some(_) => BodyLength::LongNotSent,
                None => BodyLength::UnknownNotSent,
            },
        }
    }
}

fn parse_length(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn begins_with(value: &[u8], media_type: &[u8]) -> bool {
    value.get(..media_type.len()).is_some_and(|start| start.eq_ignore_ascii_case(media_type))
}

/// Whether a Cache-Control value has the directive `no-transform` (RFC 9111 5.2.1.6 and 5.2.2.6).
fn forbids_transforming(value: &[u8]) -> bool {
    value.split(|&b| b == b',').any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// Whether the Accept-Encoding values name gzip with a weight above zero, and do not prefer `identity` to it (RFC 9110 12.5.3). `*` alone
/// does not name gzip.
fn accepts_gzip<'a>(values: impl Iterator<Item = &'a [u8]>) -> bool {
    let (mut gzip, mut identity) = (0.0, 0.0);
    for element in values.flat_map(|value| value.split(|&b| b == b',')) {
        let mut parts = element.split(|&b| b == b';');
        let coding = parts.next().unwrap_or_default().trim_ascii();
        let named = if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
            &mut gzip
        } else if coding.eq_ignore_ascii_case(b"identity") {
            &mut identity
        } else {
            continue;
        };
        *named = parts.find_map(|parameter| weight(parameter.trim_ascii())).unwrap_or(1.0);
    }
    gzip > 0.0 && gzip >= identity
}

/// The weight in a parameter `q=...`, zero if it is no number; `None` for any other parameter.
fn weight(parameter: &[u8]) -> Option<f32> {
    let digits = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="))?;
    let weight = std::str::from_utf8(digits).ok().and_then(|text| text.trim().parse().ok());
    Some(weight.filter(|weight: &f32| weight.is_finite()).unwrap_or(0.0))
}

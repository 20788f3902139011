//! Responses towards a client.

use super::reply::{push_connection, push_status_line};
use super::{CHUNKED, Runs, push_length, push_line};
use crate::http::edits::EditRef;
use crate::http::head::{BodyFraming, ResponseView, Version};
use crate::http::known::KnownField;

/// What a response looks like on its way out, apart from what was received.
#[derive(Debug, Clone, Copy)]
pub struct ResponsePlan<'a> {
    pub client_version: Version,
    /// The client's connection may carry another request. A body that lasts until the connection ends overrules it.
    pub keep_alive: bool,
    /// How the body goes out: see [`framing_for_client`].
    pub body: BodyFraming,
    /// Date in IMF-fixdate form (RFC 9110 5.6.7); written only when the response has none.
    pub date: Option<&'a [u8]>,
}

/// How a body received as `body` goes out to a client of that version: an end that only the connection marks becomes chunks, and
/// chunks become such an end for HTTP/1.0 (RFC 9112 6.1), which ends the connection.
pub fn framing_for_client(version: Version, body: BodyFraming) -> BodyFraming {
    match (version, body) {
        (Version::Http11, BodyFraming::UntilClose) => BodyFraming::Chunked,
        (Version::Http10, BodyFraming::Chunked) => BodyFraming::UntilClose,
        (_, body) => body,
    }
}

/// Appends the whole head, empty line included. Fields go out in order, case and number as received, without those that ended with the
/// origin's connection; status and reason as received, the version our own (RFC 9110 6.2).
pub fn write_response(out: &mut Vec<u8>, view: ResponseView<'_>, plan: &ResponsePlan<'_>) {
    let head = view.head;
    push_status_line(out, plan.client_version, head.status, view.reason());
    let announces = plan.body == BodyFraming::Chunked && plan.client_version == Version::Http11;
    let has_date = push_received(out, view, announces);
    if !view.edits.is_empty() {
        push_edits(out, view);
    }
    if head.status == 101 {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        return;
    }
    if head.status >= 200 {
        if !has_date && view.edits.values(b"date").next().is_none() {
            plan.date.into_iter().for_each(|date| push_line(out, b"Date: ", date));
        }
        push_framing(out, view, plan);
        let keep_alive = plan.keep_alive && !lasts_until_close(plan);
        push_connection(out, plan.client_version, keep_alive);
    }
    out.extend_from_slice(b"\r\n");
}

/// Returns whether a Date went out. A Trailer field goes out where chunks do, behind which trailers may stand.
fn push_received(out: &mut Vec<u8>, view: ResponseView<'_>, with_trailer: bool) -> bool {
    let mut runs = Runs::new(view.bytes);
    let mut has_date = false;
    let edited = !view.edits.is_empty();
    for field in &view.head.fields {
        let goes_on = !field.known.belongs_to_connection() || (field.known == KnownField::Trailer && with_trailer);
        let stays = !field.hop && goes_on;
        if stays && !(edited && view.edits.replaces(field.name.of(view.bytes))) {
            has_date |= field.known == KnownField::Date;
            runs.keep(field);
        } else {
            runs.leave_out(out, field);
        }
    }
    runs.flush(out, view.head.len.saturating_sub(2));
    has_date
}

fn push_edits(out: &mut Vec<u8>, view: ResponseView<'_>) {
    for edit in view.edits.iter() {
        let (EditRef::Set { name, value } | EditRef::Add { name, value }) = edit else { continue };
        if !KnownField::of(name).belongs_to_connection() {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            push_line(out, value, b"");
        }
    }
}

fn push_framing(out: &mut Vec<u8>, view: ResponseView<'_>, plan: &ResponsePlan<'_>) {
    match plan.body {
        BodyFraming::Length(length) => push_length(out, length),
        BodyFraming::Chunked if plan.client_version == Version::Http11 => out.extend_from_slice(CHUNKED),
        BodyFraming::Chunked | BodyFraming::UntilClose => {}
        BodyFraming::None => push_length_without_body(out, view),
    }
}

/// A response to HEAD and a 304 say how long the body would have been, a 204 says nothing (RFC 9110 8.6), and any other response
/// without a body is zero bytes long.
fn push_length_without_body(out: &mut Vec<u8>, view: ResponseView<'_>) {
    let head = view.head;
    if head.status == 204 {
        return;
    }
    let received = head.fields.iter().find(|field| field.known == KnownField::ContentLength && !field.hop);
    match received {
        Some(field) if head.body == BodyFraming::None => {
            push_line(out, b"Content-Length: ", field.value.of(view.bytes))
        }
        // The body was there and does not go out.
        _ if head.body != BodyFraming::None => push_length(out, 0),
        _ => {}
    }
}

fn lasts_until_close(plan: &ResponsePlan<'_>) -> bool {
    match plan.body {
        BodyFraming::UntilClose => true,
        BodyFraming::Chunked => plan.client_version == Version::Http10,
        BodyFraming::None | BodyFraming::Length(_) => false,
    }
}

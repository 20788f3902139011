//! Writes response heads for clients.

use super::reply::{push_connection, push_status_line};
use super::{CHUNKED, Runs, push_field, push_length, push_line, push_upgrade};
use crate::http::edits::EditRef;
use crate::http::head::{BodyFraming, ResponseView, Version};
use crate::http::known::KnownField;
use crate::http::phrase::status_phrase;

/// How a response head differs from the received one.
#[derive(Debug, Clone, Copy)]
pub struct ResponsePlan<'a> {
    pub client_version: Version,
    /// The client's connection may be used for another request. Overruled by a body that lasts until the connection closes.
    pub keep_alive: bool,
    /// Framing of the body that is sent: see [`framing_for_client`].
    pub body: BodyFraming,
    /// Date in IMF-fixdate form (RFC 9110 5.6.7); written only if the response has no Date.
    pub date: Option<&'a [u8]>,
}

/// The framing towards a client of that version for a body that was received as `body`. A body that lasts until the connection closes is
/// sent in chunks; a chunked body to an HTTP/1.0 client lasts until the connection closes (RFC 9112 6.1). For an HTTP/2 client
/// [`BodyFraming::Chunked`] means that the length is unknown: the stream's end is the body's end.
pub fn framing_for_client(version: Version, body: BodyFraming) -> BodyFraming {
    match (version, body) {
        (Version::Http11 | Version::Http2, BodyFraming::UntilClose) => BodyFraming::Chunked,
        (Version::Http10, BodyFraming::Chunked) => BodyFraming::UntilClose,
        (_, body) => body,
    }
}

/// Appends the whole head, empty line included. Status, reason and fields are forwarded as received, in the same order, case and number,
/// but without the fields of the upstream connection. The version is the proxy's own (RFC 9110 6.2).
pub fn write_response(out: &mut Vec<u8>, view: ResponseView<'_>, plan: &ResponsePlan<'_>) {
    let head = view.head;
    push_status_line(out, plan.client_version, head.status, reason(view));
    let may_have_trailers = plan.body == BodyFraming::Chunked && plan.client_version != Version::Http10;
    let has_date = push_received(out, view, may_have_trailers);
    if !view.edits.is_empty() {
        push_edits(out, view);
    }
    if head.status == 101 {
        if plan.client_version != Version::Http2 {
            push_upgrade(out, &head.fields, view.bytes);
        }
        out.extend_from_slice(b"\r\n");
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

/// The reason phrase as received. HTTP/2 has none (RFC 9113 8.3.2): its responses get the usual phrase of their status.
fn reason(view: ResponseView<'_>) -> &[u8] {
    match view.head.version {
        Version::Http2 => status_phrase(view.head.status).as_bytes(),
        Version::Http10 | Version::Http11 => view.reason(),
    }
}

/// Returns whether a Date was forwarded. A Trailer field is forwarded only with a body that may have trailers.
fn push_received(out: &mut Vec<u8>, view: ResponseView<'_>, with_trailer: bool) -> bool {
    let mut runs = Runs::new(view.bytes);
    let mut has_date = false;
    let edited = !view.edits.is_empty();
    for field in &view.head.fields {
        let is_end_to_end =
            !field.known.belongs_to_connection() || (field.known == KnownField::Trailer && with_trailer);
        let is_kept = !field.hop && is_end_to_end;
        if is_kept && !(edited && view.edits.replaces(field.name.of(view.bytes))) {
            has_date |= field.known == KnownField::Date;
            runs.keep(field);
        } else {
            runs.drop_line(out, field);
        }
    }
    runs.flush(out, view.head.len.saturating_sub(2));
    has_date
}

fn push_edits(out: &mut Vec<u8>, view: ResponseView<'_>) {
    for edit in view.edits.iter() {
        let (EditRef::Set { name, value } | EditRef::Add { name, value }) = edit else { continue };
        if !KnownField::of(name).belongs_to_connection() {
            push_field(out, name, value);
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

/// Appends the Content-Length of a response that is sent without a body. If the received response had no body either, its field is
/// forwarded unless an edit removes it: with HEAD and 304 it is the length that the body would have. If a body was received and is not
/// sent, the length is zero. A 204 gets no Content-Length (RFC 9110 8.6).
fn push_length_without_body(out: &mut Vec<u8>, view: ResponseView<'_>) {
    let head = view.head;
    if head.status == 204 {
        return;
    }
    let received = head.fields.iter().find(|field| field.known == KnownField::ContentLength && !field.hop);
    match received {
        Some(field) if head.body == BodyFraming::None => {
            let value = field.value.of(view.bytes);
            // A length of zero may be that of a GET's response, which would be read to the connection's end without it.
            if !is_removed(view, b"content-length") || value.iter().all(|&digit| digit == b'0') {
                push_line(out, b"Content-Length: ", value);
            }
        }
        // A body was received and is not sent.
        _ if head.body != BodyFraming::None => push_length(out, 0),
        _ => {}
    }
}

/// Whether an edit removes the field and none sets it.
fn is_removed(view: ResponseView<'_>, name: &[u8]) -> bool {
    view.edits.replaces(name) && view.edits.values(name).next().is_none()
}

fn lasts_until_close(plan: &ResponsePlan<'_>) -> bool {
    match plan.body {
        BodyFraming::UntilClose => true,
        BodyFraming::Chunked => plan.client_version == Version::Http10,
        BodyFraming::None | BodyFraming::Length(_) => false,
    }
}

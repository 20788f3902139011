//! Answers of the proxy itself (static.md 4).

use super::{push_length, push_number};
use crate::http::edits::push_value;
use crate::http::head::{Known, Version};
use crate::http::reply::Reply;

#[derive(Debug, Clone, Copy)]
pub struct ReplyPlan<'a> {
    pub version: Version,
    /// The connection may carry another request; the reply's own `close` overrules it.
    pub keep_alive: bool,
    /// The answer is to a HEAD request: all fields, no body.
    pub head_request: bool,
    /// Date in IMF-fixdate form (RFC 9110 5.6.7).
    pub date: Option<&'a [u8]>,
}

/// Appends the whole answer, body included.
pub fn write_reply(out: &mut Vec<u8>, reply: &Reply, plan: &ReplyPlan<'_>) {
    push_status_line(out, plan.version, reply.status, reason_phrase(reply.status).as_bytes());
    let close = reply.close || !plan.keep_alive;
    for (name, value) in &reply.fields {
        // Length and connection are written here and nowhere else.
        if Known::of(name.as_bytes()).belongs_to_connection() {
            continue;
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        push_value(out, value);
        out.extend_from_slice(b"\r\n");
    }
    let bodiless = matches!(reply.status, 100..200 | 204 | 304);
    if !bodiless {
        push_length(out, reply.body.len() as u64);
    }
    if let Some(date) = plan.date {
        super::push_line(out, b"Date: ", date);
    }
    push_connection(out, plan.version, !close);
    out.extend_from_slice(b"\r\n");
    if !bodiless && !plan.head_request {
        out.extend_from_slice(&reply.body);
    }
}

/// Appends the interim answer that lets a client send its body (RFC 9110 10.1.1).
pub fn write_100_continue(out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// What differs from the version's own default is said.
pub(super) fn push_connection(out: &mut Vec<u8>, version: Version, keep_alive: bool) {
    match (version, keep_alive) {
        (_, false) => out.extend_from_slice(b"Connection: close\r\n"),
        (Version::Http10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (Version::Http11, true) => {}
    }
}

pub(super) fn push_status_line(out: &mut Vec<u8>, version: Version, status: u16, reason: &[u8]) {
    out.extend_from_slice(match version {
        Version::Http10 => b"HTTP/1.0 ",
        Version::Http11 => b"HTTP/1.1 ",
    });
    push_number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// The registered phrase of a status (RFC 9110 15, RFC 6585, and 499 as nginx and v1 name it); empty for an unknown one.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Request Entity Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        499 => "Client Closed Request",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "",
    }
}

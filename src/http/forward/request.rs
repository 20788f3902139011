//! Requests towards an origin.

use super::{CHUNKED, Runs, push_length, push_line};
use crate::http::edits::{EditRef, push_value};
use crate::http::h1::target_end;
use crate::http::head::{BodyFraming, Field, RequestView};
use crate::http::known::{KnownField, is_forwarding_field};

/// What a request looks like on its way out, apart from what was received.
#[derive(Debug, Clone, Copy)]
pub struct ForwardPlan<'a> {
    /// The request target, after all path modifiers: `/path?query` or `*`.
    pub target: &'a [u8],
    pub host: HostChoice<'a>,
    /// Text of the peer's address, IPv6 without zone and brackets.
    pub client_ip: &'a [u8],
    /// The client speaks TLS to us.
    pub secure: bool,
    /// The peer's own forwarding fields count (docs/reference/entry-points.md#forwarded-headers).
    pub trusted: bool,
    /// This machine's name, for X-Forwarded-Server.
    pub server_name: &'a [u8],
    /// How the body goes out. A chunk-framed body that was buffered goes out with its length, for instance.
    pub body: BodyFraming,
    /// The upgrade goes on to the origin; only if the head's `websocket` is set.
    pub websocket: bool,
    /// `Expect: 100-continue` goes on to the origin, if the client sent it.
    pub expect: bool,
    /// More fields, names and values; they come last.
    pub extra: &'a [(&'a [u8], &'a [u8])],
}

impl Default for ForwardPlan<'_> {
    /// Nothing is trusted, the client's Host goes on, no body.
    fn default() -> Self {
        ForwardPlan {
            target: b"/",
            host: HostChoice::Client,
            client_ip: b"",
            secure: false,
            trusted: false,
            server_name: b"",
            body: BodyFraming::None,
            websocket: false,
            expect: true,
            extra: &[],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostChoice<'a> {
    /// The host that routed: the absolute-form authority, else the client's Host field. For a request of HTTP/1.0 without one the
    /// caller gives the server's.
    Client,
    /// `host:port` of the server.
    Given(&'a [u8]),
}

/// Appends the whole head, empty line included. `bytes` of the view may hold more than the head.
pub fn write_request(out: &mut Vec<u8>, view: RequestView<'_>, plan: &ForwardPlan<'_>) {
    push_request_line(out, view, plan);
    let mut sent = ForwardedSoFar::default();
    push_received(out, view, plan, &mut sent);
    if !view.edits.is_empty() {
        push_edits(out, view, plan, &mut sent);
    }
    push_client(out, view, plan, &sent);
    push_framing(out, view, plan, &sent);
    for (name, value) in plan.extra {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        push_value(out, value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// What the fields that went out already say, so that the proxy says only what is missing.
#[derive(Default)]
struct ForwardedSoFar<'a> {
    proto: Option<&'a [u8]>,
    port: bool,
    host: bool,
    real_ip: bool,
    /// X-Forwarded-For values are there to be joined.
    forwarded_for: bool,
    /// The client gave a Content-Length.
    length: bool,
}

impl<'a> ForwardedSoFar<'a> {
    /// Takes note of a trusted, non-empty forwarding field.
    fn note(&mut self, known: KnownField, value: &'a [u8]) {
        match known {
            KnownField::XForwardedProto => self.proto = self.proto.or(Some(value)),
            KnownField::XForwardedPort => self.port = true,
            KnownField::XForwardedHost => self.host = true,
            KnownField::XRealIp => self.real_ip = true,
            _ => {}
        }
    }
}

fn push_request_line(out: &mut Vec<u8>, view: RequestView<'_>, plan: &ForwardPlan<'_>) {
    out.extend_from_slice(view.method());
    out.push(b' ');
    push_target(out, plan.target);
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(match plan.host {
        HostChoice::Client => view.host(),
        HostChoice::Given(host) => host,
    });
    out.extend_from_slice(b"\r\n");
}

/// What a path modifier makes of a client's path may be anything: a slash goes in front of it where there is none, and bytes that would
/// end the target early go out escaped.
pub fn push_target(out: &mut Vec<u8>, target: &[u8]) {
    if target.first() != Some(&b'/') && target != b"*" {
        out.push(b'/');
    }
    let mut rest = target;
    loop {
        let clean = target_end(rest, 0);
        out.extend_from_slice(&rest[..clean]);
        let Some(byte) = rest.get(clean) else { return };
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        rest = &rest[clean + 1..];
    }
}

/// The fields as received, in order, case and number, without those that end here.
fn push_received<'a>(out: &mut Vec<u8>, view: RequestView<'a>, plan: &ForwardPlan<'_>, sent: &mut ForwardedSoFar<'a>) {
    let mut runs = Runs::new(view.bytes);
    let edited = !view.edits.is_empty();
    for field in &view.head.fields {
        let stays = !field.hop && field_stays(view, field, plan, sent);
        if stays && !(edited && view.edits.supersedes(field.name.of(view.bytes))) {
            runs.keep(field);
            if field.known != KnownField::Other {
                sent.note(field.known, field.value.of(view.bytes));
            }
        } else {
            runs.leave_out(out, field);
        }
    }
    runs.flush(out, view.head.len.saturating_sub(2));
}

/// Whether a field goes on as it is; the cases are those of docs/reference/entry-points.md#forwarded-headers.
fn field_stays(view: RequestView<'_>, field: &Field, plan: &ForwardPlan<'_>, sent: &mut ForwardedSoFar<'_>) -> bool {
    match field.known {
        KnownField::Other => plan.trusted || !is_forwarding_field(field.name.of(view.bytes)),
        KnownField::Authorization | KnownField::Cookie | KnownField::Date => true,
        KnownField::XForwardedProto | KnownField::XForwardedHost | KnownField::XForwardedPort | KnownField::XRealIp => {
            plan.trusted && !field.value.is_empty()
        }
        KnownField::XForwardedUri | KnownField::XForwardedMethod | KnownField::XForwardedPrefix => plan.trusted,
        KnownField::XForwardedFor => {
            sent.forwarded_for = true;
            false
        }
        KnownField::Te => field.value.of(view.bytes).eq_ignore_ascii_case(b"trailers"),
        // Announces what may stand behind the last chunk.
        KnownField::Trailer => plan.body == BodyFraming::Chunked,
        KnownField::Expect => plan.expect && view.head.expect_continue,
        KnownField::ContentLength => {
            sent.length = true;
            false
        }
        KnownField::Host
        | KnownField::Connection
        | KnownField::TransferEncoding
        | KnownField::Upgrade
        | KnownField::KeepAlive
        | KnownField::ProxyConnection
        | KnownField::ProxyAuthenticate
        | KnownField::ProxyAuthorization
        | KnownField::XForwardedServer
        | KnownField::ForwardedAlias => false,
    }
}

/// What the chain sets. A forwarding field counts as if the client had sent it (docs/reference/middlewares.md#custom-headers), and none touches Host or framing.
fn push_edits<'a>(out: &mut Vec<u8>, view: RequestView<'a>, plan: &ForwardPlan<'_>, sent: &mut ForwardedSoFar<'a>) {
    for edit in view.edits.iter() {
        let (EditRef::Set { name, value } | EditRef::Add { name, value }) = edit else { continue };
        let known = KnownField::of(name);
        let goes = match known {
            KnownField::XForwardedFor => {
                sent.forwarded_for = true;
                false
            }
            KnownField::XForwardedProto
            | KnownField::XForwardedHost
            | KnownField::XForwardedPort
            | KnownField::XRealIp => plan.trusted && !value.is_empty(),
            KnownField::XForwardedUri | KnownField::XForwardedMethod => plan.trusted,
            KnownField::Host | KnownField::Expect | KnownField::XForwardedServer | KnownField::ForwardedAlias => false,
            other => !other.belongs_to_connection(),
        };
        if goes {
            sent.note(known, value);
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            push_line(out, value, b"");
        }
    }
}

/// The proxy's own word on where the request came from (docs/reference/entry-points.md#forwarded-headers). WebSocket requests get the same fields as all others: v1 left
/// X-Forwarded-For out there, by mistake.
fn push_client(out: &mut Vec<u8>, view: RequestView<'_>, plan: &ForwardPlan<'_>, sent: &ForwardedSoFar<'_>) {
    out.extend_from_slice(b"X-Forwarded-For: ");
    if plan.trusted && sent.forwarded_for {
        for value in view.all(KnownField::XForwardedFor.name()).filter(|value| !value.is_empty()) {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
    }
    push_line(out, plan.client_ip, b"");
    let proto = sent.proto.unwrap_or(if plan.secure { b"https" } else { b"http" });
    let host = view.host();
    if !sent.host && !host.is_empty() {
        push_line(out, b"X-Forwarded-Host: ", host);
    }
    if !sent.port {
        let secure = plan.secure || proto.eq_ignore_ascii_case(b"https") || proto.eq_ignore_ascii_case(b"wss");
        let port = port_of(host).unwrap_or(if secure { b"443" } else { b"80" });
        push_line(out, b"X-Forwarded-Port: ", port);
    }
    if sent.proto.is_none() {
        push_line(out, b"X-Forwarded-Proto: ", proto);
    }
    push_line(out, b"X-Forwarded-Server: ", plan.server_name);
    if !sent.real_ip {
        push_line(out, b"X-Real-Ip: ", plan.client_ip);
    }
}

/// The digits behind the last colon of `host:port`; none for a bare IPv6 address in brackets.
fn port_of(host: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memrchr(b':', host)?;
    let port = &host[colon + 1..];
    (!port.is_empty() && port.iter().all(u8::is_ascii_digit)).then_some(port)
}

fn push_framing(out: &mut Vec<u8>, view: RequestView<'_>, plan: &ForwardPlan<'_>, sent: &ForwardedSoFar<'_>) {
    match plan.body {
        BodyFraming::Length(length) => push_length(out, length),
        // A request cannot last until the connection ends: chunks are how an unknown length travels.
        BodyFraming::Chunked | BodyFraming::UntilClose => out.extend_from_slice(CHUNKED),
        // Servers may insist on a length where a body is usual (RFC 9110 8.6); a GET gets one only if the client gave it.
        BodyFraming::None if sent.length || usually_has_body(view.method()) => push_length(out, 0),
        BodyFraming::None => {}
    }
    if plan.websocket {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
}

fn usually_has_body(method: &[u8]) -> bool {
    matches!(method, b"POST" | b"PUT" | b"PATCH")
}

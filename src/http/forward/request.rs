//! Writes request heads for backend servers.

use super::{CHUNKED, Runs, push_field, push_length, push_line, push_upgrade};
use crate::http::byte_scan::target_end;
use crate::http::edits::{EditRef, push_value};
use crate::http::head::{BodyFraming, Field, RequestView};
use crate::http::known::{KnownField, is_forwarding_field};

/// How a forwarded request head differs from the received one.
#[derive(Debug, Clone, Copy)]
pub struct ForwardPlan<'a> {
    /// The request target, after all path modifiers: `/path?query` or `*`.
    pub target: &'a [u8],
    pub host: HostChoice<'a>,
    /// The peer's address as text, IPv6 without zone and brackets.
    pub client_ip: &'a [u8],
    /// The client's connection uses TLS.
    pub secure: bool,
    /// The peer is trusted: its forwarding fields are kept (docs/reference/entry-points.md#forwarded-headers).
    pub trusted: bool,
    /// This machine's host name, for X-Forwarded-Server.
    pub server_name: &'a [u8],
    /// Framing of the body that is sent; differs from the received framing if, for example, a chunked body was buffered.
    pub body: BodyFraming,
    /// Forwards the Upgrade fields. Only for a head whose `upgrade` is [`Upgrade::Forwarded`](crate::http::Upgrade::Forwarded).
    pub upgrade: bool,
    /// Forwards `Expect: 100-continue` if the client sent it.
    pub expect: bool,
    /// Names and values of further fields, which are written last.
    pub extra: &'a [(&'a [u8], &'a [u8])],
}

impl Default for ForwardPlan<'_> {
    /// An untrusted peer, the client's Host, no body.
    fn default() -> Self {
        ForwardPlan {
            target: b"/",
            host: HostChoice::Client,
            client_ip: b"",
            secure: false,
            trusted: false,
            server_name: b"",
            body: BodyFraming::None,
            upgrade: false,
            expect: true,
            extra: &[],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostChoice<'a> {
    /// The host that was used for routing: the authority of an absolute-form target, else the client's Host field. For an HTTP/1.0
    /// request without a host the caller passes [`HostChoice::Given`].
    Client,
    /// This text, usually `host:port` of the server.
    Given(&'a [u8]),
}

/// Appends the whole head, empty line included. `bytes` of the view may hold more than the head.
pub fn write_request(out: &mut Vec<u8>, view: RequestView<'_>, plan: &ForwardPlan<'_>) {
    push_request_line(out, view, plan);
    let mut seen = SeenFields::default();
    push_received(out, view, plan, &mut seen);
    if !view.edits.is_empty() {
        push_edits(out, view, plan, &mut seen);
    }
    push_forwarding_fields(out, view, plan, &seen);
    push_framing(out, view, plan, &seen);
    for (name, value) in plan.extra {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        push_value(out, value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Fields of the client and of the chain that decide which fields the proxy adds.
#[derive(Default)]
struct SeenFields<'a> {
    /// The first X-Forwarded-Proto that was forwarded.
    proto: Option<&'a [u8]>,
    /// X-Forwarded-Port was forwarded.
    port: bool,
    /// X-Forwarded-Host was forwarded.
    host: bool,
    /// X-Real-Ip was forwarded.
    real_ip: bool,
    /// X-Forwarded-For is present. It was not forwarded: its values are joined with the peer's address.
    forwarded_for: bool,
    /// The client sent a Content-Length. It was not forwarded: [`push_framing`] writes the length.
    length: bool,
}

impl<'a> SeenFields<'a> {
    /// Notes that a trusted, non-empty forwarding field was forwarded.
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

/// Appends a request target. A path modifier can turn a client's path into anything: a missing leading slash is added, and bytes that would
/// end the target early are percent-encoded.
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

/// Appends the fields as received, in the same order, case and number, without those that are not forwarded.
fn push_received<'a>(out: &mut Vec<u8>, view: RequestView<'a>, plan: &ForwardPlan<'_>, seen: &mut SeenFields<'a>) {
    let mut runs = Runs::new(view.bytes);
    let edited = !view.edits.is_empty();
    for field in &view.head.fields {
        let is_kept = !field.hop && keeps_field(view, field, plan, seen);
        if is_kept && !(edited && view.edits.supersedes(field.name.of(view.bytes))) {
            runs.keep(field);
            if field.known != KnownField::Other {
                seen.note(field.known, field.value.of(view.bytes));
            }
        } else {
            runs.drop_line(out, field);
        }
    }
    runs.flush(out, view.head.len.saturating_sub(2));
}

/// Whether a field is forwarded as received; the cases are those of docs/reference/entry-points.md#forwarded-headers.
fn keeps_field(view: RequestView<'_>, field: &Field, plan: &ForwardPlan<'_>, seen: &mut SeenFields<'_>) -> bool {
    match field.known {
        KnownField::Other => plan.trusted || !is_forwarding_field(field.name.of(view.bytes)),
        KnownField::Authorization | KnownField::WwwAuthenticate | KnownField::Cookie | KnownField::Date => true,
        KnownField::XForwardedProto | KnownField::XForwardedHost | KnownField::XForwardedPort | KnownField::XRealIp => {
            plan.trusted && !field.value.is_empty()
        }
        KnownField::XForwardedUri | KnownField::XForwardedMethod | KnownField::XForwardedPrefix => plan.trusted,
        KnownField::XForwardedFor => {
            seen.forwarded_for = true;
            false
        }
        KnownField::Te => field.value.of(view.bytes).eq_ignore_ascii_case(b"trailers"),
        // Announces trailers, which only a chunked body can have.
        KnownField::Trailer => plan.body == BodyFraming::Chunked,
        KnownField::Expect => plan.expect && view.head.expect_continue,
        KnownField::ContentLength => {
            seen.length = true;
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
        | KnownField::Http2Settings
        | KnownField::XForwardedServer
        | KnownField::ForwardedAlias => false,
    }
}

/// Appends the fields that the chain sets. The forwarding fields that the proxy itself writes count as if the client had sent them
/// (docs/reference/middlewares.md#custom-headers), and no edit changes Host or framing.
fn push_edits<'a>(out: &mut Vec<u8>, view: RequestView<'a>, plan: &ForwardPlan<'_>, seen: &mut SeenFields<'a>) {
    for edit in view.edits.iter() {
        let (EditRef::Set { name, value } | EditRef::Add { name, value }) = edit else { continue };
        let known = KnownField::of(name);
        let is_forwarded = match known {
            KnownField::XForwardedFor => {
                seen.forwarded_for = true;
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
        if is_forwarded {
            seen.note(known, value);
            push_field(out, name, value);
        }
    }
}

/// Appends the proxy's own forwarding fields (docs/reference/entry-points.md#forwarded-headers). WebSocket requests get the same fields as
/// all others; v1 omitted X-Forwarded-For there by mistake.
fn push_forwarding_fields(out: &mut Vec<u8>, view: RequestView<'_>, plan: &ForwardPlan<'_>, seen: &SeenFields<'_>) {
    out.extend_from_slice(b"X-Forwarded-For: ");
    if plan.trusted && seen.forwarded_for {
        for value in view.all(KnownField::XForwardedFor.name()).filter(|value| !value.is_empty()) {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
    }
    out.extend_from_slice(plan.client_ip);
    out.extend_from_slice(b"\r\n");
    let proto = seen.proto.unwrap_or(if plan.secure { b"https" } else { b"http" });
    let host = view.host();
    if !seen.host && !host.is_empty() {
        push_line(out, b"X-Forwarded-Host: ", host);
    }
    if !seen.port {
        let secure = plan.secure || proto.eq_ignore_ascii_case(b"https") || proto.eq_ignore_ascii_case(b"wss");
        let port = port_of(host).unwrap_or(if secure { b"443" } else { b"80" });
        push_line(out, b"X-Forwarded-Port: ", port);
    }
    if seen.proto.is_none() {
        push_line(out, b"X-Forwarded-Proto: ", proto);
    }
    push_line(out, b"X-Forwarded-Server: ", plan.server_name);
    if !seen.real_ip {
        push_line(out, b"X-Real-Ip: ", plan.client_ip);
    }
}

/// The digits after the last colon of `host:port`; `None` for an IPv6 address in brackets without a port.
fn port_of(host: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memrchr(b':', host)?;
    let port = &host[colon + 1..];
    (!port.is_empty() && port.iter().all(u8::is_ascii_digit)).then_some(port)
}

fn push_framing(out: &mut Vec<u8>, view: RequestView<'_>, plan: &ForwardPlan<'_>, seen: &SeenFields<'_>) {
    match plan.body {
        BodyFraming::Length(length) => push_length(out, length),
        // A request body cannot last until the connection closes: a body of unknown length is sent in chunks.
        BodyFraming::Chunked | BodyFraming::UntilClose => out.extend_from_slice(CHUNKED),
        // Servers may require a Content-Length with methods that usually have a body (RFC 9110 8.6); other methods get one only if the
        // client sent one.
        BodyFraming::None if seen.length || usually_has_body(view.method()) => push_length(out, 0),
        BodyFraming::None => {}
    }
    if plan.upgrade {
        push_upgrade(out, &view.head.fields, view.bytes);
    }
}

fn usually_has_body(method: &[u8]) -> bool {
    matches!(method, b"POST" | b"PUT" | b"PATCH")
}

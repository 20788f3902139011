//! Forward authentication: another server allows or refuses the request (docs/reference/middlewares.md#forward).

use std::borrow::Cow;
use std::net::IpAddr;

use super::{Label, Request, RequestInfo, Verdict};
use crate::http::{Edits, KnownField, Reply, ResponseHead, ResponseView, is_forwarding_field, is_precondition};

const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];
/// Not copied from the client: the call has its own host and no body.
const REPLACED: &[&str] = &["host", "content-length", "expect"];
/// Not copied from the client: the call's values are written by `ForwardAuth::add_forwarded`.
const FORWARDED: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-method",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-uri",
    "x-forwarded-port",
];

/// The authentication server, from its configured address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthServer {
    /// `host:port` as written in the address; the Host field of the call.
    pub authority: String,
    /// Path and query of the address, at least `/`.
    pub target: String,
}

#[derive(Debug)]
pub struct ForwardAuth {
    server: AuthServer,
    trust_forward_header: bool,
    response_headers: Vec<String>,
    label: Label,
}

/// A call that the worker makes: `GET target` to `server` with exactly these fields and no body. Redirects are not followed; the time
/// limit is [`AUTH_RESPONSE_SECS`](crate::limits::AUTH_RESPONSE_SECS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthRequest {
    pub server: AuthServer,
    /// Names and values in order, Host first.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The authentication server's response with its whole body.
#[derive(Clone, Copy)]
pub struct AuthResponse<'a> {
    pub head: &'a ResponseHead,
    pub bytes: &'a [u8],
    /// At most [`AUTH_RESPONSE_BYTES_MAX`](crate::limits::AUTH_RESPONSE_BYTES_MAX) bytes; with a longer body the call has failed.
    pub body: &'a [u8],
}

impl ForwardAuth {
    /// `trust_forward_header`: the client's X-Forwarded-* fields are passed on, provided that the peer is trusted. Traefik v1 passes
    /// them on for any peer if the option is set: every client could then name any address.
    pub fn new(server: AuthServer, trust_forward_header: bool, response_headers: Vec<String>, label: Label) -> Self {
        ForwardAuth { server, trust_forward_header, response_headers, label }
    }

    pub fn on_request(&self, request: &Request, info: &RequestInfo) -> Verdict {
        let mut fields = vec![(b"Host".to_vec(), self.server.authority.clone().into_bytes())];
        let view = request.view();
        let connection_names: Vec<&[u8]> =
            view.all(b"connection").flat_map(|value| value.split(|&b| b == b',')).collect();
        for (name, value) in request.fields() {
            let is_in = |list: &[&str]| list.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
            let hop = connection_names.iter().any(|hop| hop.trim_ascii().eq_ignore_ascii_case(name));
            let alias = KnownField::of(name) == KnownField::ForwardedAlias;
            // The value of an edit comes from the configuration or an earlier middleware, not from the client.
            let is_trusted = info.trusted || !is_forwarding_field(name) || request.edits.replaces(name);
            let is_dropped = is_in(HOP_BY_HOP) || is_in(REPLACED) || is_in(FORWARDED) || is_precondition(name);
            if is_trusted && !(is_dropped || hop || alias) {
                fields.push((name.to_vec(), value.to_vec()));
            }
        }
        self.add_forwarded(request, info, &mut fields);
        Verdict::Call(Box::new(AuthRequest { server: self.server.clone(), fields }))
    }

    fn add_forwarded(&self, request: &Request, info: &RequestInfo, fields: &mut Vec<(Vec<u8>, Vec<u8>)>) {
        let trusted = self.trust_forward_header && info.trusted;
        let sent = |name: &str| request.first(name.as_bytes()).filter(|value| trusted && !value.is_empty());
        let mut push = |name: &str, value: &[u8]| fields.push((name.as_bytes().to_vec(), value.to_vec()));
        let mut addresses: Vec<u8> = Vec::new();
        if trusted {
            for value in request.view().all(b"x-forwarded-for") {
                addresses.extend_from_slice(value);
                addresses.extend_from_slice(b", ");
            }
        }
        addresses.extend_from_slice(peer_text(info.peer).as_bytes());
        push("X-Forwarded-For", &addresses);
        push("X-Forwarded-Method", sent("x-forwarded-method").unwrap_or(request.method()));
        let proto: &[u8] = if info.secure { b"https" } else { b"http" };
        push("X-Forwarded-Proto", sent("x-forwarded-proto").unwrap_or(proto));
        if let Some(port) = sent("x-forwarded-port") {
            push("X-Forwarded-Port", port);
        }
        let host = sent("x-forwarded-host").unwrap_or(request.host());
        if !host.is_empty() {
            push("X-Forwarded-Host", host);
        }
        push("X-Forwarded-Uri", sent("x-forwarded-uri").unwrap_or(info.target));
    }

    /// Continues with the server's response, or with `None` if the call failed. A 2xx status allows the request.
    pub fn on_auth_response(&self, response: Option<AuthResponse>, request: &mut Request) -> Verdict {
        let Some(response) = response else {
            return Verdict::reply(Reply { status: 500, ..Reply::default() }, &self.label);
        };
        if !(200..300).contains(&response.head.status) {
            return Verdict::reply(Self::relay(response), &self.label);
        }
        let edits = Edits::new();
        let view = ResponseView { head: response.head, bytes: response.bytes, edits: &edits };
        for name in &self.response_headers {
            request.edits.remove(name.as_bytes());
            for value in view.all(name.as_bytes()) {
                request.edits.add(name.as_bytes(), value);
            }
        }
        Verdict::Next
    }

    /// The local reply that carries the server's refusal to the client: without connection fields, and without Date, which every local
    /// reply gets anyway. A relative Location stays relative: the client resolves it against the URL that it asked for (RFC 9110 10.2.2),
    /// which the proxy need not know, and never learns the address of the authentication server.
    fn relay(response: AuthResponse) -> Reply {
        let mut reply =
            Reply { status: response.head.status, body: Cow::Owned(response.body.to_vec()), ..Reply::default() };
        for field in &response.head.fields {
            let name = field.name.of(response.bytes);
            let hop = HOP_BY_HOP.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
            if hop || field.hop || matches!(field.known, KnownField::ContentLength | KnownField::Date) {
                continue;
            }
            reply = reply.with(String::from_utf8_lossy(name).into_owned(), field.value.of(response.bytes).to_vec());
        }
        reply
    }
}

fn peer_text(peer: IpAddr) -> String {
    peer.to_canonical().to_string()
}

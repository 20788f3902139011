//! Forward authentication: another server decides (docs/reference/entry-points.md#forward-authentication, docs/reference/middlewares.md#forward).

use std::borrow::Cow;
use std::net::IpAddr;

use super::{Label, Request, RequestInfo, Verdict};
use crate::http::{Edits, KnownField, Reply, ResponseHead, ResponseView, is_forwarding_field};

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
/// Not the client's to say, because the call has no body and a host of its own.
const REPLACED: &[&str] = &["host", "content-length", "expect"];
/// Written anew for the call.
const FORWARDED: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-method",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-uri",
    "x-forwarded-port",
];

/// The server asked, as its address was compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthServer {
    pub https: bool,
    /// `host:port` as written in the address: the Host field.
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

/// A call to make: `GET target` to `server` with exactly these fields, without a body, following no redirect, within
/// [`AUTH_ANSWER_SECS`](crate::limits::AUTH_ANSWER_SECS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthRequest {
    pub server: AuthServer,
    /// Names and values in order, Host first.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The server's answer, read whole.
#[derive(Clone, Copy)]
pub struct AuthResponse<'a> {
    pub head: &'a ResponseHead,
    pub bytes: &'a [u8],
    /// At most [`AUTH_ANSWER_BYTES_MAX`](crate::limits::AUTH_ANSWER_BYTES_MAX) bytes; beyond that the call has failed.
    pub body: &'a [u8],
}

impl ForwardAuth {
    /// `trust_forward_header`: X-Forwarded-* of the client are passed on, provided that the peer is trusted at all
    /// (Traefik v1 asks only for the option; a stranger could then name any address).
    pub fn new(server: AuthServer, trust_forward_header: bool, response_headers: Vec<String>, label: Label) -> Self {
        ForwardAuth { server, trust_forward_header, response_headers, label }
    }

    pub fn on_request(&self, request: &Request, facts: &RequestInfo) -> Verdict {
        let mut fields = vec![(b"Host".to_vec(), self.server.authority.clone().into_bytes())];
        let view = request.view();
        let hop_names: Vec<&[u8]> = view.all(b"connection").flat_map(|value| value.split(|&b| b == b',')).collect();
        for (name, value) in request.fields() {
            let named = |list: &[&str]| list.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
            let hop = hop_names.iter().any(|hop| hop.trim_ascii().eq_ignore_ascii_case(name));
            let alias = KnownField::of(name) == KnownField::ForwardedAlias;
            // What an edit says is the configuration's own word.
            let is_believed = facts.trusted || !is_forwarding_field(name) || request.edits.replaces(name);
            if is_believed && !(named(HOP_BY_HOP) || named(REPLACED) || named(FORWARDED) || hop || alias) {
                fields.push((name.to_vec(), value.to_vec()));
            }
        }
        self.add_forwarded(request, facts, &mut fields);
        Verdict::Ask(Box::new(AuthRequest { server: self.server.clone(), fields }))
    }

    fn add_forwarded(&self, request: &Request, facts: &RequestInfo, fields: &mut Vec<(Vec<u8>, Vec<u8>)>) {
        let trusted = self.trust_forward_header && facts.trusted;
        let sent = |name: &str| request.first(name.as_bytes()).filter(|value| trusted && !value.is_empty());
        let mut push = |name: &str, value: &[u8]| fields.push((name.as_bytes().to_vec(), value.to_vec()));
        let mut addresses: Vec<u8> = Vec::new();
        if trusted {
            for value in request.view().all(b"x-forwarded-for") {
                addresses.extend_from_slice(value);
                addresses.extend_from_slice(b", ");
            }
        }
        addresses.extend_from_slice(peer_text(facts.peer).as_bytes());
        push("X-Forwarded-For", &addresses);
        push("X-Forwarded-Method", sent("x-forwarded-method").unwrap_or(request.method()));
        let proto: &[u8] = if facts.secure { b"https" } else { b"http" };
        push("X-Forwarded-Proto", sent("x-forwarded-proto").unwrap_or(proto));
        if let Some(port) = sent("x-forwarded-port") {
            push("X-Forwarded-Port", port);
        }
        let host = sent("x-forwarded-host").unwrap_or(request.host());
        if !host.is_empty() {
            push("X-Forwarded-Host", host);
        }
        push("X-Forwarded-Uri", sent("x-forwarded-uri").unwrap_or(facts.target));
    }

    /// What the answer means. `None`: the call failed.
    pub fn on_answer(&self, answer: Option<AuthResponse>, request: &mut Request) -> Verdict {
        let Some(answer) = answer else {
            return Verdict::reply(Reply { status: 500, ..Reply::default() }, &self.label);
        };
        if !(200..300).contains(&answer.head.status) {
            return Verdict::reply(self.relay(answer), &self.label);
        }
        let edits = Edits::default();
        let view = ResponseView { head: answer.head, bytes: answer.bytes, edits: &edits };
        for name in &self.response_headers {
            request.edits.remove(name.as_bytes());
            for value in view.all(name.as_bytes()) {
                request.edits.add(name.as_bytes(), value);
            }
        }
        Verdict::Next
    }

    /// A refusal goes to the client as it is, apart from connection fields, a relative Location, and Date, which every answer of the
    /// proxy's gets.
    fn relay(&self, answer: AuthResponse) -> Reply {
        let mut reply =
            Reply { status: answer.head.status, body: Cow::Owned(answer.body.to_vec()), ..Reply::default() };
        for field in &answer.head.fields {
            let name = field.name.of(answer.bytes);
            let hop = HOP_BY_HOP.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
            if hop || field.hop || matches!(field.known, KnownField::ContentLength | KnownField::Date) {
                continue;
            }
            let value = field.value.of(answer.bytes);
            let value = if name.eq_ignore_ascii_case(b"location") { self.absolute(value) } else { value.to_vec() };
            reply = reply.with(String::from_utf8_lossy(name).into_owned(), value);
        }
        reply
    }

    fn absolute(&self, location: &[u8]) -> Vec<u8> {
        let has_scheme = location.iter().position(|&b| b == b':').is_some_and(|colon| {
            colon > 0 && location[..colon].iter().all(|&b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        });
        if location.is_empty() || has_scheme {
            return location.to_vec();
        }
        let scheme: &[u8] = if self.server.https { b"https:" } else { b"http:" };
        if location.starts_with(b"//") {
            return [scheme, location].concat();
        }
        let base = [scheme, b"//", self.server.authority.as_bytes()].concat();
        let path = self.server.target.split(['?', '#']).next().unwrap_or("/");
        match location[0] {
            b'/' => [&base[..], location].concat(),
            b'?' | b'#' => [&base[..], path.as_bytes(), location].concat(),
            _ => {
                let folder = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
                [&base[..], &merge(folder, location)].concat()
            }
        }
    }
}

/// A relative path under `folder`, its dot segments resolved (RFC 3986 5.2.4).
fn merge(folder: &str, relative: &[u8]) -> Vec<u8> {
    let path_len = relative.iter().position(|b| b"?#".contains(b)).unwrap_or(relative.len());
    let (path, rest) = relative.split_at(path_len);
    let mut segments: Vec<&[u8]> = folder.trim_matches('/').as_bytes().split(|&b| b == b'/').collect();
    segments.retain(|segment| !segment.is_empty());
    let mut ends_in_folder = false;
    for segment in path.split(|&b| b == b'/') {
        ends_in_folder = matches!(segment, b"." | b".." | b"");
        match segment {
            b"." | b"" => {}
            b".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let mut out = b"/".to_vec();
    out.extend_from_slice(&segments.join(&b'/'));
    if ends_in_folder && !segments.is_empty() {
        out.push(b'/');
    }
    out.extend_from_slice(rest);
    out
}

fn peer_text(peer: IpAddr) -> String {
    peer.to_canonical().to_string()
}

//! Redirects to another entry point or by regular expression (docs/reference/entry-points.md#redirect, docs/reference/middlewares.md#redirect).

use std::borrow::Cow;

use regex::bytes::Regex;

use super::redirect_template::{InvalidTemplate, Template, split_query};
use super::{ChainScope, Label, Request, RequestInfo, Verdict};
use crate::http::Reply;

/// A redirect of all requests whose URL it matches. A URL it would not change goes on to the backend.
#[derive(Debug)]
pub struct Redirect {
    form: Form,
    permanent: bool,
    label: Label,
}

#[derive(Debug)]
enum Form {
    EntryPoint { scheme: &'static str, port: u16 },
    Regex { regex: Regex, replacement: Template },
}

impl Redirect {
    /// To the same host and target on another entry point. The port is always written, `:443` and `:80` too.
    pub fn entry_point(target_port: u16, target_tls: bool, permanent: bool, place: ChainScope) -> Self {
        let scheme = if target_tls { "https" } else { "http" };
        Redirect { form: Form::EntryPoint { scheme, port: target_port }, permanent, label: place.redirect() }
    }

    /// Every match of `regex` in `scheme://host/target` becomes `replacement`. The caller compiles the expression in Go's syntax.
    ///
    /// # Errors
    /// A template expression in the replacement that is not understood.
    pub fn regex(regex: Regex, replacement: &str, permanent: bool, place: ChainScope) -> Result<Self, InvalidTemplate> {
        let form = Form::Regex { regex, replacement: Template::new(replacement)? };
        Ok(Redirect { form, permanent, label: place.redirect() })
    }

    pub fn on_request(&self, request: &Request, facts: &RequestInfo) -> Verdict {
        let is_told = facts.trusted && request.first(b"x-forwarded-proto") == Some(b"https");
        let https = facts.secure || is_told;
        let mut old = Vec::with_capacity(16 + request.host().len() + facts.target.len());
        old.extend_from_slice(if https { b"https://" } else { b"http://" });
        old.extend_from_slice(request.host());
        old.extend_from_slice(facts.target);
        if std::str::from_utf8(&old).is_err() {
            // An expression's `.` takes whole characters only: bytes that are none take part as the escapes they would become.
            old = escaped(&old);
        }
        let Some(new) = self.rewrite(&old, request, facts) else { return Verdict::Next };
        if new == old {
            return Verdict::Next;
        }
        match location(&new, facts) {
            Some(location) => Verdict::reply(moved(request.method(), self.permanent, location), &self.label),
            // Traefik answers a rewritten URL that is none with 502; so do we.
            None => Verdict::reply(Reply::text(502, "Bad Gateway"), &self.label),
        }
    }

    /// The new URL, or nothing when the URL does not match.
    fn rewrite(&self, old: &[u8], request: &Request, facts: &RequestInfo) -> Option<Vec<u8>> {
        match &self.form {
            Form::EntryPoint { scheme, port } => {
                let host = plain_host(request.host())?;
                let mut new = Vec::with_capacity(old.len() + 12);
                new.extend_from_slice(scheme.as_bytes());
                new.extend_from_slice(b"://");
                new.extend_from_slice(host);
                new.extend_from_slice(format!(":{port}").as_bytes());
                new.extend_from_slice(facts.target);
                Some(new)
            }
            Form::Regex { regex, replacement } => {
                let mut new = Vec::new();
                let mut copied = 0;
                for groups in regex.captures_iter(old) {
                    let whole = groups.get_match();
                    new.extend_from_slice(&old[copied..whole.start()]);
                    replacement.expand(&groups, request, facts, &mut new);
                    copied = whole.end();
                }
                // The first match may be empty and at the start: "no match" is an untouched loop, not an empty result.
                if copied == 0 && new.is_empty() && !regex.is_match(old) {
                    return None;
                }
                new.extend_from_slice(&old[copied..]);
                Some(new)
            }
        }
    }
}

/// The two status codes of docs/reference/entry-points.md#redirect: HEAD counts as "anything else".
fn moved(method: &[u8], permanent: bool, location: Vec<u8>) -> Reply {
    let (status, text) = match (method == b"GET", permanent) {
        (true, false) => (302, "Found"),
        (true, true) => (301, "Moved Permanently"),
        (false, false) => (307, "Temporary Redirect"),
        (false, true) => (308, "Permanent Redirect"),
    };
    Reply::text(status, text).with("Location", Cow::Owned(location))
}

/// The host without its port, if it consists of letters, digits, `_`, `.` and `-`. IPv6 and others are not redirected.
fn plain_host(host: &[u8]) -> Option<&[u8]> {
    let len = host.iter().position(|&b| b == b':').unwrap_or(host.len());
    let (name, port) = host.split_at(len);
    let named = !name.is_empty() && name.iter().all(|&b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let ported = port.is_empty() || (port.len() > 1 && port[1..].iter().all(u8::is_ascii_digit));
    (named && ported).then_some(name)
}

/// What goes into the Location field: the new URL, with the path led back to what the client asked for when modifiers
/// changed it. `None` when the result is no URL.
fn location(new: &[u8], facts: &RequestInfo) -> Option<Vec<u8>> {
    let (authority_end, path_end) = parts(new)?;
    let mut path = &new[authority_end..path_end];
    if facts.path_replaced {
        path = split_query(facts.original_target).0;
    }
    let mut out = new[..authority_end].to_vec();
    match find(path, facts.added_prefix) {
        Some(at) => {
            out.extend_from_slice(&path[..at]);
            out.extend_from_slice(&path[at + facts.added_prefix.len()..]);
        }
        None => out.extend_from_slice(path),
    }
    out.extend_from_slice(&new[path_end..]);
    Some(escaped(&out))
}

/// Where authority and path end, for a URL fit for a Location field.
fn parts(url: &[u8]) -> Option<(usize, usize)> {
    if url.iter().any(|b| b.is_ascii_control()) {
        return None;
    }
    let authority_start = match find(url, b"://") {
        Some(at) if url[..at].iter().all(|&b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) => at + 3,
        _ => 0,
    };
    let ends_at = |from: usize, stops: &[u8]| {
        url[from..].iter().position(|b| stops.contains(b)).map_or(url.len(), |at| from + at)
    };
    let authority_end = if authority_start == 0 { 0 } else { ends_at(authority_start, b"/?#") };
    let path_end = ends_at(authority_end, b"?#");
    let authority_ok = !url[authority_start..authority_end].iter().any(|b| b" %<>\"\\^`{|}".contains(b));
    (authority_ok && escapes_are_whole(&url[authority_end..path_end])).then_some((authority_end, path_end))
}

fn escapes_are_whole(path: &[u8]) -> bool {
    let hex = |at: usize| path.get(at).is_some_and(u8::is_ascii_hexdigit);
    path.iter().enumerate().filter(|(_, b)| **b == b'%').all(|(at, _)| hex(at + 1) && hex(at + 2))
}

/// Blanks and bytes beyond ASCII become escapes; everything else stays byte for byte.
fn escaped(url: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(url.len());
    for &byte in url {
        if byte == b' ' || byte >= 0x80 {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.push(byte);
        }
    }
    out
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() { None } else { memchr::memmem::find(text, part) }
}

//! Redirects to another entry point or by regular expression (docs/reference/middlewares.md#redirect).

use std::borrow::Cow;
use std::net::Ipv6Addr;

use regex::bytes::Regex;

use super::redirect_template::{InvalidTemplate, Template, split_query};
use super::{ChainScope, Label, Request, RequestInfo, Verdict};
use crate::http::Reply;
use crate::http::host_name::split_port;

/// Redirects every request whose URL matches. A request whose URL would stay the same continues to the backend.
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
    /// Redirects to the same host and target on another entry point. The port is always written, `:443` and `:80` too.
    pub fn entry_point(target_port: u16, target_tls: bool, permanent: bool, scope: ChainScope) -> Self {
        let scheme = if target_tls { "https" } else { "http" };
        Redirect { form: Form::EntryPoint { scheme, port: target_port }, permanent, label: scope.redirect() }
    }

    /// Replaces every match of `regex` in `scheme://host/target` by `replacement`. The caller has compiled `regex` from Go's syntax.
    ///
    /// # Errors
    /// If `replacement` holds a template expression that is not supported.
    pub fn regex(regex: Regex, replacement: &str, permanent: bool, scope: ChainScope) -> Result<Self, InvalidTemplate> {
        let form = Form::Regex { regex, replacement: Template::new(replacement)? };
        Ok(Redirect { form, permanent, label: scope.redirect() })
    }

    pub fn on_request(&self, request: &Request, info: &RequestInfo) -> Verdict {
        let is_forwarded_https = info.trusted
            && request.first(b"x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https"));
        let https = info.secure || is_forwarded_https;
        let mut old = Vec::with_capacity(16 + request.host().len() + info.target.len());
        old.extend_from_slice(if https { b"https://" } else { b"http://" });
        old.extend_from_slice(request.host());
        old.extend_from_slice(info.target);
        if std::str::from_utf8(&old).is_err() {
            // The regex matches UTF-8 characters: bytes that are not UTF-8 are matched as the percent escapes that they get in Location.
            old = escaped(&old);
        }
        let Some(new) = self.rewrite(&old, request, info) else { return Verdict::Next };
        if new == old {
            return Verdict::Next;
        }
        match location(&new, info) {
            Some(location) => Verdict::reply(redirect_reply(request.method(), self.permanent, location), &self.label),
            // As in Traefik: if the rewritten text is no URL, the reply is 502.
            None => Verdict::reply(Reply::text(502, "Bad Gateway"), &self.label),
        }
    }

    /// The new URL, or `None` if the URL does not match.
    fn rewrite(&self, old: &[u8], request: &Request, info: &RequestInfo) -> Option<Vec<u8>> {
        match &self.form {
            Form::EntryPoint { scheme, port } => {
                let host = plain_host(request.host())?;
                let mut new = Vec::with_capacity(old.len() + 12);
                new.extend_from_slice(scheme.as_bytes());
                new.extend_from_slice(b"://");
                new.extend_from_slice(host);
                new.extend_from_slice(format!(":{port}").as_bytes());
                new.extend_from_slice(info.target);
                Some(new)
            }
            Form::Regex { regex, replacement } => {
                let mut new = Vec::new();
                let mut copied = 0;
                for groups in regex.captures_iter(old) {
                    let whole = groups.get_match();
                    new.extend_from_slice(&old[copied..whole.start()]);
                    replacement.expand(&groups, request, info, &mut new);
                    copied = whole.end();
                }
                // `copied` and `new` are also empty after an empty match at the start with an empty replacement: ask the regex again.
                if copied == 0 && new.is_empty() && !regex.is_match(old) {
                    return None;
                }
                new.extend_from_slice(&old[copied..]);
                Some(new)
            }
        }
    }
}

/// The redirect's local reply (docs/reference/entry-points.md#redirect): GET gets 302 or 301, every other method, HEAD too, 307 or 308.
fn redirect_reply(method: &[u8], permanent: bool, location: Vec<u8>) -> Reply {
    let (status, text) = match (method == b"GET", permanent) {
        (true, false) => (302, "Found"),
        (true, true) => (301, "Moved Permanently"),
        (false, false) => (307, "Temporary Redirect"),
        (false, true) => (308, "Permanent Redirect"),
    };
    Reply::text(status, text).with("Location", Cow::Owned(location))
}

/// The host without its port, if it consists of letters, digits, `_`, `.` and `-`, or is an IPv6 address in brackets. Requests for other
/// hosts are not redirected.
fn plain_host(host: &[u8]) -> Option<&[u8]> {
    let (name, _) = split_port(host);
    let address = name.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    let is_host = match address {
        Some(address) => std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok()),
        None => !name.is_empty() && name.iter().all(|&b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
    };
    is_host.then_some(name)
}

/// The value of Location: the new URL, without the prefix that AddPrefix added, and with the path that the client sent if another
/// modifier changed it. `None` if the result is no URL.
fn location(new: &[u8], info: &RequestInfo) -> Option<Vec<u8>> {
    let (authority_end, path_end) = parts(new)?;
    let mut path = &new[authority_end..path_end];
    if info.path_replaced {
        path = split_query(info.original_target).0;
    }
    let mut out = new[..authority_end].to_vec();
    match find(path, info.added_prefix) {
        Some(at) => {
            out.extend_from_slice(&path[..at]);
            out.extend_from_slice(&path[at + info.added_prefix.len()..]);
        }
        None => out.extend_from_slice(path),
    }
    out.extend_from_slice(&new[path_end..]);
    Some(escaped(&out))
}

/// The ends of authority and path, if the URL is valid in a Location field.
fn parts(url: &[u8]) -> Option<(usize, usize)> {
    if url.iter().any(|b| b.is_ascii_control()) {
        return None;
    }
    let authority_start = match find(url, b"://") {
        Some(at) if url[..at].iter().all(|&b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) => at + 3,
        _ => 0,
    };
    let end_of = |from: usize, stops: &[u8]| {
        url[from..].iter().position(|b| stops.contains(b)).map_or(url.len(), |at| from + at)
    };
    let authority_end = if authority_start == 0 { 0 } else { end_of(authority_start, b"/?#") };
    let path_end = end_of(authority_end, b"?#");
    let authority_ok = !url[authority_start..authority_end].iter().any(|b| b" %<>\"\\^`{|}".contains(b));
    (authority_ok && escapes_are_whole(&url[authority_end..path_end])).then_some((authority_end, path_end))
}

fn escapes_are_whole(path: &[u8]) -> bool {
    let hex = |at: usize| path.get(at).is_some_and(u8::is_ascii_hexdigit);
    path.iter().enumerate().filter(|(_, b)| **b == b'%').all(|(at, _)| hex(at + 1) && hex(at + 2))
}

/// Percent-encodes blanks and bytes outside ASCII; everything else stays byte for byte.
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

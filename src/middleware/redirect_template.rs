//! The replacement of a redirect: text with `$1` groups, and the template expressions that users of Traefik v1 write in it.
//!
//! Traefik runs a Go template over the *result*, which contains text of the client: a client can send `{{...}}` in its URL. Here
//! expressions are read from the configuration only, and text of the client is inserted literally.

use std::fmt;

use regex::bytes::Captures;

use super::{Request, RequestInfo};

/// A compiled replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Text in which `$1`, `${1}`, `$name` and `$$` are expanded.
    Expand(Vec<u8>),
    Literal(String),
    Host,
    Method,
    RequestUri,
    Path,
    Query,
    RemoteAddr,
    Header(String),
}

/// A template expression that is not supported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidTemplate(String);

impl Template {
    /// Parses `text`, in which expressions are written between `{{` and `}}`.
    pub fn new(text: &str) -> Result<Self, InvalidTemplate> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            if open > 0 {
                pieces.push(Piece::Expand(rest.as_bytes()[..open].to_vec()));
            }
            let inside = &rest[open + 2..];
            let close = inside.find("}}").ok_or_else(|| InvalidTemplate(rest[open..].to_owned()))?;
            pieces.push(expression(inside[..close].trim_matches('-').trim())?);
            rest = &inside[close + 2..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Expand(rest.as_bytes().to_vec()));
        }
        Ok(Template { pieces })
    }

    /// Appends the replacement of one match.
    pub fn expand(&self, groups: &Captures, request: &Request, info: &RequestInfo, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Expand(text) => groups.expand(text, out),
                Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Host => out.extend_from_slice(request.host()),
                Piece::Method => out.extend_from_slice(request.method()),
                Piece::RequestUri => out.extend_from_slice(info.target),
                Piece::Path => out.extend_from_slice(split_query(info.target).0),
                Piece::Query => out.extend_from_slice(split_query(info.target).1),
                Piece::RemoteAddr => {
                    let address = std::net::SocketAddr::new(info.peer, info.peer_port);
                    out.extend_from_slice(address.to_string().as_bytes());
                }
                Piece::Header(name) => {
                    out.extend_from_slice(request.trusted_first(name.as_bytes(), info).unwrap_or_default())
                }
            }
        }
    }
}

/// Splits a target into its path and its query, without the question mark.
pub(super) fn split_query(target: &[u8]) -> (&[u8], &[u8]) {
    match target.iter().position(|&b| b == b'?') {
        Some(at) => (&target[..at], &target[at + 1..]),
        None => (target, &[]),
    }
}

fn expression(text: &str) -> Result<Piece, InvalidTemplate> {
    let invalid = || InvalidTemplate(format!("{{{{ {text} }}}}"));
    if let Some(literal) = quoted(text) {
        return Ok(Piece::Literal(literal.to_owned()));
    }
    let field = text.strip_prefix(".Request.").ok_or_else(invalid)?;
    if let Some(argument) = field.strip_prefix("Header.Get ") {
        return Ok(Piece::Header(quoted(argument.trim()).ok_or_else(invalid)?.to_owned()));
    }
    Ok(match field {
        "Host" => Piece::Host,
        "Method" => Piece::Method,
        "RequestURI" => Piece::RequestUri,
        "URL.Path" => Piece::Path,
        "URL.RawQuery" => Piece::Query,
        "RemoteAddr" => Piece::RemoteAddr,
        _ => return Err(invalid()),
    })
}

/// A string literal without escapes.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| *c == '"' || *c == '`')?;
    let inside = text.strip_prefix(quote)?.strip_suffix(quote)?;
    (!inside.contains(['\\', quote])).then_some(inside)
}

impl fmt::Display for InvalidTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the expression {:?} is not supported in a redirect's replacement: use a quoted string, .Request.Host, .Request.Method, \
             .Request.RequestURI, .Request.URL.Path, .Request.URL.RawQuery, .Request.RemoteAddr or .Request.Header.Get \"Name\"",
            self.0
        )
    }
}

impl std::error::Error for InvalidTemplate {}

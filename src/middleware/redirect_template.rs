//! The replacement of a redirect: text with `$1` groups, and the template expressions Traefik v1's users write in it.
//!
//! Traefik runs a Go template over the *result*, client text included, so that a client could write `{{...}}` into its own
//! URL. Here the expressions are read from the configuration only, and what a client sends is inserted literally.

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

/// A template expression that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidTemplate(String);

impl Template {
    /// Reads `text`; expressions stand between `{{` and `}}`.
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
    pub fn expand(&self, groups: &Captures, request: &Request, facts: &RequestInfo, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Expand(text) => groups.expand(text, out),
                Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Host => out.extend_from_slice(request.host()),
                Piece::Method => out.extend_from_slice(request.method()),
                Piece::RequestUri => out.extend_from_slice(facts.target),
                Piece::Path => out.extend_from_slice(split_query(facts.target).0),
                Piece::Query => out.extend_from_slice(split_query(facts.target).1),
                Piece::RemoteAddr => {
                    let address = std::net::SocketAddr::new(facts.peer, facts.peer_port);
                    out.extend_from_slice(address.to_string().as_bytes());
                }
                Piece::Header(name) => {
                    out.extend_from_slice(request.trusted_first(name.as_bytes(), facts).unwrap_or_default())
                }
            }
        }
    }
}

/// Path, and query without its question mark.
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

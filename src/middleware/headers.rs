//! Custom request and response headers (docs/reference/middlewares.md#custom-headers).

use std::fmt;

use super::{Request, Response, Verdict};

/// Request fields of the connection or of the message's framing: a configured value for them is ignored.
const REQUEST_FIXED: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "trailer",
    "upgrade",
    "te",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
];
/// Response fields of the connection or of the message's framing: a configured value for them is ignored.
const RESPONSE_FIXED: &[&str] =
    &["content-length", "transfer-encoding", "connection", "trailer", "upgrade", "keep-alive"];

/// Fields to set; a field with an empty value is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomHeaders {
    fields: Vec<(String, Vec<u8>)>,
    ignored: Vec<String>,
}

/// A field that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidHeader {
    Name(String),
    Value(String),
}

impl CustomHeaders {
    pub fn on_requests<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, InvalidHeader> {
        CustomHeaders::new(fields, REQUEST_FIXED)
    }

    pub fn on_responses<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, InvalidHeader> {
        CustomHeaders::new(fields, RESPONSE_FIXED)
    }

    fn new<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>, fixed: &[&str]) -> Result<Self, InvalidHeader> {
        let mut headers = CustomHeaders::default();
        for (name, value) in fields {
            check(name, value)?;
            if fixed.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                headers.ignored.push(name.to_owned());
            } else {
                headers.fields.push((name.to_owned(), value.as_bytes().to_vec()));
            }
        }
        Ok(headers)
    }

    /// Configured names that are ignored because they belong to the connection or the framing; the caller warns of them.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub fn on_request(&self, request: &mut Request) -> Verdict {
        for (name, value) in &self.fields {
            match value.is_empty() {
                true => request.edits.remove(name.as_bytes()),
                false => request.edits.set(name.as_bytes(), value),
            }
        }
        Verdict::Next
    }

    /// Changes the backend's response, or the local reply after the backend failed. Other local replies and 101 responses stay unchanged.
    pub fn on_response(&self, response: &mut Response) {
        if matches!(response, Response::Local(_)) || response.status() == 101 {
            return;
        }
        for (name, value) in &self.fields {
            match value.is_empty() {
                true => response.remove(name),
                false => response.set(name, value),
            }
        }
    }
}

/// Checks that `name` is a token and `value` has no control character (RFC 9110 5.1, 5.5): a line break would end the field early.
pub(super) fn check(name: &str, value: &str) -> Result<(), InvalidHeader> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(InvalidHeader::Name(name.to_owned()));
    }
    if value.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
        return Err(InvalidHeader::Value(name.to_owned()));
    }
    Ok(())
}

impl fmt::Display for InvalidHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidHeader::Name(name) => {
                write!(f, "{name:?} is no header name: use letters, digits and - (no blanks, no colon)")
            }
            InvalidHeader::Value(name) => {
                write!(f, "the value of header {name:?} contains a control character: write it on one line")
            }
        }
    }
}

impl std::error::Error for InvalidHeader {}

//! The head of a request that is asked about and that no client sends: written as a client would, and read by the same parser.

use super::h1::progress::ParseProgress;
use super::h1::request_head::parse_request;
use super::{HeadLimits, RejectedRequest, RequestHead, Violation};

/// Writes the head to `bytes` and parses it into `head`. `fields` have neither a line end nor, unless it is meant, a Host.
///
/// # Errors
/// The violation for which such a request is refused.
pub fn asked_head(
    method: &str,
    target: &str,
    host: &str,
    fields: &[(String, String)],
    bytes: &mut Vec<u8>,
    head: &mut RequestHead,
) -> Result<(), RejectedRequest> {
    bytes.clear();
    bytes.extend_from_slice(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n").as_bytes());
    for (name, value) in fields {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    match parse_request(bytes, &HeadLimits::REQUEST, head)? {
        ParseProgress::Complete if head.len == bytes.len() => Ok(()),
        _ => Err(Violation::RequestLine.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_is_read_as_a_client_sends_it_or_refused_alike() {
        let (mut bytes, mut head) = (Vec::new(), RequestHead::default());
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let fields = [field("X-A", "1")];
        asked_head("GET", "/a?b", "h.example:81", &fields, &mut bytes, &mut head).expect("a request");
        assert_eq!((head.host.of(&bytes), head.target.of(&bytes)), (&b"h.example:81"[..], &b"/a?b"[..]));
        let refused = asked_head("GET", "/%zz", "h", &[], &mut bytes, &mut head).expect_err("a bad escape");
        assert_eq!(refused.status, 400);
        let smuggled = [field("X-A", "1\r\n\r\nGET / HTTP/1.1")];
        assert!(asked_head("GET", "/", "h", &smuggled, &mut bytes, &mut head).is_err(), "two requests");
    }
}

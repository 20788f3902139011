//! Upgrades: the protocols that a client may ask a server for, and the response that switches to one of them (RFC 9110 7.8).

use super::head::{Field, RequestHead};
use super::known::KnownField;
use super::token::is_token_byte;

/// The protocols that the Upgrade fields of a request list, as far as they have been read.
#[derive(Debug, Default)]
pub(super) struct UpgradeOffer {
    has_protocol: bool,
    is_refused: bool,
    /// `websocket` is one of the protocols.
    pub has_websocket: bool,
}

impl UpgradeOffer {
    /// Reads the value of an Upgrade field. One malformed or forbidden member spoils the whole offer: without the others the request would
    /// not be the one that the client sent.
    pub fn add(&mut self, value: &[u8]) {
        for protocol in protocols(value) {
            self.has_protocol = true;
            self.is_refused |= !is_well_formed(protocol) || is_version_of_http_or_tls(protocol);
            self.has_websocket |= protocol.eq_ignore_ascii_case(b"websocket");
        }
    }

    pub fn is_acceptable(&self) -> bool {
        self.has_protocol && !self.is_refused
    }
}

/// Whether a 101 with the fields `answer` switches to protocols that the request offered: at least one, and no other one.
pub fn is_offered(request: &RequestHead, request_bytes: &[u8], answer: &[Field], answer_bytes: &[u8]) -> bool {
    let mut chosen = upgrade_values(answer, answer_bytes).flat_map(protocols).peekable();
    let is_in_offer = |protocol: &[u8]| {
        let mut offered = upgrade_values(&request.fields, request_bytes).flat_map(protocols);
        offered.any(|offer| offer.eq_ignore_ascii_case(protocol))
    };
    chosen.peek().is_some() && chosen.all(is_in_offer)
}

/// The values of all Upgrade fields, in order.
pub(super) fn upgrade_values<'a>(fields: &'a [Field], bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(|field| field.known == KnownField::Upgrade).map(|field| field.value.of(bytes))
}

/// The members of a list of protocols, without the empty ones (RFC 9110 5.6.1).
pub(super) fn protocols(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|protocol| !protocol.is_empty())
}

/// Whether a protocol is `name` or `name/version`, both tokens.
fn is_well_formed(protocol: &[u8]) -> bool {
    let mut parts = protocol.splitn(2, |byte| *byte == b'/');
    parts.all(|part| !part.is_empty() && part.iter().copied().all(is_token_byte))
}

/// Whether a protocol is a version of HTTP or TLS, drafts included. A server behind the proxy must never speak either of them inside a
/// tunnel: requests in a tunnel would pass neither rules nor middlewares (docs/reference/security-promises.md#h2c-upgrade).
fn is_version_of_http_or_tls(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
    let begins_with = |text: &[u8]| name.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text));
    let is_one_of = |names: &[&[u8]]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
    begins_with(b"h2") || begins_with(b"h3") || is_one_of(&[b"http", b"https", b"tls", b"ssl", b"shttp"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_acceptable(values: &[&str]) -> bool {
        let mut offer = UpgradeOffer::default();
        values.iter().for_each(|value| offer.add(value.as_bytes()));
        offer.is_acceptable()
    }

    #[test]
    fn any_protocol_but_http_and_tls_is_acceptable() {
        for good in [
            "websocket",
            "WebSocket",
            "tcp",
            "SPDY/3.1",
            "websocket, foo",
            "tailscale-control-protocol",
            ",DERP ,",
            "IRC/6.9",
        ] {
            assert!(is_acceptable(&[good]), "{good}");
        }
        assert!(is_acceptable(&["websocket", "foo"]), "two fields are one list");
        for bad in [
            "", ",", "h2c", "H2C", "h2c-14", "h2", "h3", "HTTP/2.0", "http", "TLS/1.0", "tls/1.3", "a/b/c", "/1", "a/",
            "a b", "\"a\"",
        ] {
            assert!(!is_acceptable(&[bad]), "{bad}");
            assert!(!is_acceptable(&[&format!("websocket, {bad}x y")]), "one member spoils the list");
        }
        for spoiled in ["websocket, h2c", "h2c,websocket", "TLS/1.0, websocket"] {
            assert!(!is_acceptable(&[spoiled]), "{spoiled}");
        }
        assert!(!is_acceptable(&["websocket", "h2c"]));
        assert!(!is_acceptable(&[]));
    }
}

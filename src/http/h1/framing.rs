//! Fields that frame a body or belong to the connection, read with the same strictness in requests and responses.

use crate::http::content_length;
use crate::http::head::Field;
use crate::http::known::{KnownField, is_forwarded_name};
use crate::http::violation::Violation;
use crate::limits::CONNECTION_OPTIONS_MAX;

/// The framing fields of a head, as far as it has been read.
#[derive(Debug, Default)]
pub(super) struct FramingFields {
    pub length: Option<u64>,
    pub chunked: bool,
    pub has_connection: bool,
}

impl FramingFields {
    /// Notes a Content-Length.
    pub fn content_length(&mut self, value: &[u8]) -> Result<(), Violation> {
        content_length::note(&mut self.length, value)
    }

    /// Notes a Transfer-Encoding: exactly `chunked`, and only once (RFC 9112 6.1). All recipients interpret only this coding alike.
    pub fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Violation> {
        if std::mem::replace(&mut self.chunked, true) {
            return Err(Violation::CodingRepeated);
        }
        if value.eq_ignore_ascii_case(b"chunked") { Ok(()) } else { Err(Violation::CodingNotChunked) }
    }
}

/// The Connection options that the proxy interprets.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
}

/// Reads all Connection fields (RFC 9110 7.6.1), and sets [`Field::hop`] of the fields that they name.
pub(super) fn connection_options(
    bytes: &[u8],
    fields: &mut [Field],
    framing: &FramingFields,
) -> Result<Options, Violation> {
    let mut options = Options::default();
    if !framing.has_connection {
        return Ok(options);
    }
    let mut count = 0;
    for at in 0..fields.len() {
        if fields[at].known != KnownField::Connection {
            continue;
        }
        let value = fields[at].value.of(bytes);
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if option.is_empty() {
                continue;
            }
            count += 1;
            if count > CONNECTION_OPTIONS_MAX {
                return Err(Violation::TooManyOptions);
            }
            if option.eq_ignore_ascii_case(b"close") {
                options.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                options.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                options.upgrade = true;
            } else {
                mark_hop(bytes, fields, option);
            }
        }
    }
    Ok(options)
}

fn mark_hop(bytes: &[u8], fields: &mut [Field], option: &[u8]) {
    for field in fields {
        let name = field.name.of(bytes);
        if name.eq_ignore_ascii_case(option) && !is_protected(field.known, name) {
            field.hop = true;
        }
    }
}

/// Whether no Connection option removes the field: Host, fields that concern the body's transfer, X-Forwarded-* and X-Real-Ip
/// (docs/reference/security-promises.md#connection-named-fields).
fn is_protected(known: KnownField, name: &[u8]) -> bool {
    let is_needed = matches!(
        known,
        KnownField::Host
            | KnownField::ContentLength
            | KnownField::TransferEncoding
            | KnownField::Expect
            | KnownField::Te
    );
    is_needed || known == KnownField::XRealIp || is_forwarded_name(name)
}

//! Turns header blocks into heads (RFC 9113 8.2, 8.3): lines like those of HTTP/1.1, and the parsed head that refers to them.

use super::hpack::{Decoded, Decoder, FieldSink, Name};
use crate::http::head::{BodyFraming, Field, RequestHead, ResponseHead, Upgrade, Version};
use crate::http::head_limits::HeadLimits;
use crate::http::known::KnownField;
use crate::http::span::Span;
use crate::http::target::check_escapes;
use crate::http::trailer::is_allowed_trailer;
use crate::http::upgrade::UpgradeOffer;
use crate::http::violation::{RejectedRequest, Violation};
use crate::http::{byte_scan, connection_auth, content_length, host};
use crate::limits;

/// Why a header block gives no head. After every error but `Compression` the decoder is ready for the next block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// The block cannot be decoded: a connection error of type COMPRESSION_ERROR (RFC 9113 4.3).
    Compression(&'static str),
    /// Requests only: the stream gets a response with this status.
    Rejected(RejectedRequest),
    /// The message is malformed: a stream error of type PROTOCOL_ERROR (RFC 9113 8.1.1).
    Malformed(Violation),
}

/// The bytes that a field counts beside its text (RFC 9113 6.5.2).
const FIELD_OVERHEAD_BYTES: usize = 32;

/// The kind of message whose fields are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Response,
    Trailers,
}

/// Collects the fields of a block.
struct Collector<'a> {
    kind: Kind,
    limits: &'a HeadLimits,
    fields: &'a mut Vec<Field>,
    /// Pseudo-header fields, in the buffer of their own.
    pseudo: Pseudo,
    has_regular: bool,
    used: usize,
    count: usize,
    malformed: Option<Violation>,
    too_large: Option<Violation>,
    cookies: Vec<u8>,
    length: Option<u64>,
}

#[derive(Default)]
struct Pseudo {
    method: Vec<u8>,
    scheme: Option<bool>,
    authority: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    protocol: Option<Vec<u8>>,
    status: Option<Vec<u8>>,
}

impl Collector<'_> {
    fn fail(&mut self, violation: Violation) {
        self.malformed.get_or_insert(violation);
    }

    fn pseudo(&mut self, name: Name, value: &[u8]) {
        let wanted = match (self.kind, name) {
            (Kind::Request, Name::Method | Name::Scheme | Name::Authority | Name::Path | Name::Protocol) => true,
            (Kind::Response, Name::Status) => true,
            (Kind::Trailers, _) => return self.fail(Violation::PseudoInTrailers),
            _ => false,
        };
        if !wanted {
            return self.fail(Violation::PseudoUnknown);
        }
        if self.has_regular {
            return self.fail(Violation::PseudoAfterField);
        }
        let is_repeated = match name {
            Name::Method => {
                let before = !self.pseudo.method.is_empty();
                self.pseudo.method = value.to_vec();
                before
            }
            Name::Scheme => {
                let known = value.eq_ignore_ascii_case(b"http") || value.eq_ignore_ascii_case(b"https");
                self.pseudo.scheme.replace(known).is_some()
            }
            Name::Authority => self.pseudo.authority.replace(value.to_vec()).is_some(),
            Name::Path => self.pseudo.path.replace(value.to_vec()).is_some(),
            Name::Protocol => self.pseudo.protocol.replace(value.to_vec()).is_some(),
            _ => self.pseudo.status.replace(value.to_vec()).is_some(),
        };
        if is_repeated {
            self.fail(Violation::PseudoRepeated);
        }
    }

    /// Whether the field's line stays.
    fn regular(&mut self, known: KnownField, name: &[u8], value: &[u8]) -> bool {
        self.has_regular = true;
        match known {
            KnownField::Connection
            | KnownField::KeepAlive
            | KnownField::ProxyConnection
            | KnownField::TransferEncoding
            | KnownField::Upgrade => self.fail(Violation::ConnectionField),
            KnownField::Te if !value.eq_ignore_ascii_case(b"trailers") => self.fail(Violation::TeNotTrailers),
            KnownField::ContentLength if self.kind != Kind::Trailers => {
                if let Err(violation) = content_length::note(&mut self.length, value) {
                    self.fail(violation);
                }
            }
            KnownField::Cookie if self.kind == Kind::Request => {
                if !self.cookies.is_empty() {
                    self.cookies.extend_from_slice(b"; ");
                }
                self.cookies.extend_from_slice(value);
                return false;
            }
            _ => {}
        }
        self.kind != Kind::Trailers || is_allowed_trailer(known, name)
    }
}

impl FieldSink for Collector<'_> {
    fn room(&self) -> usize {
        if self.too_large.is_some() { 0 } else { self.limits.head_bytes_max.saturating_sub(self.used) }
    }

    fn take(&mut self, lines: &mut Vec<u8>, field: Decoded) {
        self.count += 1;
        self.used = self.used.saturating_add(field.name_len + field.value_len + FIELD_OVERHEAD_BYTES);
        if self.used > self.limits.head_bytes_max || !field.is_whole {
            self.too_large.get_or_insert(Violation::HeadTooLong);
        }
        if self.count > self.limits.fields_max {
            self.too_large.get_or_insert(Violation::TooManyFields);
        }
        if self.too_large.is_some() || self.malformed.is_some() {
            if field.is_whole {
                lines.truncate(field.start);
            }
            return;
        }
        if let Some(violation) = field.value_fault {
            self.fail(violation);
        }
        let name_end = field.start + field.name_len;
        let value_start = name_end + 2;
        let line = lines.get(field.start..).unwrap_or_default().to_vec();
        let (name, value) = (
            line.get(..field.name_len).unwrap_or_default(),
            line.get(field.name_len + 2..field.name_len + 2 + field.value_len).unwrap_or_default(),
        );
        let stays = match field.name {
            Name::Invalid(violation) => {
                self.fail(violation);
                false
            }
            Name::Field(known) => {
                let stays = self.regular(known, name, value);
                if stays && self.kind != Kind::Trailers {
                    self.fields.push(Field {
                        name: Span::new(field.start, name_end),
                        value: Span::new(value_start, value_start + field.value_len),
                        known,
                        hop: false,
                    });
                }
                stays
            }
            pseudo => {
                self.pseudo(pseudo, value);
                false
            }
        };
        if !stays {
            lines.truncate(field.start);
        }
    }
}

fn collect<'a>(
    decoder: &mut Decoder,
    block: &[u8],
    kind: Kind,
    limits: &'a HeadLimits,
    fields: &'a mut Vec<Field>,
    lines: &mut Vec<u8>,
) -> Result<Collector<'a>, HeadError> {
    fields.clear();
    let mut collector = Collector {
        kind,
        limits,
        fields,
        pseudo: Pseudo::default(),
        has_regular: false,
        used: 0,
        count: 0,
        malformed: None,
        too_large: None,
        cookies: Vec::new(),
        length: None,
    };
    decoder.decode(block, lines, &mut collector).map_err(HeadError::Compression)?;
    match collector.malformed {
        Some(violation) => Err(HeadError::Malformed(violation)),
        None => Ok(collector),
    }
}

/// Decodes the block of a request into its lines and its head.
pub fn decode_request(
    decoder: &mut Decoder,
    block: &[u8],
    end_stream: bool,
    limits: &HeadLimits,
    head: &mut RequestHead,
    lines: &mut Vec<u8>,
) -> Result<(), HeadError> {
    let rejected = |violation: Violation| HeadError::Rejected(violation.into());
    let malformed = HeadError::Malformed;
    let mut fields = std::mem::take(&mut head.fields);
    let mut rest = Vec::new();
    let collected = collect(decoder, block, Kind::Request, limits, &mut fields, &mut rest)?;
    if let Some(violation) = collected.too_large {
        return Err(rejected(violation));
    }
    let Collector { pseudo, cookies, length, .. } = collected;
    let is_connect = pseudo.method == b"CONNECT";
    if pseudo.method.is_empty() {
        return Err(malformed(Violation::PseudoMissing));
    }
    if is_connect && pseudo.protocol.is_none() {
        return Err(match pseudo.scheme.is_some() || pseudo.path.is_some() || pseudo.authority.is_none() {
            true => malformed(Violation::ConnectForm),
            false => rejected(Violation::Connect),
        });
    }
    if pseudo.protocol.is_some() && !is_connect {
        return Err(malformed(Violation::ConnectForm));
    }
    if !pseudo.method.iter().copied().all(crate::http::token::is_token_byte)
        || pseudo.method.len() > limits::METHOD_BYTES_MAX
    {
        return Err(malformed(Violation::Method));
    }
    match pseudo.scheme {
        None => return Err(malformed(Violation::PseudoMissing)),
        Some(false) => return Err(malformed(Violation::Scheme)),
        Some(true) => {}
    }
    let path = pseudo.path.ok_or(malformed(Violation::PseudoMissing))?;
    if path.is_empty() {
        return Err(malformed(Violation::PathEmpty));
    }
    if path.len() > limits.target_bytes_max {
        return Err(rejected(Violation::TargetTooLong));
    }
    let is_star = path == b"*" && pseudo.method == b"OPTIONS";
    if byte_scan::target_end(&path, 0) != path.len() {
        return Err(malformed(Violation::Target));
    }
    if !is_star && path.first() != Some(&b'/') {
        return Err(malformed(Violation::TargetForm));
    }
    check_escapes(&path).map_err(rejected)?;
    let protocol = pseudo.protocol;
    let method: &[u8] = if is_connect { b"GET" } else { &pseudo.method };
    lines.clear();
    lines.extend_from_slice(method);
    lines.push(b' ');
    head.method = Span::new(0, method.len());
    head.target = Span::new(lines.len(), lines.len() + path.len());
    lines.extend_from_slice(&path);
    lines.extend_from_slice(b" HTTP/2.0\r\n");
    let host_at = fields.iter().position(|field| field.known == KnownField::Host);
    if fields.iter().filter(|field| field.known == KnownField::Host).count() > 1 {
        return Err(malformed(Violation::HostRepeated));
    }
    let host_field = host_at.and_then(|at| fields.get(at)).map(|field| field.value.of(&rest).to_vec());
    let authority = match (pseudo.authority, host_field) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(&host) => {
            return Err(malformed(Violation::HostDiffers));
        }
        (Some(authority), _) => authority,
        (None, Some(host)) => host,
        (None, None) => return Err(rejected(Violation::HostMissing)),
    };
    if !host::is_valid(&authority) {
        return Err(rejected(Violation::HostInvalid));
    }
    head.version = Version::Http2;
    head.fields = Vec::with_capacity(fields.len() + 4);
    head.host = push(head, lines, b"host", &authority, KnownField::Host);
    let mut expects = false;
    head.binds_connection = false;
    for field in fields.iter().filter(|field| field.known != KnownField::Host) {
        let (name, value) = (field.name.of(&rest), field.value.of(&rest));
        match field.known {
            KnownField::Expect if value.eq_ignore_ascii_case(b"100-continue") => expects = true,
            KnownField::Expect => return Err(rejected(Violation::Expectation)),
            KnownField::Authorization => head.binds_connection |= connection_auth::is_bound_credential(value),
            _ => {}
        }
        push(head, lines, name, value, field.known);
    }
    head.extended_connect = protocol.is_some();
    head.upgrade = Upgrade::None;
    head.websocket = false;
    if let Some(protocol) = &protocol {
        let mut offer = UpgradeOffer::default();
        offer.add(protocol);
        if !offer.is_acceptable() {
            return Err(rejected(Violation::TunnelProtocol));
        }
        push(head, lines, b"upgrade", protocol, KnownField::Upgrade);
        push(head, lines, b"connection", b"Upgrade", KnownField::Connection);
        head.upgrade = Upgrade::Forwarded;
        head.websocket = offer.has_websocket;
    }
    if !cookies.is_empty() {
        push(head, lines, b"cookie", &cookies, KnownField::Cookie);
    }
    lines.extend_from_slice(b"\r\n");
    head.len = lines.len();
    head.body = framing(end_stream, length).map_err(malformed)?;
    if head.extended_connect {
        head.body = BodyFraming::None;
    }
    head.keep_alive = true;
    head.target_is_empty = false;
    head.expect_continue = expects && head.body != BodyFraming::None;
    Ok(())
}

fn push(head: &mut RequestHead, lines: &mut Vec<u8>, name: &[u8], value: &[u8], known: KnownField) -> Span {
    let start = lines.len();
    lines.extend_from_slice(name);
    lines.extend_from_slice(b": ");
    let value_start = lines.len();
    lines.extend_from_slice(value);
    let value = Span::new(value_start, lines.len());
    lines.extend_from_slice(b"\r\n");
    head.fields.push(Field { name: Span::new(start, start + name.len()), value, known, hop: false });
    value
}

fn framing(end_stream: bool, length: Option<u64>) -> Result<BodyFraming, Violation> {
    match (end_stream, length) {
        (true, Some(1..)) => Err(Violation::LengthMismatch),
        (true, _) | (false, Some(0)) => Ok(BodyFraming::None),
        (false, Some(length)) => Ok(BodyFraming::Length(length)),
        (false, None) => Ok(BodyFraming::Chunked),
    }
}

/// Decodes the block of a response, final or interim, into its lines and its head.
pub fn decode_response(
    decoder: &mut Decoder,
    block: &[u8],
    end_stream: bool,
    to_head: bool,
    limits: &HeadLimits,
    head: &mut ResponseHead,
    lines: &mut Vec<u8>,
) -> Result<(), HeadError> {
    let malformed = HeadError::Malformed;
    lines.clear();
    lines.extend_from_slice(b"HTTP/2.0 000 \r\n");
    let collected = collect(decoder, block, Kind::Response, limits, &mut head.fields, lines)?;
    if let Some(violation) = collected.too_large {
        return Err(malformed(violation));
    }
    let (status, length) = (collected.pseudo.status.ok_or(malformed(Violation::PseudoMissing))?, collected.length);
    if status.len() != 3 || !status.iter().all(u8::is_ascii_digit) || status.first() == Some(&b'0') {
        return Err(malformed(Violation::Status));
    }
    if let Some(place) = lines.get_mut(9..12) {
        place.copy_from_slice(&status);
    }
    lines.extend_from_slice(b"\r\n");
    head.status = status.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    if head.status == 101 {
        return Err(malformed(Violation::SwitchingProtocols));
    }
    head.len = lines.len();
    head.reason = Span::new(13, 13);
    head.version = Version::Http2;
    head.keep_alive = true;
    head.has_date = head.fields.iter().any(|field| field.known == KnownField::Date);
    head.binds_connection = false;
    head.announced = Default::default();
    head.body = match to_head || matches!(head.status, 100..200 | 204 | 304) {
        true => BodyFraming::None,
        false => framing(end_stream, length).map_err(malformed)?,
    };
    Ok(())
}

/// Decodes trailers into the lines that may be forwarded.
pub fn decode_trailers(decoder: &mut Decoder, block: &[u8], lines: &mut Vec<u8>) -> Result<(), HeadError> {
    let limits = HeadLimits {
        head_bytes_max: limits::TRAILER_BYTES_MAX,
        fields_max: limits::TRAILER_FIELDS_MAX,
        target_bytes_max: 0,
    };
    let mut none = Vec::new();
    let collected = collect(decoder, block, Kind::Trailers, &limits, &mut none, lines)?;
    match collected.too_large {
        Some(_) => Err(HeadError::Malformed(Violation::TrailerTooLong)),
        None => Ok(()),
    }
}

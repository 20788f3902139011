//! Parses the PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt), with which a load balancer passes on the client's address.
//!
//! The caller decides whether the peer is trusted: from an untrusted peer the header is skipped and its addresses are ignored
//! (docs/reference/entry-points.md#proxy-protocol).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::limits;

/// Longest version 1 line, CRLF included (proxy-protocol.txt 2.1).
pub const V1_BYTES_MAX: usize = 107;
/// Longest version 2 header that is accepted.
pub const V2_BYTES_MAX: usize = limits::PROXY_HEADER_BYTES_MAX;

const V1_START: &[u8] = b"PROXY ";
pub(super) const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of signature, version and command, family, and length.
const V2_FIXED_BYTES: usize = 16;

/// The result of [`parse_proxy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The connection does not start with a PROXY header.
    Absent,
    /// More bytes are needed.
    Partial,
    /// The first `len` bytes are the header. If it has no addresses (`UNKNOWN`, `LOCAL`, UNIX sockets), those of the socket apply.
    Complete { len: usize, addresses: Option<ProxiedAddresses> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxiedAddresses {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

/// An invalid PROXY header: the connection closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidProxy {
    /// A version 1 line that is too long or not `PROXY TCP4|TCP6 source destination port port`.
    Line,
    /// A version 2 header with an unknown version, command or family, or too short for its addresses.
    Header,
    /// A version 2 header longer than [`V2_BYTES_MAX`].
    TooLong,
}

impl InvalidProxy {
    pub fn why(self) -> &'static str {
        match self {
            InvalidProxy::Line => "malformed PROXY line",
            InvalidProxy::Header => "malformed PROXY version 2 header",
            InvalidProxy::TooLong => "PROXY version 2 header is longer than the limit",
        }
    }
}

impl std::fmt::Display for InvalidProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.why())
    }
}

impl std::error::Error for InvalidProxy {}

/// Parses the header at the start of a connection, if there is one. The outcome does not depend on how the bytes were split into reads.
pub fn parse_proxy(bytes: &[u8]) -> Result<ProxyHeader, InvalidProxy> {
    if bytes.starts_with(V1_START) {
        return parse_line(bytes);
    }
    if bytes.starts_with(V2_START) {
        return parse_binary(bytes);
    }
    let may_become = V1_START.starts_with(bytes) || V2_START.starts_with(bytes);
    Ok(if may_become { ProxyHeader::Partial } else { ProxyHeader::Absent })
}

fn parse_line(bytes: &[u8]) -> Result<ProxyHeader, InvalidProxy> {
    let window = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(lf) = memchr::memchr(b'\n', window) else {
        return if window.len() == V1_BYTES_MAX { Err(InvalidProxy::Line) } else { Ok(ProxyHeader::Partial) };
    };
    let line = window[..lf].strip_suffix(b"\r").ok_or(InvalidProxy::Line)?;
    let text = std::str::from_utf8(&line[V1_START.len()..]).map_err(|_| InvalidProxy::Line)?;
    let len = lf + 1;
    let (family, rest) = text.split_once(' ').unwrap_or((text, ""));
    match family {
        // The receiver must ignore the rest of the line.
        "UNKNOWN" => Ok(ProxyHeader::Complete { len, addresses: None }),
        "TCP4" | "TCP6" => {
            let addresses = line_addresses(rest, family == "TCP6").ok_or(InvalidProxy::Line)?;
            Ok(ProxyHeader::Complete { len, addresses: Some(addresses) })
        }
        _ => Err(InvalidProxy::Line),
    }
}

fn line_addresses(text: &str, v6: bool) -> Option<ProxiedAddresses> {
    let mut words = text.split(' ');
    let source: IpAddr = words.next()?.parse().ok()?;
    let destination: IpAddr = words.next()?.parse().ok()?;
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    let fits = words.next().is_none() && source.is_ipv6() == v6 && destination.is_ipv6() == v6;
    fits.then(|| ProxiedAddresses {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    })
}

/// Parses a port of decimal digits only; `u16::from_str` alone would accept a sign.
fn port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn parse_binary(bytes: &[u8]) -> Result<ProxyHeader, InvalidProxy> {
    let Some(&version_and_command) = bytes.get(12) else { return Ok(ProxyHeader::Partial) };
    let local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(InvalidProxy::Header),
    };
    let Some(fixed) = bytes.get(..V2_FIXED_BYTES) else { return Ok(ProxyHeader::Partial) };
    let len = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if len > V2_BYTES_MAX {
        return Err(InvalidProxy::TooLong);
    }
    let Some(payload) = bytes.get(V2_FIXED_BYTES..len) else { return Ok(ProxyHeader::Partial) };
    if local {
        return Ok(ProxyHeader::Complete { len, addresses: None });
    }
    let addresses = match fixed[13] {
        0x11 | 0x12 => Some(binary_addresses::<4>(payload, |octets| Ipv4Addr::from(octets).into())?),
        0x21 | 0x22 => Some(binary_addresses::<16>(payload, |octets| Ipv6Addr::from(octets).into())?),
        0x00 | 0x31 | 0x32 => None,
        _ => return Err(InvalidProxy::Header),
    };
    Ok(ProxyHeader::Complete { len, addresses })
}

fn binary_addresses<const N: usize>(
    payload: &[u8],
    address: impl Fn([u8; N]) -> IpAddr,
) -> Result<ProxiedAddresses, InvalidProxy> {
    let (source, rest) = payload.split_first_chunk::<N>().ok_or(InvalidProxy::Header)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(InvalidProxy::Header)?;
    let ports = rest.first_chunk::<4>().ok_or(InvalidProxy::Header)?;
    Ok(ProxiedAddresses {
        source: SocketAddr::new(address(*source), u16::from_be_bytes([ports[0], ports[1]])),
        destination: SocketAddr::new(address(*destination), u16::from_be_bytes([ports[2], ports[3]])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses the whole and every prefix: each prefix must be `Partial` or give the same result.
    fn parse(bytes: &[u8]) -> Result<ProxyHeader, InvalidProxy> {
        let whole = parse_proxy(bytes);
        for cut in 0..bytes.len() {
            match parse_proxy(&bytes[..cut]) {
                Ok(ProxyHeader::Partial) => {}
                decided => assert_eq!(decided, whole, "cut at {cut}: {}", bytes.escape_ascii()),
            }
        }
        whole
    }

    fn addresses(source: &str, destination: &str) -> Option<ProxiedAddresses> {
        Some(ProxiedAddresses { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
    }

    #[test]
    fn version_1_lines_are_parsed() {
        let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET /";
        assert_eq!(
            parse(line),
            Ok(ProxyHeader::Complete { len: 42, addresses: addresses("192.0.2.1:56324", "192.0.2.2:443") })
        );
        let line = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n";
        let expected = addresses("[2001:db8::1]:1", "[2001:db8::2]:2");
        assert_eq!(parse(line), Ok(ProxyHeader::Complete { len: line.len(), addresses: expected }));
        for unknown in [&b"PROXY UNKNOWN\r\n"[..], b"PROXY UNKNOWN ::1 rubbish 1 2\r\n"] {
            assert_eq!(parse(unknown), Ok(ProxyHeader::Complete { len: unknown.len(), addresses: None }));
        }
    }

    #[test]
    fn malformed_version_1_lines_are_refused() {
        for line in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 ::1 ::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 ::2 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY \r\n",
        ] {
            assert_eq!(parse(line.as_bytes()), Err(InvalidProxy::Line), "{line:?}");
        }
        let endless = format!("PROXY UNKNOWN {}", "a".repeat(200));
        assert_eq!(parse(endless.as_bytes()), Err(InvalidProxy::Line));
    }

    #[test]
    fn other_protocols_have_no_header() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROPFIND / HTTP/1.1",
            b"PROXYX",
            b"\x16\x03\x01",
            b"\r\nGET /",
            b"\r\n\r\n\r\n",
        ] {
            assert_eq!(parse(bytes), Ok(ProxyHeader::Absent), "{}", bytes.escape_ascii());
        }
        assert_eq!(parse(b""), Ok(ProxyHeader::Partial));
    }

    fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u16).to_be_bytes();
        [V2_START, &[command, family], &length, payload].concat()
    }

    #[test]
    fn version_2_headers_are_parsed() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0, 80, 1, 187];
        let with_extension = [&v4[..], &[4, 0, 1, 9]].concat();
        for payload in [&v4[..], &with_extension] {
            let bytes = binary(0x21, 0x11, payload);
            let expected = addresses("192.0.2.1:80", "192.0.2.2:443");
            assert_eq!(parse(&bytes), Ok(ProxyHeader::Complete { len: bytes.len(), addresses: expected }));
        }
        let mut v6 = [0u8; 36];
        (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 3, 4);
        let bytes = binary(0x21, 0x21, &v6);
        assert_eq!(parse(&bytes), Ok(ProxyHeader::Complete { len: 52, addresses: addresses("[::1]:3", "[::2]:4") }));
        for (command, family) in [(0x20, 0x11), (0x20, 0), (0x21, 0), (0x21, 0x31)] {
            let bytes = binary(command, family, b"abc");
            assert_eq!(parse(&bytes), Ok(ProxyHeader::Complete { len: 19, addresses: None }));
        }
    }

    #[test]
    fn malformed_version_2_headers_are_refused() {
        for bytes in
            [binary(0x21, 0x11, &[0; 11]), binary(0x21, 0x21, &[0; 35]), binary(0x11, 0, b""), binary(0x22, 0, b"")]
        {
            assert_eq!(parse(&bytes), Err(InvalidProxy::Header));
        }
        assert_eq!(parse(&binary(0x21, 0x41, &[0; 36])), Err(InvalidProxy::Header));
        assert_eq!(parse(&binary(0x21, 0x11, &[0; 5000])), Err(InvalidProxy::TooLong));
    }
}

//! Writes PROXY protocol headers (HAProxy's proxy-protocol.txt), with which a server learns the client's address.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::proxy_protocol::{ProxiedAddresses, V2_START};
use super::proxy_version::ProxyVersion;

/// Version 2 in the upper half of the byte, and the command `LOCAL` or `PROXY` in the lower one (proxy-protocol.txt 2.2).
const LOCAL_COMMAND: u8 = 0x20;
const PROXY_COMMAND: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// Types of the fields behind the addresses (proxy-protocol.txt 2.2.1 and 2.2.2).
const TYPE_ALPN: u8 = 0x01;
const TYPE_AUTHORITY: u8 = 0x02;
/// The longest value of such a field. Names of hosts and protocols have at most 255 bytes (RFC 6066 3, RFC 7301 3.1).
const FIELD_BYTES_MAX: usize = 255;

/// The connection of a client, as a header describes it to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxiedConnection<'a> {
    pub addresses: ProxiedAddresses,
    /// The protocol on which the client's TLS handshake agreed. Only version 2 has it.
    pub alpn: Option<&'a [u8]>,
    /// The server name of the client's TLS handshake. Only version 2 has it.
    pub server_name: Option<&'a str>,
}

/// The header for a connection that is made for a client.
pub fn proxy_header(version: ProxyVersion, connection: &ProxiedConnection<'_>) -> Vec<u8> {
    let (source, destination) = of_one_family(connection.addresses);
    match version {
        ProxyVersion::V1 => line(source, destination),
        ProxyVersion::V2 => binary(source, destination, connection),
    }
}

/// The header for a connection that the proxy makes for itself, such as that of a health check: the server takes the addresses of the
/// connection (`LOCAL`; `UNKNOWN` in version 1).
pub fn local_header(version: ProxyVersion) -> Vec<u8> {
    match version {
        ProxyVersion::V1 => b"PROXY UNKNOWN\r\n".to_vec(),
        ProxyVersion::V2 => [V2_START, &[LOCAL_COMMAND, UNSPECIFIED, 0, 0]].concat(),
    }
}

/// Both addresses as IPv4, or both as IPv6: a header has one family. IPv4-mapped addresses become IPv4 if both can.
fn of_one_family(addresses: ProxiedAddresses) -> (SocketAddr, SocketAddr) {
    let ProxiedAddresses { source, destination } = addresses;
    match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            (SocketAddr::from((from, source.port())), SocketAddr::from((to, destination.port())))
        }
        (from, to) => {
            (SocketAddr::from((mapped(from), source.port())), SocketAddr::from((mapped(to), destination.port())))
        }
    }
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn line(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv6() { "TCP6" } else { "TCP4" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

fn binary(source: SocketAddr, destination: SocketAddr, connection: &ProxiedConnection<'_>) -> Vec<u8> {
    let mut payload = Vec::with_capacity(64);
    for ip in [source.ip(), destination.ip()] {
        match ip {
            IpAddr::V4(ip) => payload.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => payload.extend_from_slice(&ip.octets()),
        }
    }
    payload.extend_from_slice(&source.port().to_be_bytes());
    payload.extend_from_slice(&destination.port().to_be_bytes());
    push_field(&mut payload, TYPE_ALPN, connection.alpn.unwrap_or_default());
    push_field(&mut payload, TYPE_AUTHORITY, connection.server_name.unwrap_or_default().as_bytes());
    let family = if source.is_ipv6() { TCP_OVER_IPV6 } else { TCP_OVER_IPV4 };
    // The addresses and two fields have 552 bytes at most.
    let length = (payload.len() as u16).to_be_bytes();
    [V2_START, &[PROXY_COMMAND, family], &length, &payload].concat()
}

/// Appends a field, unless its value is empty or too long.
fn push_field(payload: &mut Vec<u8>, kind: u8, value: &[u8]) {
    if value.is_empty() || value.len() > FIELD_BYTES_MAX {
        return;
    }
    payload.push(kind);
    payload.extend_from_slice(&(value.len() as u16).to_be_bytes());
    payload.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::super::proxy_protocol::{ProxyHeader, V1_BYTES_MAX, parse_proxy};
    use super::*;

    fn connection(source: &str, destination: &str) -> ProxiedConnection<'static> {
        let address = |text: &str| text.parse().expect(text);
        let addresses = ProxiedAddresses { source: address(source), destination: address(destination) };
        ProxiedConnection { addresses, alpn: None, server_name: None }
    }

    #[test]
    fn version_1_header_of_one_family_is_a_line_of_addresses() {
        let v4 = proxy_header(ProxyVersion::V1, &connection("192.0.2.1:56324", "192.0.2.2:443"));
        assert_eq!(v4, b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n");
        let v6 = proxy_header(ProxyVersion::V1, &connection("[2001:db8::1]:1", "[2001:db8::2]:2"));
        assert_eq!(v6, b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n");
    }

    #[test]
    fn mapped_addresses_become_ipv4_and_mixed_families_become_ipv6() {
        let mapped = proxy_header(ProxyVersion::V1, &connection("[::ffff:192.0.2.1]:1", "192.0.2.2:2"));
        assert_eq!(mapped, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let header = proxy_header(version, &connection("192.0.2.1:1", "[2001:db8::2]:2"));
            let Ok(ProxyHeader::Complete { addresses: Some(read), .. }) = parse_proxy(&header) else {
                panic!("{header:?}")
            };
            assert_eq!(read.source, "[::ffff:192.0.2.1]:1".parse().unwrap());
            assert_eq!(read.destination, "[2001:db8::2]:2".parse().unwrap());
        }
    }

    #[test]
    fn longest_version_1_header_stays_within_the_bound() {
        let widest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        let header = proxy_header(ProxyVersion::V1, &connection(widest, widest));
        assert!(header.len() <= V1_BYTES_MAX, "{}", header.len());
        assert!(matches!(parse_proxy(&header), Ok(ProxyHeader::Complete { .. })));
    }

    #[test]
    fn version_2_header_carries_alpn_and_server_name() {
        let of_client = ProxiedConnection {
            alpn: Some(b"h2"),
            server_name: Some("a.example"),
            ..connection("192.0.2.1:80", "192.0.2.2:443")
        };
        let header = proxy_header(ProxyVersion::V2, &of_client);
        let expected = [
            &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x1d\xc0\0\x02\x01\xc0\0\x02\x02\0\x50\x01\xbb"[..],
            b"\x01\0\x02h2\x02\0\x09a.example",
        ]
        .concat();
        assert_eq!(header, expected);
        let too_long = "a".repeat(256);
        let header = proxy_header(ProxyVersion::V2, &ProxiedConnection { server_name: Some(&too_long), ..of_client });
        assert_eq!(header.len(), expected.len() - 12, "the field is left out");
    }

    #[test]
    fn header_of_the_proxy_itself_has_no_addresses() {
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let header = local_header(version);
            assert_eq!(parse_proxy(&header), Ok(ProxyHeader::Complete { len: header.len(), addresses: None }));
        }
    }
}

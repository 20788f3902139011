//! PROXY headers of both versions: the result is the same when cut anywhere, the size limit holds, and written addresses parse back.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use ringway::detect::proxy_protocol::{V1_BYTES_MAX, V2_BYTES_MAX};
use ringway::detect::{ProxiedAddresses, ProxyHeader, parse_proxy};

fuzz_target!(|bytes: &[u8]| {
    let whole = parse_proxy(bytes);
    for cut in (0..bytes.len()).filter(|cut| bytes.len() <= 300 || cut % 13 == 0) {
        match parse_proxy(&bytes[..cut]) {
            Ok(ProxyHeader::Partial) => {}
            verdict => assert_eq!(verdict, whole, "cut at {cut}"),
        }
    }
    match whole {
        Ok(ProxyHeader::Partial) => assert!(bytes.len() < V2_BYTES_MAX),
        Ok(ProxyHeader::Complete { len, addresses }) => {
            let bound = if bytes.starts_with(b"PROXY ") { V1_BYTES_MAX } else { V2_BYTES_MAX };
            assert!(len <= bytes.len() && len <= bound);
            // The bytes behind the header do not affect the result.
            assert_eq!(parse_proxy(&bytes[..len]), whole);
            if let Some(addresses) = addresses {
                reads_back(addresses);
            }
        }
        Ok(ProxyHeader::Absent) | Err(_) => {}
    }
});

fn reads_back(addresses: ProxiedAddresses) {
    let ProxiedAddresses { source, destination } = addresses;
    let family = if source.is_ipv6() { "TCP6" } else { "TCP4" };
    let (from, to) = (source.ip(), destination.ip());
    let line = format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port());
    assert_eq!(parse_proxy(line.as_bytes()), Ok(ProxyHeader::Complete { len: line.len(), addresses: Some(addresses) }));

    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    header.push(if source.is_ipv6() { 0x21 } else { 0x11 });
    let mut payload = Vec::new();
    for address in [from, to] {
        match address {
            IpAddr::V4(address) => payload.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => payload.extend_from_slice(&address.octets()),
        }
    }
    payload.extend_from_slice(&source.port().to_be_bytes());
    payload.extend_from_slice(&destination.port().to_be_bytes());
    header.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    header.extend_from_slice(&payload);
    assert_eq!(parse_proxy(&header), Ok(ProxyHeader::Complete { len: header.len(), addresses: Some(addresses) }));
}

//! Options of entry points as written (docs/reference/entry-points.md#keys).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::duration::GoDuration;
use crate::config::dynamic::{Auth, CertificateFiles, Redirect, WhiteList};

/// The time-out of UDP sessions, unless the entry point has another one.
const UDP_TIMEOUT_SECS: i64 = 30;

/// A listener with its address, its TLS settings and the middlewares for all its requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EntryPoint {
    /// `host:port`, for datagrams `host:port/udp`; see [`EntryPoint::listen`].
    pub address: String,
    pub compress: bool,
    pub white_list: Option<WhiteList>,
    /// Deprecated for `whiteList.sourceRange`; empty once resolved.
    pub whitelist_source_range: Vec<String>,
    pub tls: Option<Tls>,
    pub redirect: Option<Redirect>,
    pub auth: Option<Auth>,
    pub proxy_protocol: Option<ProxyProtocol>,
    /// If the table is absent, every peer is trusted: resolving adds a table that says so.
    pub forwarded_headers: Option<ForwardedHeaders>,
    /// Only in Ringway: whether `//`, `/./` and `/../` are resolved before a path is matched.
    pub sanitize_path: bool,
    /// Only in Ringway: whether clients may speak HTTP/2.
    pub http2: bool,
    /// Only in Ringway: whether requests get an `X-Request-Id`.
    pub request_id: bool,
    /// Only in Ringway: options of an entry point for datagrams.
    pub udp: Option<UdpOptions>,
}

/// Options of an entry point whose address ends in `/udp` (docs/reference/layer4.md#udp).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UdpOptions {
    /// How long a client's session lasts without a datagram in either direction. Zero or negative: the default.
    pub timeout: GoDuration,
}

/// TLS of an entry point (docs/reference/entry-points.md#tls).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tls {
    pub min_version: String,
    pub cipher_suites: Vec<String>,
    pub certificates: Vec<CertificateFiles>,
    pub default_certificate: Option<CertificateFiles>,
    #[serde(rename = "clientCA")]
    pub client_ca: Option<ClientCa>,
    /// Deprecated for `clientCA.files`; empty once resolved.
    #[serde(rename = "clientCAFiles")]
    pub client_ca_files: Vec<String>,
    pub sni_strict: bool,
}

/// The authorities that may sign client certificates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientCa {
    /// PEM files or PEM texts.
    pub files: Vec<String>,
    /// False: a client certificate is required. True: a certificate is verified if the client sends one.
    pub optional: bool,
}

/// The peers whose PROXY protocol header is trusted (docs/reference/entry-points.md#proxy-protocol).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProxyProtocol {
    pub insecure: bool,
    #[serde(rename = "trustedIPs")]
    pub trusted_ips: Vec<String>,
}

/// The peers whose `X-Forwarded-*` headers are trusted (docs/reference/entry-points.md#forwarded-headers).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ForwardedHeaders {
    /// Trusts every peer.
    pub insecure: bool,
    #[serde(rename = "trustedIPs")]
    pub trusted_ips: Vec<String>,
}

impl Default for EntryPoint {
    fn default() -> Self {
        EntryPoint {
            address: String::new(),
            compress: false,
            white_list: None,
            whitelist_source_range: Vec::new(),
            tls: None,
            redirect: None,
            auth: None,
            proxy_protocol: None,
            forwarded_headers: None,
            sanitize_path: true,
            http2: true,
            request_id: false,
            udp: None,
        }
    }
}

impl Default for UdpOptions {
    fn default() -> Self {
        UdpOptions { timeout: GoDuration::from_secs(UDP_TIMEOUT_SECS) }
    }
}

/// The parts of an address to listen on. A host name is resolved when the socket is opened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenAddress {
    /// Empty means every interface, in both address families.
    pub host: String,
    /// 0 lets the kernel choose.
    pub port: u16,
    /// Whether the address is one of UDP: it ends in `/udp`.
    pub is_udp: bool,
}

/// The error of a text that is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidAddress(String);

impl fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not an address to listen on: write \":80\", \"10.0.0.1:80\", \"[::1]:80\" or \":53/udp\"",
            self.0
        )
    }
}

impl std::error::Error for InvalidAddress {}

impl EntryPoint {
    /// An entry point with an address and the defaults of all other options.
    pub fn on(address: &str) -> Self {
        EntryPoint { address: address.to_owned(), ..EntryPoint::default() }
    }

    /// Parses the address as Go's `net.Listen` does; an empty address means any port on every interface.
    pub fn listen(&self) -> Result<ListenAddress, InvalidAddress> {
        let invalid = || InvalidAddress(self.address.clone());
        if self.address.is_empty() {
            return Ok(ListenAddress { host: String::new(), port: 0, is_udp: false });
        }
        let (address, is_udp) = match self.address.rsplit_once('/') {
            Some((address, transport)) if transport.eq_ignore_ascii_case("udp") => (address, true),
            Some((address, transport)) if transport.eq_ignore_ascii_case("tcp") => (address, false),
            _ => (self.address.as_str(), false),
        };
        let (host, port) = address.rsplit_once(':').ok_or_else(invalid)?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or_else(invalid)?,
            None if host.contains([':', ']']) => return Err(invalid()),
            None => host,
        };
        if host.contains(char::is_whitespace) || host.contains('/') {
            return Err(invalid());
        }
        let port = match port {
            "http" => 80,
            "https" => 443,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty() => {
                digits.parse().map_err(|_| invalid())?
            }
            _ => return Err(invalid()),
        };
        Ok(ListenAddress { host: host.to_owned(), port, is_udp })
    }

    /// How long a session of a UDP client lasts without a datagram.
    pub fn udp_timeout(&self) -> Duration {
        let configured = self.udp.as_ref().and_then(|udp| udp.timeout.positive());
        configured.unwrap_or(Duration::from_secs(UDP_TIMEOUT_SECS as u64))
    }

    /// Whether the entry point takes datagrams, and no connections.
    pub fn is_udp(&self) -> bool {
        self.listen().is_ok_and(|address| address.is_udp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_address_is_parsed_as_by_go() {
        for (text, host, port) in [
            (":80", "", 80),
            ("", "", 0),
            ("127.0.0.1:8080", "127.0.0.1", 8080),
            ("[::1]:443", "::1", 443),
            ("localhost:0", "localhost", 0),
            (":https", "", 443),
        ] {
            let listen = EntryPoint::on(text).listen();
            assert_eq!(listen, Ok(ListenAddress { host: host.to_owned(), port, is_udp: false }), "{text}");
        }
        for (text, is_udp) in [(":53/udp", true), ("[::1]:53/UDP", true), (":53/tcp", false)] {
            let listen = EntryPoint::on(text).listen().expect(text);
            assert_eq!((listen.port, listen.is_udp), (53, is_udp), "{text}");
        }
        for text in [
            "80",
            ":",
            ":99999",
            ":x",
            "::1:80",
            "[::1:80",
            "http://a:80",
            ":-1",
            "a b:80",
            ":53/sctp",
            "/udp",
            ":53/udp/udp",
        ] {
            assert!(EntryPoint::on(text).listen().is_err(), "{text:?} must be rejected");
        }
    }
}

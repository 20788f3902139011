//! Reads the query of `/api/explain`: the request or connection that is asked about (docs/reference/api.md#explain).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::http::percent;

const KEYS: &str = "url, method, header, from, sni, entryPoint";

/// The request or connection that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub url: String,
    pub scheme: Scheme,
    /// The host of the URL, without port and brackets; empty if there is none.
    pub host: String,
    /// The Host field: without the port if that is the default one.
    pub authority: String,
    pub port: u16,
    /// Path and query, escaped as a browser does.
    pub target: String,
    pub method: String,
    pub fields: Vec<(String, String)>,
    pub from: SocketAddr,
    /// Whether `from` was given.
    pub names_client: bool,
    pub sni: Option<String>,
    /// Whether `sni` was given.
    pub names_sni: bool,
    pub entry_point: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
    WebSocket,
    SecureWebSocket,
    /// Bytes without TLS.
    Tcp,
    /// TCP that begins with a TLS handshake.
    Tls,
    Udp,
}

/// Schemes with their names and default ports.
const SCHEMES: [(&str, Scheme, Option<u16>); 7] = [
    ("http", Scheme::Http, Some(80)),
    ("https", Scheme::Https, Some(443)),
    ("ws", Scheme::WebSocket, Some(80)),
    ("wss", Scheme::SecureWebSocket, Some(443)),
    ("tcp", Scheme::Tcp, None),
    ("tls", Scheme::Tls, Some(443)),
    ("udp", Scheme::Udp, None),
];

/// The fields with which a client asks for a WebSocket (RFC 6455 4.1).
const WEBSOCKET_FIELDS: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

impl Scheme {
    pub fn is_request(self) -> bool {
        !matches!(self, Scheme::Tcp | Scheme::Tls | Scheme::Udp)
    }

    /// Whether the client begins with a TLS handshake.
    pub fn has_tls(self) -> bool {
        matches!(self, Scheme::Https | Scheme::SecureWebSocket | Scheme::Tls)
    }
}

impl Asked {
    /// Reads a query.
    ///
    /// # Errors
    /// The message says what cannot be read, and what to write instead.
    pub fn parse(query: &[u8]) -> Result<Asked, String> {
        let (mut url, mut method, mut fields) = (None, "GET".to_owned(), Vec::new());
        let (mut from, mut sni, mut entry_point) = (None, None, None);
        for pair in query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.iter().position(|&byte| byte == b'=') {
                Some(at) => (decoded(&pair[..at])?, decoded(&pair[at + 1..])?),
                None => (decoded(pair)?, String::new()),
            };
            match name.as_str() {
                "url" => url = Some(value),
                "method" => method = value,
                "header" => fields.push(field(&value)?),
                "from" => from = Some(client(&value)?).filter(|_| !value.is_empty()),
                "sni" => sni = Some(value.trim_end_matches('.').to_ascii_lowercase()).filter(|sni| !sni.is_empty()),
                "entryPoint" => entry_point = Some(value).filter(|name| !name.is_empty()),
                _ => return Err(format!("the query has {name:?}, which is unknown: use {KEYS}")),
            }
        }
        let url = url.filter(|url| !url.is_empty()).ok_or("the query has no url: add url=https://shop.example/cart")?;
        let mut asked = read_url(&url)?;
        if let Some(at) = fields.iter().position(|(name, _)| name.eq_ignore_ascii_case("host")) {
            asked.authority = fields.remove(at).1;
        }
        asked.fields.extend(fields);
        asked.names_sni = sni.is_some();
        (asked.method, asked.sni, asked.entry_point) = (method, sni, entry_point);
        asked.names_client = from.is_some();
        asked.from = from.unwrap_or(asked.from);
        Ok(asked)
    }
}

fn read_url(url: &str) -> Result<Asked, String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let known = SCHEMES.iter().find(|(name, ..)| name.eq_ignore_ascii_case(scheme));
    let Some(&(name, scheme, default_port)) = known else {
        let names = SCHEMES.map(|(name, ..)| name).join(", ");
        return Err(format!("the URL {url:?} has the scheme {scheme:?}, which is unknown: use one of {names}"));
    };
    let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (credentials, authority) = match authority.rsplit_once('@') {
        Some((credentials, authority)) => (Some(credentials), authority),
        None => (None, authority),
    };
    let (host, port) = split_port(authority).ok_or_else(|| format!("the URL {url:?} has a port that is no number"))?;
    let port = port.or(default_port).ok_or_else(|| format!("the URL {url:?} has no port: write {name}://HOST:PORT"))?;
    let target = target.split('#').next().unwrap_or_default();
    let slash = if target.starts_with('/') { "" } else { "/" };
    let mut fields: Vec<(String, String)> = Vec::new();
    if let Some(credentials) = credentials {
        let credentials = percent::decoded(credentials.as_bytes());
        fields.push(("Authorization".to_owned(), format!("Basic {}", STANDARD.encode(credentials))));
    }
    if matches!(scheme, Scheme::WebSocket | Scheme::SecureWebSocket) {
        fields.extend(WEBSOCKET_FIELDS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    Ok(Asked {
        url: url.to_owned(),
        scheme,
        host: host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase(),
        authority: if Some(port) == default_port { host.to_owned() } else { authority.to_owned() },
        port,
        target: escaped(&format!("{slash}{target}")),
        method: String::new(),
        fields,
        from: SocketAddr::from((Ipv4Addr::LOCALHOST, CLIENT_PORT)),
        names_client: false,
        sni: None,
        names_sni: false,
        entry_point: None,
    })
}

/// The client's port if none is given: of the range from which systems choose.
const CLIENT_PORT: u16 = 49152;

/// The host with its brackets, and the port; `None` if the port is no number.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            if port.is_empty() {
                Some((host, None))
            } else {
                Some((host, Some(port.parse().ok()?)))
            }
        }
        _ => Some((authority, None)),
    }
}

/// The target with the bytes escaped that a browser escapes, so that it can stand in a request line.
fn escaped(target: &str) -> String {
    let escape = |byte: u8| match byte {
        0..=b' ' | 0x7f.. | b'"' | b'<' | b'>' => format!("%{byte:02X}"),
        _ => char::from(byte).to_string(),
    };
    target.bytes().map(escape).collect()
}

fn field(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once(':') else {
        return Err(format!("the header {text:?} has no colon: write Name: value"));
    };
    if text.contains(['\r', '\n']) {
        return Err(format!("the header {:?} has a line end: write each field by itself", name.trim()));
    }
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn client(text: &str) -> Result<SocketAddr, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, CLIENT_PORT));
    }
    match text.is_empty() {
        true => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, CLIENT_PORT))),
        false => {
            text.parse().map_err(|_| format!("{text:?} is no address: write an IP address, for example 203.0.113.7"))
        }
    }
}

/// A name or value of the query, with `+` as space.
fn decoded(text: &[u8]) -> Result<String, String> {
    let spaced: Vec<u8> = text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    String::from_utf8(percent::decoded(&spaced).into_owned()).map_err(|_| "the query is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Asked {
        Asked::parse(query.as_bytes()).expect(query)
    }

    #[test]
    fn url_is_read_as_a_client_reads_it() {
        for (url, authority, host, port, target) in [
            ("http://Shop.example", "Shop.example", "shop.example", 80, "/"),
            ("https://a.example:443/x%3Fy?q=1%23f", "a.example", "a.example", 443, "/x?y?q=1"),
            ("shop.example:8080/a%2520b", "shop.example:8080", "shop.example", 8080, "/a%20b"),
            ("http://[::1]:81?q", "[::1]:81", "::1", 81, "/?q"),
            ("wss://a/%C3%A4 b", "a", "a", 443, "/%C3%A4%20b"),
            ("tls://db.example", "db.example", "db.example", 443, "/"),
            ("udp://:53", ":53", "", 53, "/"),
        ] {
            let asked = asked(&format!("url={url}"));
            let read = (&*asked.authority, &*asked.host, asked.port, &*asked.target);
            assert_eq!(read, (authority, host, port, target), "{url}");
        }
    }

    #[test]
    fn other_keys_are_read_and_credentials_become_a_field() {
        let asked = asked(
            "url=http://u:p%2540@h/&method=PUT&header=X-A:+1&header=Host:+other&from=[2001:db8::1]:7&sni=A.B.&entryPoint=web",
        );
        assert_eq!(
            asked.fields,
            [("Authorization", "Basic dTpwQA=="), ("X-A", "1")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        assert_eq!((&*asked.authority, &*asked.method), ("other", "PUT"));
        assert_eq!(asked.from, "[2001:db8::1]:7".parse().expect("an address"));
        assert_eq!((asked.sni.as_deref(), asked.entry_point.as_deref()), (Some("a.b"), Some("web")));
        assert_eq!(super::Asked::parse(b"url=ws://h").expect("a URL").fields.len(), 4);
    }

    #[test]
    fn query_that_cannot_be_read_is_refused_with_a_reason() {
        for (query, reason) in [
            ("", "has no url"),
            ("url=ftp://h", "scheme"),
            ("url=tcp://h", "has no port"),
            ("url=http://h:x", "port that is no number"),
            ("url=h&from=here", "is no address"),
            ("url=h&header=X", "has no colon"),
            ("url=h&header=X:1%0d%0aY:2", "line end"),
            ("url=h&hader=X:1", "\"hader\""),
            ("url=%ff", "not UTF-8"),
        ] {
            let error = Asked::parse(query.as_bytes()).expect_err(query);
            assert!(error.contains(reason), "{query}: {error}");
        }
    }
}

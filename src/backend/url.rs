//! The URL of a server: its address, and its name in the Host field (docs/reference/backends.md#url, "target").

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

/// The protocol of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
    /// HTTP/2 with prior knowledge, without TLS.
    H2c,
    /// Bytes of any protocol over TCP.
    Tcp,
    /// Datagrams of any protocol.
    Udp,
}

/// The parts of a server's URL. Sticky cookies use the path, and URLs that are not those of servers (forward auth) path and query; proxying
/// ignores both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    pub scheme: Scheme,
    /// The name or IP address; IPv6 without brackets.
    pub host: String,
    /// The port as written, else the default of the scheme.
    pub port: u16,
    /// Host and port as written: the Host field if `passHostHeader` is off.
    pub authority: String,
    /// The address to connect to: `host:port`, always with a port, and with IPv6 in brackets.
    pub address: String,
    /// The path as written; may be empty.
    pub path: String,
    /// The query without its question mark.
    pub query: Option<String>,
    /// The whole URL as written: it names the server in cookies, logs and the state that reloads carry over.
    pub text: String,
}

/// Why a text is not a server URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidUrl {
    text: String,
    cause: &'static str,
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::H2c => "h2c",
            Scheme::Tcp => "tcp",
            Scheme::Udp => "udp",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        const ALL: [Scheme; 5] = [Scheme::Http, Scheme::Https, Scheme::H2c, Scheme::Tcp, Scheme::Udp];
        ALL.into_iter().find(|scheme| scheme.as_str().eq_ignore_ascii_case(text))
    }

    /// Whether connections or datagrams are passed on without a look at their content.
    pub fn is_layer4(self) -> bool {
        matches!(self, Scheme::Tcp | Scheme::Udp)
    }

    /// The port of a URL without one; `None` if the URL must have a port.
    fn default_port(self) -> Option<u16> {
        match self {
            Scheme::Http | Scheme::H2c => Some(80),
            Scheme::Https => Some(443),
            Scheme::Tcp | Scheme::Udp => None,
        }
    }
}

impl ServerUrl {
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let invalid = |cause| InvalidUrl { text: text.to_owned(), cause };
        if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(invalid("it contains a blank or a control character"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| invalid("it has no scheme"))?;
        let scheme = Scheme::parse(scheme).ok_or_else(|| invalid("its scheme is not http, https, h2c, tcp or udp"))?;
        let rest = rest.split('#').next().unwrap_or_default();
        let authority_len = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(authority_len);
        if authority.contains('@') {
            return Err(invalid("it contains a user name, which is not supported"));
        }
        let (host, port) = host_and_port(authority).map_err(invalid)?;
        let port = port.or(scheme.default_port()).ok_or_else(|| invalid("it has no port"))?;
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (path_and_query, None),
        };
        if scheme.is_layer4() && (!matches!(path, "" | "/") || query.is_some()) {
            return Err(invalid("it has a path or a query, which TCP and UDP do not know"));
        }
        Ok(ServerUrl {
            scheme,
            host: host.to_owned(),
            port,
            authority: authority.to_owned(),
            address,
            path: path.to_owned(),
            query,
            text: text.to_owned(),
        })
    }

    /// The target of a request to exactly this URL: path and query, at least `/`.
    pub fn target(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        match &self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }

    /// Whether both URLs name the same server, by scheme, host, port and path (docs/reference/backends.md#sticky-sessions).
    pub fn names_same_server(&self, other: &ServerUrl) -> bool {
        self.scheme == other.scheme && self.authority == other.authority && self.path == other.path
    }
}

/// The host without brackets, and the port if there is one.
fn host_and_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("the bracket of its IPv6 address is not closed")?;
            let address = host.split('%').next().unwrap_or_default();
            address.parse::<Ipv6Addr>().map_err(|_| "the text in brackets is not an IPv6 address")?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return Err("something other than a port follows its IPv6 address"),
            };
            (host, port)
        }
        None => match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err("its IPv6 address needs brackets"),
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return Err("it has no host");
    }
    if host.bytes().any(|b| b"%<>\"\\^`{|}[]".contains(&b) && !(b == b'%' && host.contains(':'))) {
        return Err("its host contains a character that is not allowed in a host name");
    }
    let port = port.filter(|digits| !digits.is_empty());
    let number = |digits: &str| digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
    match port {
        Some(digits) => number(digits).map(|port| (host, Some(port))).ok_or("its port is not a number from 0 to 65535"),
        None => Ok((host, None)),
    }
}

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.text.split_once("://").and_then(|(scheme, _)| Scheme::parse(scheme)).unwrap_or(Scheme::Http);
        let (text, cause, scheme) = (without_user(&self.text), self.cause, scheme.as_str());
        write!(f, "{text:?} is not a server URL: {cause}; write it as {scheme}://host:port")
    }
}

impl std::error::Error for InvalidUrl {}

/// The text with `***` for a user name and a password, which no message may show.
fn without_user(text: &str) -> Cow<'_, str> {
    let start = text.find("://").map_or(0, |at| at + 3);
    match text[start..].rsplit_once('@') {
        Some((_, rest)) => Cow::Owned(format!("{}***@{rest}", &text[..start])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_shows_no_user_and_no_password() {
        for text in ["http://user:hash@127.0.0.1:1", "http://user:ha/sh@h", "user:hash@h", "https://a@user:hash@h/x"] {
            let message = ServerUrl::parse(text).expect_err(text).to_string();
            assert!(!message.contains("user:") && !message.contains("sh@"), "{message}");
            assert!(message.contains("***@"), "{message}");
        }
    }
}

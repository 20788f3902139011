//! Active health checks as values: the interval, the probe and the meaning of its response (docs/reference/backends.md#health-checks). The
//! control plane sends the probes.

use std::fmt;
use std::time::Duration;

use super::url::{InvalidUrl, Scheme, ServerUrl};
use crate::limits;

/// The timeout of a probe, after which it has failed.
pub const PROBE_TIME_MAX: Duration = Duration::from_secs(5);

/// The shortest interval; a shorter configured one is raised to this.
pub const INTERVAL_MIN: Duration = Duration::from_millis(limits::HEALTH_CHECK_INTERVAL_MIN_MILLIS);

/// The health check of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    pub interval: Duration,
    pub method: CheckMethod,
    path: String,
    scheme: Option<Scheme>,
    port: Option<u16>,
    hostname: String,
    headers: Vec<(String, String)>,
}

impl HealthOptions<'_> {
    /// The interval: the global one in place of one that is not usable, and the shortest in place of a shorter one.
    fn interval(&self, default: Duration) -> Duration {
        let nanos = self.interval_nanos.filter(|&nanos| nanos > 0).and_then(|nanos| u64::try_from(nanos).ok());
        nanos.map_or(default, Duration::from_nanos).max(INTERVAL_MIN)
    }

    fn port(&self) -> Result<Option<u16>, InvalidHealthCheck> {
        match self.port {
            0 => Ok(None),
            port => u16::try_from(port).map(Some).map_err(|_| InvalidHealthCheck::Port(port)),
        }
    }
}

/// Action of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckMethod {
    /// Sends a request.
    Request,
    /// Opens a TCP connection, and ends it.
    Connect,
    /// Opens a TCP connection and shakes hands for TLS on it.
    TlsHandshake,
}

/// Destination of a check without a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectTarget {
    /// The name or IP address; IPv6 without brackets.
    pub host: String,
    pub port: u16,
    /// The name that a TLS handshake asks for: the configured host name, else the host.
    pub tls_name: String,
}

/// The options as written. An empty text or 0 means that the option is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HealthOptions<'a> {
    pub path: &'a str,
    pub scheme: &'a str,
    pub port: i64,
    pub hostname: &'a str,
    /// The parsed interval in nanoseconds; `None` if the text is not a duration.
    pub interval_nanos: Option<i64>,
}

/// The request that checks a server. Redirects are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub url: ServerUrl,
    /// The Host field: the configured host name, else that of the URL.
    pub host: String,
    pub headers: Vec<(String, String)>,
}

/// Why a health check is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidHealthCheck {
    Path(String),
    Scheme(String),
    Port(i64),
    Url(InvalidUrl),
    PathOfLayer4(String),
    SchemeOfLayer4(String),
    UdpWithoutPort,
}

impl HealthCheck {
    /// `None` if there is no path, and therefore no check. An interval that is not [usable](interval_is_usable) is replaced by
    /// `default_interval`, and one that is too short by [`INTERVAL_MIN`].
    pub fn new(
        options: HealthOptions,
        headers: Vec<(String, String)>,
        default_interval: Duration,
    ) -> Result<Option<Self>, InvalidHealthCheck> {
        if options.path.is_empty() {
            return Ok(None);
        }
        let method = CheckMethod::Request;
        let bad_path = || InvalidHealthCheck::Path(options.path.to_owned());
        // A colon in the first segment of a path without a leading slash would end a scheme.
        let first_segment = options.path.split(['/', '?']).next().unwrap_or_default();
        if first_segment.contains(':') || options.path.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(bad_path());
        }
        let scheme = match options.scheme {
            "" => None,
            text => match Scheme::parse(text).filter(|scheme| !scheme.is_layer4()) {
                Some(scheme) => Some(scheme),
                None => return Err(InvalidHealthCheck::Scheme(text.to_owned())),
            },
        };
        let (interval, port) = (options.interval(default_interval), options.port()?);
        let (path, hostname) = (options.path.to_owned(), options.hostname.to_owned());
        Ok(Some(HealthCheck { interval, method, path, scheme, port, hostname, headers }))
    }

    /// The check of `tcp://` and `udp://` servers, which needs no path: by a connection, with the scheme `tls` by a handshake.
    ///
    /// # Errors
    /// An option that such a check cannot have, or a UDP server without the number of a TCP port.
    pub fn layer4(
        options: HealthOptions,
        server: Scheme,
        default_interval: Duration,
    ) -> Result<Self, InvalidHealthCheck> {
        if !options.path.is_empty() {
            return Err(InvalidHealthCheck::PathOfLayer4(options.path.to_owned()));
        }
        let method = match options.scheme.to_ascii_lowercase().as_str() {
            "" | "tcp" => CheckMethod::Connect,
            "tls" => CheckMethod::TlsHandshake,
            _ => return Err(InvalidHealthCheck::SchemeOfLayer4(options.scheme.to_owned())),
        };
        let (interval, port) = (options.interval(default_interval), options.port()?);
        if server == Scheme::Udp && port.is_none() {
            return Err(InvalidHealthCheck::UdpWithoutPort);
        }
        let (path, hostname) = (String::new(), options.hostname.to_owned());
        Ok(HealthCheck { interval, method, path, scheme: None, port, hostname, headers: Vec::new() })
    }

    /// Where the check of this server connects to, if its method is not a request.
    pub fn connect_target(&self, server: &ServerUrl) -> ConnectTarget {
        let tls_name = if self.hostname.is_empty() { server.host.clone() } else { self.hostname.clone() };
        ConnectTarget { host: server.host.clone(), port: self.port.unwrap_or(server.port), tls_name }
    }

    /// The probe of this server.
    pub fn probe(&self, server: &ServerUrl) -> Result<Probe, InvalidHealthCheck> {
        let scheme = self.scheme.unwrap_or(server.scheme).as_str();
        let host = if server.host.contains(':') { format!("[{}]", server.host) } else { server.host.clone() };
        let authority = match self.port {
            Some(port) => format!("{host}:{port}"),
            None => server.authority.clone(),
        };
        let path = match self.path.starts_with('/') {
            true => self.path.clone(),
            // The path is relative to the folder of the server's own path, as a link would be.
            false => format!("{}/{}", server.path.rsplit_once('/').map_or("", |(folder, _)| folder), self.path),
        };
        let url = ServerUrl::parse(&format!("{scheme}://{authority}{path}")).map_err(InvalidHealthCheck::Url)?;
        let host = if self.hostname.is_empty() { url.authority.clone() } else { self.hostname.clone() };
        Ok(Probe { url, host, headers: self.headers.clone() })
    }
}

/// Whether a configured interval is used. If not, the global interval is used instead, and the caller logs an error.
pub fn interval_is_usable(nanos: Option<i64>) -> bool {
    nanos.is_some_and(|nanos| nanos > 0)
}

/// Whether a probe's status means that the server is up.
pub fn status_is_healthy(status: u16) -> bool {
    (200..400).contains(&status)
}

impl fmt::Display for InvalidHealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidHealthCheck::Path(path) => {
                write!(f, "the health check's path {path:?} is not a URL path: begin it with /")
            }
            InvalidHealthCheck::Scheme(text) => {
                write!(f, "the health check's scheme {text:?} cannot be used: write http, https or h2c")
            }
            InvalidHealthCheck::Port(port) => write!(f, "the health check's port {port} is not between 1 and 65535"),
            InvalidHealthCheck::PathOfLayer4(path) => {
                write!(f, "the health check has the path {path:?}, and its servers take no requests: remove the path")
            }
            InvalidHealthCheck::SchemeOfLayer4(text) => {
                write!(
                    f,
                    "the health check's scheme {text:?} cannot be used for tcp:// and udp:// servers: write tcp or tls"
                )
            }
            InvalidHealthCheck::UdpWithoutPort => f.write_str(
                "a UDP server cannot be asked whether it is up: set port to one on which it takes TCP connections",
            ),
            InvalidHealthCheck::Url(cause) => write!(f, "the health check's URL cannot be built: {cause}"),
        }
    }
}

impl std::error::Error for InvalidHealthCheck {}

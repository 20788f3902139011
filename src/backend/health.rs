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
    path: String,
    scheme: Option<Scheme>,
    port: Option<u16>,
    hostname: String,
    headers: Vec<(String, String)>,
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
        let bad_path = || InvalidHealthCheck::Path(options.path.to_owned());
        // A colon in the first segment of a path without a leading slash would end a scheme.
        let first_segment = options.path.split(['/', '?']).next().unwrap_or_default();
        if first_segment.contains(':') || options.path.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(bad_path());
        }
        let scheme = match options.scheme {
            "" => None,
            text => match Scheme::parse(text) {
                Some(scheme) => Some(scheme),
                None => return Err(InvalidHealthCheck::Scheme(text.to_owned())),
            },
        };
        let port = match options.port {
            0 => None,
            port => Some(u16::try_from(port).map_err(|_| InvalidHealthCheck::Port(port))?),
        };
        let nanos = options.interval_nanos.filter(|&nanos| nanos > 0).and_then(|nanos| u64::try_from(nanos).ok());
        let interval = nanos.map_or(default_interval, Duration::from_nanos).max(INTERVAL_MIN);
        let (path, hostname) = (options.path.to_owned(), options.hostname.to_owned());
        Ok(Some(HealthCheck { interval, path, scheme, port, hostname, headers }))
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
            InvalidHealthCheck::Url(cause) => write!(f, "the health check's URL cannot be built: {cause}"),
        }
    }
}

impl std::error::Error for InvalidHealthCheck {}

//! Connections to a store: the list of endpoints, each tried in turn, with or without TLS.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::dynamic::ClientTls;
use crate::control::client_tls::client_config;

const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that has vanished without a word is noticed after these.
const KEEPALIVE: Duration = Duration::from_secs(5);
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);

/// A connected byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The endpoints of a store.
#[derive(Clone)]
pub struct Endpoints {
    /// `host:port`, one at least.
    addresses: Arc<[String]>,
    tls: Option<TlsConnector>,
    /// The endpoint that is tried first.
    first: Arc<AtomicUsize>,
}

impl Endpoints {
    /// Reads a comma-separated list of `host:port`, each perhaps with `http://` or `https://` before it. `ca_option` names the table:
    /// `etcd.tls.ca`.
    ///
    /// # Errors
    /// An endpoint without a port, or TLS settings that cannot be used.
    pub fn new(
        ca_option: &'static str,
        list: &str,
        tls: Option<&ClientTls>,
        alpn: &[&str],
    ) -> Result<Endpoints, String> {
        let provider = ca_option.split('.').next().unwrap_or_default();
        let mut addresses = Vec::new();
        let mut is_https = false;
        for endpoint in list.split(',').map(str::trim).filter(|endpoint| !endpoint.is_empty()) {
            let (scheme, address) = endpoint.split_once("://").unwrap_or(("", endpoint));
            is_https |= scheme == "https" || scheme == "rediss";
            let address = address.trim_end_matches('/');
            let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            if port.is_none() {
                return Err(format!(
                    "{provider}.endpoint: {endpoint:?} has no port: write host:port, separated by commas"
                ));
            }
            addresses.push(address.to_owned());
        }
        if addresses.is_empty() {
            return Err(format!("{provider}.endpoint is empty: write host:port"));
        }
        let default = ClientTls::default();
        let tls = match tls.or(is_https.then_some(&default)) {
            Some(tls) => Some(client_config(tls, ca_option, alpn)?),
            None => None,
        };
        Ok(Endpoints {
            addresses: addresses.into(),
            tls: tls.map(|config| TlsConnector::from(Arc::new(config))),
            first: Arc::default(),
        })
    }

    /// All endpoints, as the user wrote them, without their schemes.
    pub fn list(&self) -> String {
        self.addresses.join(",")
    }

    /// The endpoint that the next connection is tried to first.
    pub fn address(&self) -> &str {
        let first = self.first.load(Ordering::Relaxed) % self.addresses.len().max(1);
        self.addresses.get(first).map_or("", String::as_str)
    }

    /// Whether connections use TLS.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects to the first endpoint that answers. The error names the last one that did not.
    pub async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for _ in 0..self.addresses.len() {
            let address = self.address();
            match timeout(DIAL_TIMEOUT, self.dial_one(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
                Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{address}: no connection in 5 s")),
            }
            self.first.fetch_add(1, Ordering::Relaxed);
        }
        Err(last)
    }

    async fn dial_one(&self, address: &str) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(2))?;
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_list_with_optional_schemes() {
        let endpoints = |list: &str| Endpoints::new("etcd.tls.ca", list, None, &[]);
        let read = endpoints("a:1, http://b:2/ ,[::1]:3").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((read.list().as_str(), read.has_tls()), ("a:1,b:2,[::1]:3", false));
        assert!(endpoints("").is_err() && endpoints("a:1,b").is_err());
    }

    #[tokio::test]
    async fn endpoint_that_does_not_answer_is_passed_over_from_then_on() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        // Port 1 of the loopback has no listener.
        let list = format!("127.0.0.1:1,127.0.0.1:{port}");
        let endpoints = Endpoints::new("etcd.tls.ca", &list, None, &[]).unwrap_or_else(|error| panic!("{error}"));
        endpoints.dial().await.expect("the second endpoint answers");
        assert_eq!(endpoints.address(), format!("127.0.0.1:{port}"));
        drop(listener);
        let error = endpoints.dial().await.err().expect("no listener any more");
        assert!(error.to_string().contains("127.0.0.1:"), "{error}");
    }
}

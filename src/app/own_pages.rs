//! Requests to the running proxy's own pages, from commands on the same machine: `/ping`, the API.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use crate::config::static_config::{EntryPoint, StaticConfig};
use crate::limits::OWN_PAGE_BYTES_MAX;
use crate::tls::session::{Plaintext, Session};
use crate::tls::settings::{ClientSettings, client_config};

const TIMEOUT: Duration = Duration::from_secs(5);

/// The entry point that serves the pages.
pub struct OwnPages {
    address: SocketAddr,
    /// As URLs and the Host field write it.
    host: String,
    port: u16,
    has_tls: bool,
    /// The path below which the pages are, with a slash at both ends.
    base: String,
}

/// The response to a request for a page.
pub struct Answer {
    /// Code and phrase: `200 OK`.
    pub status: String,
    pub body: Vec<u8>,
}

impl OwnPages {
    /// The pages on an entry point of this configuration.
    ///
    /// # Errors
    /// The address cannot be read, or its host has no address.
    pub fn of(entry: &EntryPoint, config: &StaticConfig) -> Result<OwnPages, String> {
        let listen = entry.listen().map_err(|e| e.to_string())?;
        let host = if listen.host.is_empty() { "127.0.0.1" } else { &listen.host };
        let base = config.web.as_ref().map_or("/", |web| if web.path.is_empty() { "/" } else { &web.path });
        let mut addresses = (host, listen.port).to_socket_addrs().map_err(|e| e.to_string())?;
        Ok(OwnPages {
            address: addresses.next().ok_or("no address")?,
            host: in_brackets(host),
            port: listen.port,
            has_tls: entry.tls.is_some(),
            base: base.to_owned(),
        })
    }

    /// The URL of a page.
    pub fn url(&self, page: &str) -> String {
        let scheme = if self.has_tls { "https" } else { "http" };
        format!("{scheme}://{}:{}{}{page}", self.host, self.port, self.base)
    }

    /// Requests a page; returns also its URL.
    ///
    /// # Errors
    /// No connection, or no whole response.
    pub fn request(&self, method: &str, page: &str, fields: &[String]) -> Result<(String, Answer), String> {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let (base, host) = (&self.base, &self.host);
        let request = format!("{method} {base}{page} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n");
        let received = if self.has_tls { over_tls(self.address, &request)? } else { plain(self.address, &request)? };
        Ok((self.url(page), answer(&received)?))
    }
}

fn answer(received: &[u8]) -> Result<Answer, String> {
    let end = memchr::memmem::find(received, b"\r\n\r\n").ok_or("the response is not HTTP")?;
    let head = String::from_utf8_lossy(&received[..end]);
    let status = head.split("\r\n").next().and_then(|line| line.split_once(' ')).map(|(_, status)| status.to_owned());
    Ok(Answer { status: status.ok_or("the response is not HTTP")?, body: received[end + 4..].to_vec() })
}

/// The host as URLs and the Host field write it: an IPv6 address in brackets (RFC 3986 3.2.2).
fn in_brackets(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn open(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(|e| e.to_string())?;
    stream
        .set_read_timeout(Some(TIMEOUT))
        .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)))
        .map_err(|e| e.to_string())?;
    Ok(stream)
}

fn plain(address: SocketAddr, request: &str) -> Result<Vec<u8>, String> {
    let mut stream = open(address)?;
    stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut received = Vec::new();
    stream.take(OWN_PAGE_BYTES_MAX as u64).read_to_end(&mut received).map_err(|e| e.to_string())?;
    Ok(received)
}

/// Sends the request over TLS. As in Traefik the certificate is not verified: the pages are on this machine.
fn over_tls(address: SocketAddr, request: &str) -> Result<Vec<u8>, String> {
    let settings = ClientSettings { insecure_skip_verify: true, ..ClientSettings::default() };
    let config = client_config(&settings, &[]).map_err(|e| e.to_string())?;
    let mut session =
        Session::client(Arc::new(config), ServerName::IpAddress(address.ip().into())).map_err(|e| e.to_string())?;
    session.write_plain(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut stream = open(address)?;
    let (mut out, mut received, mut buffer) = (Vec::new(), Vec::new(), [0; 4096]);
    while received.len() < OWN_PAGE_BYTES_MAX {
        session.take_output(&mut out);
        stream.write_all(&out).map_err(|e| e.to_string())?;
        out.clear();
        let read = stream.read(&mut buffer).map_err(|e| e.to_string())?;
        if read == 0 {
            break;
        }
        match session.receive_into(&buffer[..read], &mut received).map_err(|e| e.to_string())? {
            Plaintext::Closed => break,
            Plaintext::Data(_) | Plaintext::Pending => {}
        }
    }
    Ok(received)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_host_is_written_in_brackets() {
        for (host, shown) in [("::", "[::]"), ("::1", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("localhost", "localhost")]
        {
            assert_eq!(in_brackets(host), shown);
        }
    }
}

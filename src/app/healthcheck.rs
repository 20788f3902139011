//! `ringway healthcheck`: requests `/ping` from the running proxy (docs/reference/command-line.md#healthcheck). Meant for a HEALTHCHECK in
//! an image without a shell or curl.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use crate::config::static_config::StaticConfig;
use crate::tls::session::{Plaintext, Session};
use crate::tls::settings::{ClientSettings, client_config};

const TIMEOUT: Duration = Duration::from_secs(5);
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Sends `HEAD /ping` to the ping entry point. Exit code 0 for status 200, else 1; prints the reason.
pub fn run(config: &StaticConfig) -> ExitCode {
    match probe(config) {
        Ok((url, status)) if status.starts_with("200") => {
            println!("OK: {url}");
            ExitCode::SUCCESS
        }
        Ok((_, status)) => {
            println!("Bad healthcheck status: {status}");
            ExitCode::FAILURE
        }
        Err(e) => {
            println!("Error calling healthcheck: {e}");
            ExitCode::FAILURE
        }
    }
}

fn probe(config: &StaticConfig) -> Result<(String, String), String> {
    let ping = config.ping.as_ref().ok_or("please enable `ping` to use health check")?;
    let entry = config
        .entry_points
        .get(&ping.entry_point)
        .ok_or_else(|| format!("ping.entryPoint {:?} does not exist", ping.entry_point))?;
    let listen = entry.listen().map_err(|e| e.to_string())?;
    let host = if listen.host.is_empty() { "127.0.0.1" } else { &listen.host };
    let base = config.web.as_ref().map_or("/", |web| if web.path.is_empty() { "/" } else { &web.path });
    let scheme = if entry.tls.is_some() { "https" } else { "http" };
    let url_host = in_brackets(host);
    let url = format!("{scheme}://{url_host}:{}{base}ping", listen.port);
    let request = format!("HEAD {base}ping HTTP/1.1\r\nHost: {url_host}\r\nConnection: close\r\n\r\n");
    let address = (host, listen.port).to_socket_addrs().map_err(|e| e.to_string())?.next().ok_or("no address")?;
    let head = if entry.tls.is_some() { over_tls(address, &request)? } else { plain(address, &request)? };
    let status = head.split("\r\n").next().and_then(|line| line.split_once(' ')).map(|(_, status)| status.to_owned());
    Ok((url, status.ok_or("the response is not HTTP")?))
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

fn plain(address: SocketAddr, request: &str) -> Result<String, String> {
    let mut stream = open(address)?;
    stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut head = Vec::new();
    stream.take(HEAD_BYTES_MAX as u64).read_to_end(&mut head).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Sends the request over TLS. As in Traefik the certificate is not verified: only whether the process responds matters.
fn over_tls(address: SocketAddr, request: &str) -> Result<String, String> {
    let settings = ClientSettings { insecure_skip_verify: true, ..ClientSettings::default() };
    let config = client_config(&settings, &[]).map_err(|e| e.to_string())?;
    let mut session =
        Session::client(Arc::new(config), ServerName::IpAddress(address.ip().into())).map_err(|e| e.to_string())?;
    session.write_plain(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut stream = open(address)?;
    let (mut out, mut head, mut buffer) = (Vec::new(), Vec::new(), [0; 4096]);
    while head.len() < HEAD_BYTES_MAX {
        session.take_output(&mut out);
        stream.write_all(&out).map_err(|e| e.to_string())?;
        out.clear();
        let read = stream.read(&mut buffer).map_err(|e| e.to_string())?;
        if read == 0 {
            break;
        }
        match session.receive_into(&buffer[..read], &mut head).map_err(|e| e.to_string())? {
            Plaintext::Closed => break,
            Plaintext::Data(_) | Plaintext::Pending => {}
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
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

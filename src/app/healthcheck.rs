//! `ringway healthcheck`: asks the running proxy's ping (docs/reference/command-line.md#healthcheck). For a HEALTHCHECK in an image without a shell or curl.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use crate::config::static_config::StaticConfig;
use crate::tls::session::{Plaintext, Session};
use crate::tls::settings::{ClientSettings, client_config};

const LIMIT: Duration = Duration::from_secs(5);
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Sends `HEAD /ping` to the ping entry point; 0 for 200, else 1 and the reason.
pub fn run(fixed: &StaticConfig) -> ExitCode {
    match ask(fixed) {
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

fn ask(fixed: &StaticConfig) -> Result<(String, String), String> {
    let ping = fixed.ping.as_ref().ok_or("please enable `ping` to use health check")?;
    let entry = fixed
        .entry_points
        .get(&ping.entry_point)
        .ok_or_else(|| format!("ping.entryPoint {:?} does not exist", ping.entry_point))?;
    let listen = entry.listen().map_err(|e| e.to_string())?;
    let host = if listen.host.is_empty() { "127.0.0.1" } else { &listen.host };
    let base = fixed.web.as_ref().map_or("/", |web| if web.path.is_empty() { "/" } else { &web.path });
    let scheme = if entry.tls.is_some() { "https" } else { "http" };
    let shown = in_brackets(host);
    let url = format!("{scheme}://{shown}:{}{base}ping", listen.port);
    let request = format!("HEAD {base}ping HTTP/1.1\r\nHost: {shown}\r\nConnection: close\r\n\r\n");
    let address = (host, listen.port).to_socket_addrs().map_err(|e| e.to_string())?.next().ok_or("no address")?;
    let head = if entry.tls.is_some() { over_tls(address, &request)? } else { plain(address, &request)? };
    let status = head.split("\r\n").next().and_then(|line| line.split_once(' ')).map(|(_, status)| status.to_owned());
    Ok((url, status.ok_or("the answer is not HTTP")?))
}

/// As URLs and the Host field have it: an IPv6 address stands in brackets (RFC 3986 3.2.2).
fn in_brackets(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn open(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect_timeout(&address, LIMIT).map_err(|e| e.to_string())?;
    stream
        .set_read_timeout(Some(LIMIT))
        .and_then(|()| stream.set_write_timeout(Some(LIMIT)))
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

/// The certificate is not verified, as in Traefik: the question is whether the process lives.
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
    fn an_ipv6_address_is_asked_for_in_brackets() {
        for (host, shown) in [("::", "[::]"), ("::1", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("localhost", "localhost")]
        {
            assert_eq!(in_brackets(host), shown);
        }
    }
}

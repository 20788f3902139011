//! Sends a probe and judges the response. A response of HTTP/1.1 is judged with the parsers of the request path: a server whose responses traffic would refuse is not healthy
//! (docs/reference/backends.md#health-checks).

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue, LOCATION};
use hyper_util::client::legacy::connect::Connection;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tower_service::Service;

use super::connector::{Connector, Connectors};
use super::http2;
use super::probe_failure::{BODY_BYTES_MAX, BODY_TIME_MAX, ProbeFailure};
use crate::backend;
use crate::backend::health::Probe;
use crate::http::h1::body::Decoder;
use crate::http::h1::response_head::{ResponseProgress, parse_server_response};
use crate::http::{ResponseHead, ResponseView};
use crate::limits;

/// The maximum number of redirects that one probe follows, as in Go's HTTP client.
const REDIRECTS_MAX: usize = 10;

/// Sends a probe, follows redirects and returns the status of the final response.
///
/// # Errors
/// Why there is no response that the request path would forward.
pub async fn send_probe(connectors: &Connectors, probe: &Probe) -> Result<u16, ProbeFailure> {
    let first = &probe.url;
    let mut uri: Uri = format!("{}://{}{}", first.scheme.as_str(), first.authority, first.target())
        .parse()
        .map_err(|e| format!("{}: {e}", first.text))?;
    let first_host = uri.host().map(str::to_owned);
    let probe_host = probe.host.rsplit_once(':').map_or(&*probe.host, |(host, _)| host);
    for hop in 0..=REDIRECTS_MAX {
        let host = if hop == 0 { probe.host.as_str() } else { uri.authority().map_or("", |a| a.as_str()) };
        // The configured headers may hold a password: they are not sent to another host.
        let is_own = uri.host() == first_host.as_deref() || uri.host() == Some(probe_host);
        let headers = if is_own { &probe.headers[..] } else { &[] };
        let connector = if is_own { &connectors.servers } else { &connectors.others };
        match exchange(connector, &uri, host, headers).await? {
            Outcome::Status(status) => return Ok(status),
            Outcome::Redirect(location) => uri = redirect_target(&uri, &location)?,
        }
    }
    Err(format!("more than {REDIRECTS_MAX} redirects").into())
}

fn request(uri: &Uri, host: &str, headers: &[(String, String)]) -> Result<String, String> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    HeaderValue::try_from(host).map_err(|_| format!("{host:?} is no host name"))?;
    let mut text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in headers {
        HeaderName::try_from(name.as_str()).map_err(|_| format!("{name:?} is no header name"))?;
        HeaderValue::try_from(value.as_str()).map_err(|_| format!("the header {name} has a bad value"))?;
        if !name.eq_ignore_ascii_case("host") {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str("Connection: close\r\n\r\n");
    Ok(text)
}

enum Outcome {
    Status(u16),
    Redirect(String),
}

/// Sends one request over the version of HTTP that requests of clients would use.
async fn exchange(
    connector: &Connector,
    uri: &Uri,
    host: &str,
    headers: &[(String, String)],
) -> Result<Outcome, ProbeFailure> {
    let is_h2c = uri.scheme_str().is_some_and(|scheme| backend::Scheme::parse(scheme) == Some(backend::Scheme::H2c));
    // A connection of its own: a pooled one would only prove that the server was alive some time ago.
    let place = if is_h2c { without_tls(uri)? } else { uri.clone() };
    let stream = connector.clone().call(place).await.map_err(|e| ProbeFailure::of(&*e))?;
    if !is_h2c && !stream.connected().is_negotiated_h2() {
        return exchange_http1(TokioIo::new(stream), &request(uri, host, headers)?).await;
    }
    let response = http2::exchange(stream, http2::request(uri, host, headers)?).await?;
    let location = response.headers().get(LOCATION).filter(|_| is_redirect(response.status().as_u16()));
    Ok(match location {
        Some(location) => Outcome::Redirect(String::from_utf8_lossy(location.as_bytes()).into_owned()),
        None => Outcome::Status(response.status().as_u16()),
    })
}

/// The URL with the scheme that the connector knows for connections without TLS.
fn without_tls(uri: &Uri) -> Result<Uri, String> {
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(hyper::http::uri::Scheme::HTTP);
    Uri::from_parts(parts).map_err(|e| format!("{uri}: {e}"))
}

fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

async fn exchange_http1(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> Result<Outcome, ProbeFailure> {
    stream.write_all(request.as_bytes()).await.map_err(|e| ProbeFailure::of(&e))?;
    stream.flush().await.map_err(|e| ProbeFailure::of(&e))?;
    let mut received = Received::default();
    let head = received.read_head(&mut stream).await?;
    let view = ResponseView { head: &head, bytes: &received.head, edits: &Default::default() };
    if let Some(location) = view.first(b"location").filter(|_| is_redirect(head.status)) {
        return Ok(Outcome::Redirect(String::from_utf8_lossy(location).into_owned()));
    }
    let checking = received.check_body(&mut stream, Decoder::of_response(head.body));
    tokio::time::timeout(BODY_TIME_MAX, checking).await.unwrap_or(Ok(()))?;
    Ok(Outcome::Status(head.status))
}

/// The bytes of a response.
#[derive(Default)]
struct Received {
    /// The head that has been read.
    head: Vec<u8>,
    /// The bytes behind it.
    rest: Vec<u8>,
}

impl Received {
    /// Reads the head of the final response.
    async fn read_head(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Result<ResponseHead, ProbeFailure> {
        let mut head = ResponseHead::default();
        let mut interim = 0;
        loop {
            let parsed = parse_server_response(&self.rest, false, &mut head);
            let received_len = match parsed.map_err(|e| format!("malformed response: {e}"))? {
                ResponseProgress::Complete => {
                    self.head = self.rest[..head.len].to_vec();
                    head.len
                }
                ResponseProgress::Normalised { bytes, received_len, .. } => {
                    self.head = bytes;
                    received_len
                }
                ResponseProgress::Partial => {
                    self.read(stream).await?;
                    continue;
                }
            };
            self.rest.drain(..received_len);
            match head.status {
                101 => return Err("malformed response: 101 to a request that asked for no upgrade".to_owned().into()),
                200.. => return Ok(head),
                _ if interim == limits::INFORMATIONAL_MAX => {
                    return Err("malformed response: too many informational responses".to_owned().into());
                }
                _ => interim += 1,
            }
        }
    }

    /// Decodes the first [`BODY_BYTES_MAX`] bytes of the body.
    async fn check_body(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        mut decoder: Decoder,
    ) -> Result<(), ProbeFailure> {
        let mut decoded = 0;
        loop {
            while !self.rest.is_empty() && !decoder.is_done() {
                let step = decoder.decode(&self.rest).map_err(|e| format!("malformed response: {e}"))?;
                decoded += step.consumed;
                self.rest.drain(..step.consumed);
            }
            if decoder.is_done() || decoded >= BODY_BYTES_MAX {
                return Ok(());
            }
            if self.read_some(stream).await? == 0 {
                return decoder.finish().map_err(|e| format!("incomplete response: {e}").into());
            }
        }
    }

    async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Result<(), ProbeFailure> {
        match self.read_some(stream).await? {
            0 => Err("the server closed the connection before its response".to_owned().into()),
            _ => Ok(()),
        }
    }

    async fn read_some(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Result<usize, ProbeFailure> {
        self.rest.reserve(8 * 1024);
        stream.read_buf(&mut self.rest).await.map_err(|e| ProbeFailure::of(&e))
    }
}

/// Whether `location` begins with a scheme. A `://` in a query, such as the return address of a login page, does not count (RFC 3986 4.2).
fn is_absolute(location: &str) -> bool {
    let is_scheme =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    location.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme))
}

/// The URL that a redirect leads to.
fn redirect_target(from: &Uri, location: &str) -> Result<Uri, String> {
    let target = || {
        if is_absolute(location) {
            return location.parse().ok();
        }
        let (scheme, authority) = (from.scheme_str()?, from.authority()?);
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        let url = match location {
            _ if location.starts_with("//") => format!("{scheme}:{location}"),
            _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
            _ => format!("{scheme}://{authority}{folder}/{location}"),
        };
        url.parse().ok()
    };
    target().ok_or_else(|| format!("the server redirects to {location:?}, which is no URL"))
}

//! The HTTP client for the authority. It bounds time and size of each exchange, and notes the header fields that the ACME library drops:
//! Retry-After of refusals, and the links to alternate chains.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Limited};
use hyper::body::Bytes;
use hyper::header::{HeaderMap, LINK, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use crate::tls::settings::{ClientSettings, client_config};

use super::trust::{AcmeRoots, explain, read_root_files, system_roots};

/// The time for one request and its response.
const EXCHANGE_SECS: u64 = 45;
/// Bytes of one response. The longest are chains and orders of a hundred names, a few KiB each.
const RESPONSE_BYTES_MAX: usize = 1 << 20;

tokio::task_local! {
    static NOTES: RefCell<ResponseNotes>;
}

/// The header fields of the responses of an attempt that count later.
#[derive(Debug, Clone, Default)]
pub struct ResponseNotes {
    /// Retry-After of the last response that was a refusal.
    pub refused_until: Option<SystemTime>,
    /// Retry-After of the last response that was none: when to ask again.
    pub ask_again_at: Option<SystemTime>,
    /// The links to alternate chains of the last certificate (RFC 8555 7.4.2).
    pub alternates: Vec<String>,
    /// The text of the last certificate chain.
    pub chain: Option<String>,
}

/// Runs a future and keeps notes of the responses that the future receives, for [`notes`].
pub async fn with_notes<F: Future>(future: F) -> F::Output {
    NOTES.scope(RefCell::default(), future).await
}

/// The notes so far; empty outside [`with_notes`].
pub fn notes() -> ResponseNotes {
    NOTES.try_with(|notes| notes.borrow().clone()).unwrap_or_default()
}

/// A client for one authority; clones share its connections.
#[derive(Clone)]
pub struct AuthorityClient {
    inner: Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
}

impl AuthorityClient {
    /// A client that verifies the authority's server with `trust`.
    ///
    /// # Errors
    /// A sentence for the log: there are no root certificates, or they cannot be read.
    pub fn new(trust: &AcmeRoots) -> Result<AuthorityClient, String> {
        let (settings, roots) = match trust {
            AcmeRoots::System => {
                let authorities_option = "the system's authorities or LEGO_CA_CERTIFICATES";
                (ClientSettings { authorities_option, ..Default::default() }, system_roots().0)
            }
            AcmeRoots::Files(paths) => {
                let (root_cas, authorities_option) = (read_root_files(paths)?, "LEGO_CA_CERTIFICATES");
                (ClientSettings { root_cas, authorities_option, ..Default::default() }, Vec::new())
            }
        };
        if settings.root_cas.is_empty() && roots.is_empty() {
            return Err("there are no root certificates to check the certificate authority's server with: install \
                ca-certificates, or name a PEM file in SSL_CERT_FILE or LEGO_CA_CERTIFICATES"
                .into());
        }
        let tls = client_config(&settings, &roots).map_err(|e| e.to_string())?;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(Duration::from_secs(EXCHANGE_SECS / 3)));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Ok(AuthorityClient { inner: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// Sends a GET request without a signature. Returns status, header and body.
    ///
    /// # Errors
    /// A sentence for the log.
    pub async fn get(&self, url: &str) -> Result<Response<Bytes>, String> {
        let request = Request::get(url).header("User-Agent", "ringway").body(BodyWrapper::default());
        let request = request.map_err(|e| format!("{url}: {e}"))?;
        self.exchange(request).await.map_err(|e| format!("{url}: {}", explain(&e)))
    }

    async fn exchange(&self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Bytes>, Error> {
        let exchange = async {
            let response = self.inner.request(request).await.map_err(|e| Error::Other(Box::new(e)))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, RESPONSE_BYTES_MAX).collect().await.map_err(Error::Other)?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        match tokio::time::timeout(Duration::from_secs(EXCHANGE_SECS), exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Other(format!("no response within {EXCHANGE_SECS} s").into())),
        }
    }
}

impl HttpClient for AuthorityClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (client, url) = (self.clone(), request.uri().to_string());
        Box::pin(async move {
            let (parts, body) = client.exchange(request).await?.into_parts();
            let _ = NOTES.try_with(|notes| notes.borrow_mut().note(parts.status, &parts.headers, &body));
            let is_refusal = parts.status.is_client_error() || parts.status.is_server_error();
            if is_refusal && !is_problem(&body) {
                return Err(Error::Other(Box::new(PlainRefusal { status: parts.status, url })));
            }
            Ok(BytesResponse { parts, body: Box::new(body) })
        })
    }
}

impl ResponseNotes {
    fn note(&mut self, status: StatusCode, headers: &HeaderMap, body: &Bytes) {
        let asked = retry_after(headers, SystemTime::now());
        match status.is_client_error() || status.is_server_error() {
            true => self.refused_until = asked,
            false => self.ask_again_at = asked,
        }
        if body.starts_with(b"-----BEGIN CERTIFICATE-----") {
            self.alternates =
                headers.get_all(LINK).iter().filter_map(|value| alternate(value.to_str().ok()?)).collect();
            self.chain = String::from_utf8(body.to_vec()).ok();
        }
    }
}

/// A refusal without a problem document.
#[derive(Debug)]
struct PlainRefusal {
    status: StatusCode,
    url: String,
}

impl fmt::Display for PlainRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the authority answered {} to {}", self.status, self.url)
    }
}

impl std::error::Error for PlainRefusal {}

/// Whether an error is a refusal (4xx) without a problem document.
pub fn is_refusal(error: &Error) -> bool {
    let Error::Other(inner) = error else { return false };
    inner.downcast_ref::<PlainRefusal>().is_some_and(|refusal| refusal.status.is_client_error())
}

/// Whether a refusal has a problem document with a type: a proxy in front of the authority may answer otherwise.
fn is_problem(body: &[u8]) -> bool {
    let value: Result<serde_json::Value, _> = serde_json::from_slice(body);
    value.is_ok_and(|value| value.get("type").is_some() || value.get("detail").is_some())
}

/// The time that a Retry-After field names, in seconds or as a date (RFC 9110 10.2.3).
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<SystemTime> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse::<u32>() {
        Ok(secs) => now.checked_add(Duration::from_secs(secs.into())),
        Err(_) => httpdate::parse_http_date(text).ok(),
    }
}

/// The address of a link with the relation `alternate` (RFC 8288 3).
fn alternate(field: &str) -> Option<String> {
    let (url, parameters) = field.trim().strip_prefix('<')?.split_once('>')?;
    let is_alternate = parameters.split(';').any(|parameter| {
        let parameter = parameter.trim().replace(['"', ' '], "");
        parameter.eq_ignore_ascii_case("rel=alternate")
    });
    is_alternate.then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a value"));
            retry_after(&headers, now)
                .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok())
                .map(|at| at.as_secs())
        };
        assert_eq!(of("120"), Some(1_120));
        assert_eq!(of("Thu, 01 Jan 1970 01:00:00 GMT"), Some(3_600));
        assert_eq!(of("soon"), None);
        assert_eq!(of("99999999999999999999"), None);
    }

    #[test]
    fn only_alternate_links_are_followed() {
        assert_eq!(alternate("<https://ca.test/c/1>;rel=\"alternate\"").as_deref(), Some("https://ca.test/c/1"));
        assert_eq!(alternate("<https://ca.test/c/1>; title=x; rel=alternate").as_deref(), Some("https://ca.test/c/1"));
        assert_eq!(alternate("<https://ca.test/dir>;rel=\"index\""), None);
        assert_eq!(alternate("https://ca.test"), None);
    }

    #[tokio::test]
    async fn notes_belong_to_one_attempt() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "60".parse().expect("a value"));
        headers.append(LINK, "<https://ca.test/2>;rel=\"alternate\"".parse().expect("a value"));
        let body = Bytes::from_static(b"-----BEGIN CERTIFICATE-----");
        let first = with_notes(async {
            let _ = NOTES.try_with(|notes| {
                notes.borrow_mut().note(StatusCode::TOO_MANY_REQUESTS, &headers, &Bytes::new());
                notes.borrow_mut().note(StatusCode::OK, &headers, &body);
            });
            notes()
        });
        let first = first.await;
        assert!(first.refused_until.is_some() && first.ask_again_at.is_some());
        assert_eq!(first.alternates, ["https://ca.test/2"]);
        let second = with_notes(async { notes() }).await;
        assert!(second.refused_until.is_none() && second.chain.is_none());
    }
}

//! A request to the collector, and why it failed.

use std::error::Error;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;

pub type Connector = HttpsConnector<HttpConnector>;

/// Why spans were not taken.
#[derive(Debug)]
pub struct SendError {
    pub reason: String,
    /// The same spans may be taken later.
    pub is_transient: bool,
}

/// The request that carries a body to the collector.
///
/// # Errors
/// The request cannot be made.
pub fn request(
    url: &Uri,
    headers: &HeaderMap,
    content_type: &str,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, SendError> {
    let request = Request::builder().method(Method::POST).uri(url).header(CONTENT_TYPE, content_type);
    let request = request.header(USER_AGENT, concat!("ringway/", env!("CARGO_PKG_VERSION"))).body(Full::new(body));
    let mut request = request.map_err(|error| SendError { reason: error.to_string(), is_transient: false })?;
    request.headers_mut().extend(headers.clone());
    Ok(request)
}

impl SendError {
    pub fn transient(reason: String) -> SendError {
        SendError { reason, is_transient: true }
    }
}

/// An error with its causes.
pub fn chain_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

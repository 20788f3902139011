//! The HTTP client for the APIs of DNS services and of InfluxDB. Its errors say what was asked and what the service answered, and never a
//! secret.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::control::acme::trust::{explain, system_roots};
use crate::tls::settings::{ClientSettings, client_config};

use super::error::DnsError;

const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// The longest text of a service that goes into the log.
const REASON_CHARS_MAX: usize = 300;
/// Requests that the service puts off, because too many come, are sent again: so many times, after these pauses at least and at most.
const TRIES_MAX: u32 = 5;
const RETRY_PAUSE_MIN: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Shorter texts are no secrets, and would be found everywhere.
const SECRET_BYTES_MIN: usize = 4;
const USER_AGENT: &str = concat!("ringway/", env!("CARGO_PKG_VERSION"));

/// A client of a service's API.
pub struct Api {
    /// The provider's name, which messages begin with.
    pub provider: &'static str,
    /// The URL that all paths follow, without a slash at the end.
    pub base: String,
    timeout: Duration,
    /// Texts that are replaced in messages.
    secrets: Vec<String>,
    client: Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, String>,
}

/// A request to the service.
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path below the base URL, and the query.
    pub path: String,
    /// The header fields. `Content-Type` is added for a body.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty means none.
    pub body: String,
    /// The body's type.
    pub content_type: &'static str,
}

impl Call {
    /// A request without a body.
    pub fn new(method: Method, path: String) -> Call {
        Call { method, path, headers: Vec::new(), body: String::new(), content_type: "application/json" }
    }

    /// A request with a JSON body.
    pub fn json(method: Method, path: String, body: &Value) -> Call {
        Call { body: body.to_string(), ..Call::new(method, path) }
    }

    /// Adds a header field.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Call {
        self.headers.push((name, value.into()));
        self
    }

    /// The method and the path without the query, which may hold a secret.
    pub fn label(&self) -> String {
        format!("{} {}", self.method, self.path.split('?').next().unwrap_or_default())
    }
}

/// The service's response.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body as text.
    pub body: String,
    retry_after: Option<Duration>,
}

impl Reply {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// Whether the service asks to come back later. Route 53 says so with the status 400.
    fn is_put_off(&self) -> bool {
        matches!(self.status, 429 | 503) || (self.status == 400 && self.body.contains("<Code>Throttling"))
    }
}

impl Api {
    /// A client for the API below `base`, which verifies the service's certificate with the system's authorities.
    pub fn new(provider: &'static str, base: &str, timeout: Duration, secrets: &[&str]) -> Api {
        let secrets = secrets
            .iter()
            .filter(|secret| secret.len() >= SECRET_BYTES_MIN)
            .map(|secret| (*secret).to_owned())
            .collect();
        Api { provider, base: base.trim_end_matches('/').to_owned(), timeout, secrets, client: client() }
    }

    /// Sends a request, again if the service puts it off. The status is not judged.
    ///
    /// # Errors
    /// The service cannot be reached or does not answer in time.
    pub async fn send(&self, call: &Call) -> Result<Reply, DnsError> {
        let mut pause = RETRY_PAUSE_MIN;
        for _ in 1..TRIES_MAX {
            let reply = self.send_once(call).await?;
            if !reply.is_put_off() {
                return Ok(reply);
            }
            tokio::time::sleep(reply.retry_after.unwrap_or(pause).clamp(pause, RETRY_PAUSE_MAX)).await;
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
        self.send_once(call).await
    }

    /// Sends a request that must succeed.
    ///
    /// # Errors
    /// As [`Api::send`], or the service refuses the request: its reason.
    pub async fn expect(&self, call: &Call) -> Result<Reply, DnsError> {
        let reply = self.send(call).await?;
        if reply.is_success() { Ok(reply) } else { Err(self.refusal(call, &reply)) }
    }

    /// The error for a response that refuses the request.
    pub fn refusal(&self, call: &Call, reply: &Reply) -> DnsError {
        let reason = reason_of(&reply.json()).unwrap_or_else(|| reply.body.clone());
        self.error(&format!("{} answers {}: {reason}", call.label(), reply.status))
    }

    /// An error of this provider, without secrets and control characters, and not longer than a line.
    pub fn error(&self, text: &str) -> DnsError {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "***");
        }
        let one_line: String =
            text.split_whitespace().collect::<Vec<&str>>().join(" ").chars().take(REASON_CHARS_MAX).collect();
        let one_line = one_line.replace(char::is_control, "?");
        DnsError(format!("{}: {one_line}", self.provider))
    }

    /// Sends a request once. The status is not judged.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub async fn send_once(&self, call: &Call) -> Result<Reply, DnsError> {
        let failed = |reason: &str| self.error(&format!("{} at {}: {reason}", call.label(), self.base));
        match tokio::time::timeout(self.timeout, self.exchange(call)).await {
            Ok(outcome) => outcome.map_err(|reason| failed(&reason)),
            Err(_) => Err(failed(&format!("no response within {} s", self.timeout.as_secs()))),
        }
    }

    async fn exchange(&self, call: &Call) -> Result<Reply, String> {
        let client = self.client.as_ref().map_err(Clone::clone)?;
        let mut request = Request::builder().method(&call.method).uri(format!("{}{}", self.base, call.path));
        request = request.header("User-Agent", USER_AGENT);
        if !call.body.is_empty() {
            request = request.header("Content-Type", call.content_type);
        }
        for (name, value) in &call.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| e.to_string())?;
            // A token with a line end, for example; its text must not be in the message.
            let mut value = HeaderValue::from_str(value).map_err(|_| {
                format!("the value of {name} has a line end or another character that a header cannot have")
            })?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(call.body.clone()))).map_err(|e| e.to_string())?;
        let response = client.request(request).await.map_err(|e| explain_at(&e))?;
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), RESPONSE_BYTES_MAX).collect().await.map_err(|e| e.to_string())?;
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok(Reply { status, body, retry_after: retry_after.map(Duration::from_secs) })
    }
}

/// The causes of a failure. The text for a certificate that is not accepted names the option of the authority, which is another server.
fn explain_at(error: &hyper_util::client::legacy::Error) -> String {
    match crate::tls::verifier::refusal::explain_cause(error) {
        Some(tls) => tls.to_string(),
        None => explain(error),
    }
}

fn client() -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, String> {
    let settings =
        ClientSettings { authorities_option: "the system's authorities or SSL_CERT_FILE", ..Default::default() };
    let tls = client_config(&settings, &system_roots().0).map_err(|e| e.to_string())?;
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// The reason in a JSON body, as the services write it: `message`, `error`, `error.message`, `errors[].message`.
fn reason_of(json: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let coded = |value: &Value| {
        let message = text(value.get("message")?)?;
        match value.get("code") {
            Some(Value::String(code)) => Some(format!("{code}: {message}")),
            Some(Value::Number(code)) => Some(format!("{code}: {message}")),
            _ => Some(message),
        }
    };
    if let Some(errors) = json.get("errors").and_then(Value::as_array) {
        let reasons: Vec<String> = errors.iter().filter_map(coded).collect();
        if !reasons.is_empty() {
            return Some(reasons.join("; "));
        }
    }
    match json.get("error") {
        Some(error @ Value::Object(_)) => coded(error),
        _ => coded(json).or_else(|| json.get("error").and_then(text)),
    }
}

/// Escapes a text for a query or a path's segment: all but unreserved characters (RFC 3986 2.3).
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_is_found_in_the_bodies_of_all_services() {
        for (body, reason) in [
            (r#"{"errors":[{"code":7003,"message":"no zone"},{"code":1,"message":"b"}]}"#, "7003: no zone; 1: b"),
            (r#"{"id":"unauthorized","message":"Unable to authenticate"}"#, "Unable to authenticate"),
            (r#"{"error":{"code":"invalid_input","message":"is too long"}}"#, "invalid_input: is too long"),
            (r#"{"error":"invalid_client"}"#, "invalid_client"),
            (r#"{"errorCode":"QUERY_TIME_OUT","message":"Query out of time"}"#, "Query out of time"),
        ] {
            assert_eq!(reason_of(&serde_json::from_str(body).unwrap()).as_deref(), Some(reason));
        }
        assert_eq!(reason_of(&Value::Null), None);
    }

    #[test]
    fn error_has_no_secret_and_is_one_line() {
        let api = Api::new("example", "https://api.example/", Duration::from_secs(1), &["s3cret", ""]);
        let reply = Reply { status: 403, body: "token s3cret\n\u{1b}[31m is bad".into(), retry_after: None };
        let call = Call::new(Method::GET, "/update?token=s3cret".into());
        assert_eq!(api.refusal(&call, &reply).0, "example: GET /update answers 403: token *** ?[31m is bad");
        assert_eq!(api.base, "https://api.example");
    }

    #[tokio::test]
    async fn header_value_with_line_end_is_refused_without_its_text() {
        let api = Api::new("example", "http://127.0.0.1:1", Duration::from_secs(1), &[]);
        let call = Call::new(Method::GET, "/".into()).header("X-Key", "s3cret\n");
        let message = api.send(&call).await.unwrap_err().0;
        assert!(message.contains("x-key") && !message.contains("s3cret"), "{message}");
    }

    #[test]
    fn escape_keeps_unreserved_characters_only() {
        assert_eq!(escape("a-b_c.d~e f/\"=+"), "a-b_c.d~e%20f%2F%22%3D%2B");
    }
}

//! The collector's address, from the configuration as written.

use std::collections::BTreeMap;
use std::fmt;

use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// The collector, and the protocol that it speaks.
#[derive(Debug, Clone)]
pub enum Target {
    OtlpHttp { url: Uri, headers: HeaderMap },
    OtlpGrpc { url: Uri, headers: HeaderMap },
    Zipkin { url: Uri },
}

/// An address that cannot be used: the key, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidEndpoint {
    pub key: &'static str,
    pub message: String,
}

const ENDPOINT: &str = "tracing.otlp.endpoint";
const ZIPKIN: &str = "tracing.zipkin.httpEndpoint";
/// The paths of Zipkin's API: of the first version, which Traefik uses, and of the second.
const ZIPKIN_V1: &str = "/api/v1/spans";
const ZIPKIN_V2: &str = "/api/v2/spans";

impl Target {
    /// The collector of `[tracing.otlp]`. Empty texts stand for the defaults.
    ///
    /// # Errors
    /// See [`InvalidEndpoint`].
    pub fn otlp(
        endpoint: &str,
        protocol: &str,
        insecure: bool,
        headers: &BTreeMap<String, String>,
    ) -> Result<Target, InvalidEndpoint> {
        let invalid = |message: String| InvalidEndpoint { key: ENDPOINT, message };
        let is_grpc = match protocol {
            "" | "http/protobuf" | "http" => false,
            "grpc" => true,
            other => {
                let message =
                    format!("{other:?} is no protocol of OTLP that Ringway speaks: use http/protobuf or grpc");
                return Err(InvalidEndpoint { key: "tracing.otlp.protocol", message });
            }
        };
        let default = if is_grpc { "http://localhost:4317" } else { "http://localhost:4318" };
        let endpoint = if endpoint.is_empty() { default } else { endpoint };
        let scheme = if insecure { "http" } else { "https" };
        let whole = if endpoint.contains("://") { endpoint.to_owned() } else { format!("{scheme}://{endpoint}") };
        let url = url(&whole).ok_or_else(|| invalid(not_a_url(endpoint, default)))?;
        let path = match (is_grpc, url.path()) {
            (true, _) => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            (false, "/") if !whole.ends_with('/') => "/v1/traces",
            (false, path) => path,
        };
        let url = with_path(&url, path).ok_or_else(|| invalid(not_a_url(endpoint, default)))?;
        let headers = header_map(headers)?;
        Ok(if is_grpc { Target::OtlpGrpc { url, headers } } else { Target::OtlpHttp { url, headers } })
    }

    /// The collector of `[tracing.zipkin]`. The path of Zipkin's first API becomes that of its second.
    ///
    /// # Errors
    /// See [`InvalidEndpoint`].
    pub fn zipkin(endpoint: &str) -> Result<Target, InvalidEndpoint> {
        let message = || not_a_url(endpoint, "http://localhost:9411/api/v2/spans");
        let parsed = url(endpoint).and_then(|url| match url.path() {
            ZIPKIN_V1 | "/" => with_path(&url, ZIPKIN_V2),
            _ => Some(url),
        });
        let url = parsed.ok_or_else(|| InvalidEndpoint { key: ZIPKIN, message: message() })?;
        Ok(Target::Zipkin { url })
    }

    pub fn url(&self) -> &Uri {
        match self {
            Target::OtlpHttp { url, .. } | Target::OtlpGrpc { url, .. } | Target::Zipkin { url } => url,
        }
    }

    /// The key of the address, for messages.
    pub fn key(&self) -> &'static str {
        match self {
            Target::OtlpHttp { .. } | Target::OtlpGrpc { .. } => ENDPOINT,
            Target::Zipkin { .. } => ZIPKIN,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url();
        // User and password, if there are any, stay out of the log.
        let authority = url.authority().map_or("", |authority| authority.as_str());
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        write!(f, "{}://{host}{}", url.scheme_str().unwrap_or("http"), url.path())
    }
}

fn url(text: &str) -> Option<Uri> {
    let url: Uri = text.parse().ok()?;
    let is_usable = matches!(url.scheme_str(), Some("http" | "https")) && !url.host()?.is_empty();
    is_usable.then_some(url)
}

fn with_path(url: &Uri, path: &str) -> Option<Uri> {
    let builder = Uri::builder().scheme(url.scheme_str()?).authority(url.authority()?.as_str());
    let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
    builder.path_and_query(format!("{path}{query}")).build().ok()
}

fn not_a_url(text: &str, example: &str) -> String {
    format!("{text:?} is no URL of a collector: use one like {example}")
}

fn header_map(headers: &BTreeMap<String, String>) -> Result<HeaderMap, InvalidEndpoint> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        // The value may be a secret.
        let invalid = || InvalidEndpoint {
            key: "tracing.otlp.headers",
            message: format!("{name}: name or value cannot be sent in a header field: remove it"),
        };
        let name = HeaderName::try_from(name.to_ascii_lowercase()).map_err(|_| invalid())?;
        let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| invalid())?;
        value.set_sensitive(true);
        map.insert(name, value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn otlp(endpoint: &str, protocol: &str, insecure: bool) -> String {
        match Target::otlp(endpoint, protocol, insecure, &BTreeMap::new()) {
            Ok(target) => target.to_string(),
            Err(invalid) => format!("{}: {}", invalid.key, invalid.message),
        }
    }

    #[test]
    fn endpoint_gets_what_it_lacks() {
        let grpc = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        assert_eq!(otlp("", "", false), "http://localhost:4318/v1/traces");
        assert_eq!(otlp("", "grpc", false), format!("http://localhost:4317{grpc}"));
        assert_eq!(otlp("http://a:1", "http/protobuf", false), "http://a:1/v1/traces");
        assert_eq!(otlp("http://a:1/", "http", false), "http://a:1/", "a path that is written stays");
        assert_eq!(otlp("https://u:p@a/otlp/v1/traces", "http", false), "https://a/otlp/v1/traces");
        assert_eq!(otlp("a:4317", "grpc", true), format!("http://a:4317{grpc}"));
        assert_eq!(otlp("a:4317", "grpc", false), format!("https://a:4317{grpc}"));
        assert_eq!(
            Target::zipkin("http://z:9411/api/v1/spans").expect("a URL").to_string(),
            "http://z:9411/api/v2/spans"
        );
        assert_eq!(Target::zipkin("http://z/own").expect("a URL").to_string(), "http://z/own");
    }

    #[test]
    fn unusable_endpoint_says_what_to_write() {
        for (endpoint, protocol, expected) in [
            ("ftp://a", "", "use one like http://localhost:4318"),
            ("http://", "grpc", "use one like http://localhost:4317"),
            ("http://a b", "", "no URL"),
            ("", "http/json", "use http/protobuf or grpc"),
        ] {
            let text = otlp(endpoint, protocol, false);
            assert!(text.contains(expected), "{text}");
        }
        let headers = BTreeMap::from([("api-key".to_owned(), "geheim\n".to_owned())]);
        let invalid = Target::otlp("", "", false, &headers).expect_err("a bad value");
        assert!(invalid.message.contains("api-key") && !invalid.message.contains("geheim"), "{invalid:?}");
        assert!(Target::zipkin("localhost:9411").is_err());
    }
}

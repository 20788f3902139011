//! The `[tracing]` table as written (docs/reference/tracing.md#keys), and the variables of the environment that stand in for its keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::duration::GoDuration;
use crate::http::percent;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tracing {
    /// `jaeger`, `zipkin`, `datadog` or `otlp`.
    pub backend: String,
    pub service_name: String,
    pub span_name_limit: i64,
    /// `const`, `probabilistic` or `rateLimiting`; empty means that of `[tracing.jaeger]` for that backend, else all requests.
    pub sampling_type: String,
    pub sampling_param: f64,
    pub jaeger: Option<JaegerTracing>,
    pub zipkin: Option<ZipkinTracing>,
    pub datadog: Option<DataDogTracing>,
    pub otlp: Option<OtlpTracing>,
}

/// The collector that takes spans by OTLP (docs/reference/tracing.md#otlp). Empty values are those of the environment, or defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OtlpTracing {
    /// A URL, or `host:port`.
    pub endpoint: String,
    /// `grpc` or `http/protobuf`.
    pub protocol: String,
    /// Fields of each request to the collector.
    pub headers: BTreeMap<String, String>,
    /// An endpoint without a scheme is reached without TLS.
    pub insecure: bool,
    /// For one request to the collector; zero means 10 s.
    pub timeout: GoDuration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JaegerTracing {
    #[serde(rename = "samplingServerURL")]
    pub sampling_server_url: String,
    pub sampling_type: String,
    pub sampling_param: f64,
    pub local_agent_host_port: String,
    pub trace_context_header_name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ZipkinTracing {
    pub http_endpoint: String,
    pub same_span: bool,
    #[serde(rename = "id128Bit")]
    pub id128_bit: bool,
    pub debug: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataDogTracing {
    pub local_agent_host_port: String,
    pub global_tag: String,
    pub debug: bool,
    pub priority_sampling: bool,
    #[serde(rename = "traceIDHeaderName")]
    pub trace_id_header_name: String,
    #[serde(rename = "parentIDHeaderName")]
    pub parent_id_header_name: String,
    pub sampling_priority_header_name: String,
    /// Traefik's spelling.
    pub bagage_prefix_header_name: String,
}

impl Tracing {
    /// Fills the keys of `[tracing.otlp]` that are not written from the variables of OpenTelemetry. `env` looks up a variable. Returns
    /// warnings. The variables never switch tracing on.
    pub fn fill_from(&mut self, env: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
        let mut warnings = Vec::new();
        // The variable for traces counts before the one for everything.
        let lookup = |name: &str| {
            let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{name}"), format!("OTEL_EXPORTER_OTLP_{name}")];
            names
                .into_iter()
                .find_map(|name| env(&name).filter(|value| !value.trim().is_empty()).map(|value| (name, value)))
        };
        let otlp = self.otlp.get_or_insert_default();
        if otlp.endpoint.is_empty()
            && let Some((name, value)) = lookup("ENDPOINT")
        {
            otlp.endpoint = match name.contains("TRACES") {
                // An endpoint for traces is used as it is.
                true => with_path(value.trim()),
                false => value.trim().to_owned(),
            };
        }
        if otlp.protocol.is_empty()
            && let Some((_, value)) = lookup("PROTOCOL")
        {
            otlp.protocol = value.trim().to_owned();
        }
        if let Some((_, value)) = lookup("INSECURE") {
            otlp.insecure |= value.trim().eq_ignore_ascii_case("true");
        }
        if otlp.timeout.0 == 0
            && let Some((name, value)) = lookup("TIMEOUT")
        {
            match value.trim().parse::<u32>() {
                Ok(millis) => otlp.timeout = GoDuration(i64::from(millis) * 1_000_000),
                Err(_) => warnings.push(format!("{name}={value} ignored: use a number of milliseconds")),
            }
        }
        if let Some((name, value)) = lookup("HEADERS") {
            for pair in value.split(',').filter(|pair| !pair.trim().is_empty()) {
                match pair.split_once('=') {
                    Some((key, value)) => {
                        let value = String::from_utf8_lossy(&percent::decoded(value.trim().as_bytes())).into_owned();
                        otlp.headers.entry(key.trim().to_owned()).or_insert(value);
                    }
                    None => {
                        warnings.push(format!("{name}: a part without \"=\" is ignored: use name=value,name=value"))
                    }
                }
            }
        }
        for name in ["COMPRESSION", "CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"] {
            if let Some((name, value)) = lookup(name).filter(|(_, value)| value != "none") {
                let instead =
                    if name.ends_with("COMPRESSION") { "" } else { ": use rootCAs for the collector's authority" };
                warnings.push(format!("{name}={value} is not supported and ignored{instead}"));
            }
        }
        warnings
    }

    /// The sampler's type and parameter, with the key of the latter.
    pub fn sampling(&self) -> (&str, f64, &'static str) {
        match &self.jaeger {
            Some(jaeger) if self.sampling_type.is_empty() && self.backend == "jaeger" => {
                (&jaeger.sampling_type, jaeger.sampling_param, "tracing.jaeger.samplingType")
            }
            _ if self.sampling_type.is_empty() => ("const", 1.0, "tracing.samplingType"),
            _ => (&self.sampling_type, self.sampling_param, "tracing.samplingType"),
        }
    }
}

/// A URL with a path, to which none is added.
fn with_path(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    if rest.contains('/') { url.to_owned() } else { format!("{url}/") }
}

impl Default for Tracing {
    fn default() -> Self {
        Tracing {
            backend: "jaeger".to_owned(),
            service_name: "traefik".to_owned(),
            span_name_limit: 0,
            sampling_type: String::new(),
            sampling_param: 1.0,
            jaeger: None,
            zipkin: None,
            datadog: None,
            otlp: None,
        }
    }
}

impl Default for JaegerTracing {
    fn default() -> Self {
        JaegerTracing {
            sampling_server_url: "http://localhost:5778/sampling".to_owned(),
            sampling_type: "const".to_owned(),
            sampling_param: 1.0,
            local_agent_host_port: "127.0.0.1:6831".to_owned(),
            trace_context_header_name: "uber-trace-id".to_owned(),
        }
    }
}

impl Default for ZipkinTracing {
    fn default() -> Self {
        let http_endpoint = "http://localhost:9411/api/v1/spans".to_owned();
        ZipkinTracing { http_endpoint, same_span: false, id128_bit: true, debug: false }
    }
}

impl Default for DataDogTracing {
    fn default() -> Self {
        DataDogTracing {
            local_agent_host_port: "localhost:8126".to_owned(),
            global_tag: String::new(),
            debug: false,
            priority_sampling: false,
            trace_id_header_name: String::new(),
            parent_id_header_name: String::new(),
            sampling_priority_header_name: String::new(),
            bagage_prefix_header_name: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(variables: &[(&str, &str)], mut tracing: Tracing) -> (OtlpTracing, Vec<String>) {
        let env = |wanted: &str| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        };
        let warnings = tracing.fill_from(&env);
        (tracing.otlp.expect("a table"), warnings)
    }

    #[test]
    fn variables_fill_what_is_not_written() {
        let (otlp, warnings) = filled(
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:4318"),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x = y"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
                ("OTEL_EXPORTER_OTLP_INSECURE", "true"),
            ],
            Tracing::default(),
        );
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(
            (otlp.endpoint.as_str(), otlp.protocol.as_str(), otlp.insecure),
            ("http://traces:4318/", "grpc", true)
        );
        assert_eq!(otlp.timeout, GoDuration(1_500_000_000));
        let expected = [("api-key", "a b"), ("x", "y")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(otlp.headers, BTreeMap::from(expected));
    }

    #[test]
    fn written_keys_count_before_variables() {
        let written = OtlpTracing {
            endpoint: "https://written".into(),
            protocol: "http/protobuf".into(),
            headers: [("api-key".to_owned(), "w".to_owned())].into(),
            insecure: false,
            timeout: GoDuration::from_secs(3),
        };
        let (otlp, _) = filled(
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:4318"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=v"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            ],
            Tracing { otlp: Some(written.clone()), ..Tracing::default() },
        );
        assert_eq!(otlp, written);
    }

    #[test]
    fn variable_that_cannot_be_read_is_a_warning() {
        let (_, warnings) = filled(
            &[
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ],
            Tracing::default(),
        );
        assert_eq!(warnings.len(), 4, "{warnings:?}");
        assert!(warnings.iter().all(|warning| !warning.contains("secret")), "{warnings:?}");
    }
}

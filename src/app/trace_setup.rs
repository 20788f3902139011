//! Sets tracing up from the `[tracing]` table (docs/reference/tracing.md#keys).

use std::sync::Arc;
use std::time::Duration;

use super::VERSION;
use super::process;
use crate::config::snapshot::TlsConfigs;
use crate::config::static_config::{DataDogTracing, JaegerTracing, OtlpTracing, Problem, StaticConfig, Tracing};
use crate::control::trace_export::{About, ExportSettings, Target};
use crate::diagnostics::Code;
use crate::observe::metrics::Metrics;
use crate::observe::trace::{self, DatadogNames, Format, Propagation, Sampler, SpanNames};
use crate::worker;

/// Time for one request to the collector, unless `tracing.otlp.timeout` is set.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The name of Jaeger's field, unless `tracing.jaeger.traceContextHeaderName` is set.
const JAEGER_FIELD: &str = "uber-trace-id";

/// Problems of the `[tracing]` table. Without a usable collector or sampler nothing is traced, and the proxy runs.
pub fn problems(config: &StaticConfig) -> Vec<Problem> {
    let Some(table) = &config.tracing else { return Vec::new() };
    let mut problems: Vec<Problem> = plan(table).err().into_iter().collect();
    let tables =
        [("jaeger", table.jaeger.is_some()), ("zipkin", table.zipkin.is_some()), ("datadog", table.datadog.is_some())];
    for (name, _) in tables.into_iter().filter(|(name, is_set)| *is_set && *name != table.backend) {
        let message = format!("ignored, because tracing.backend is {:?}: remove the table", table.backend);
        problems.push(Problem::warning(Code::IgnoredOption, format!("tracing.{name}"), message));
    }
    if let Some(datadog) = table.datadog.as_ref().filter(|_| table.backend == "datadog")
        && !datadog.global_tag.is_empty()
        && tag(&datadog.global_tag).is_none()
    {
        let message = format!("{:?} is no tag: write key:value", datadog.global_tag);
        problems.push(Problem::warning(Code::InvalidValue, "tracing.datadog.globalTag", message));
    }
    problems
}

/// The settings of the workers and of the exporter; `None` if nothing is traced. [`problems`] says why.
pub fn build(
    config: &StaticConfig,
    tls: &Result<TlsConfigs, String>,
    metrics: &Arc<Metrics>,
) -> Option<(Arc<trace::Tracing>, ExportSettings)> {
    let table = config.tracing.as_ref()?;
    let Plan { target, sampler, native } = plan(table).ok()?;
    let (sender, receiver) = trace::queue();
    let zipkin = table.zipkin.as_ref().filter(|_| table.backend == "zipkin");
    let datadog = table.datadog.as_ref().filter(|_| table.backend == "datadog");
    let jaeger = table.jaeger.as_ref();
    let has_long_ids = native != Format::Datadog && zipkin.is_none_or(|zipkin| zipkin.id128_bit);
    let high = if has_long_ids { random() } else { 0 };
    let tracing = trace::Tracing {
        propagation: Propagation::new(native, &jaeger_field(jaeger), &datadog_names(datadog), high),
        sampler,
        has_long_ids,
        same_span: zipkin.is_some_and(|zipkin| zipkin.same_span),
        is_debug: zipkin.is_some_and(|zipkin| zipkin.debug),
        queue: sender,
    };
    let settings = ExportSettings {
        target,
        tls: tls.clone(),
        timeout: table.otlp.as_ref().and_then(|otlp| otlp.timeout.positive()).unwrap_or(TIMEOUT),
        about: About {
            service_name: table.service_name.clone(),
            names: SpanNames::new(table.span_name_limit),
            tag: datadog.and_then(|datadog| tag(&datadog.global_tag)),
            host_name: process::host_name(),
            version: VERSION,
        },
        receiver,
        metrics: Arc::clone(metrics),
    };
    Some((Arc::new(tracing), settings))
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    worker::fill_random(&mut bytes);
    u64::from_ne_bytes(bytes)
}

struct Plan {
    target: Target,
    sampler: Sampler,
    /// The format of contexts that the backend's own clients use.
    native: Format,
}

fn plan(table: &Tracing) -> Result<Plan, Problem> {
    let default = OtlpTracing::default();
    let otlp = table.otlp.as_ref().unwrap_or(&default);
    let invalid = |invalid: crate::control::trace_export::InvalidEndpoint| {
        Problem::warning(Code::InvalidValue, invalid.key, invalid.message)
    };
    let by_otlp = || Target::otlp(&otlp.endpoint, &otlp.protocol, otlp.insecure, &otlp.headers).map_err(invalid);
    let (target, native) = match table.backend.as_str() {
        "otlp" => (by_otlp()?, Format::TraceContext),
        "zipkin" => {
            let endpoint = table.zipkin.clone().unwrap_or_default().http_endpoint;
            (Target::zipkin(&endpoint).map_err(invalid)?, Format::B3Fields)
        }
        "jaeger" if otlp.endpoint.is_empty() => {
            let agent = table.jaeger.clone().unwrap_or_default().local_agent_host_port;
            return Err(refused("jaeger", "Jaeger's Thrift protocol", "Jaeger, since 1.35,", &agent));
        }
        "datadog" if otlp.endpoint.is_empty() => {
            let agent = table.datadog.clone().unwrap_or_default().local_agent_host_port;
            let receiver = "the Datadog agent, with otlp_config in its configuration,";
            return Err(refused("datadog", "the Datadog agent's own protocol", receiver, &agent));
        }
        "jaeger" => (by_otlp()?, Format::Jaeger),
        "datadog" => (by_otlp()?, Format::Datadog),
        other => {
            let message = format!("{other:?} is no backend, so nothing is traced: use otlp, zipkin, jaeger or datadog");
            return Err(Problem::warning(Code::InvalidValue, "tracing.backend", message));
        }
    };
    let (kind, parameter, key) = table.sampling();
    let sampler = Sampler::new(kind, parameter).map_err(|reason| {
        Problem::warning(Code::InvalidValue, key, format!("{reason}; until then nothing is traced"))
    })?;
    Ok(Plan { target, sampler, native })
}

/// The problem of a backend whose own protocol Ringway does not speak.
fn refused(backend: &str, protocol: &str, receiver: &str, agent: &str) -> Problem {
    let host = agent.rsplit_once(':').map_or(agent, |(host, _)| host);
    let message = format!(
        "{backend:?} alone traces nothing, because Ringway does not speak {protocol}: {receiver} takes OTLP, so write [tracing.otlp] with \
         endpoint = \"http://{host}:4318\""
    );
    Problem::warning(Code::UnsupportedOption, "tracing.backend", message)
}

/// The tag of `key:value`.
fn tag(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once(':')?;
    (!key.is_empty()).then(|| (key.to_owned(), value.to_owned()))
}

fn jaeger_field(jaeger: Option<&JaegerTracing>) -> String {
    let name = jaeger.map(|jaeger| jaeger.trace_context_header_name.clone()).unwrap_or_default();
    if is_field_name(&name) { name } else { JAEGER_FIELD.to_owned() }
}

fn datadog_names(datadog: Option<&DataDogTracing>) -> DatadogNames {
    let or = |name: Option<&String>, default: &str| {
        name.filter(|name| is_field_name(name)).cloned().unwrap_or_else(|| default.to_owned())
    };
    DatadogNames {
        trace_id: or(datadog.map(|table| &table.trace_id_header_name), "x-datadog-trace-id"),
        parent_id: or(datadog.map(|table| &table.parent_id_header_name), "x-datadog-parent-id"),
        priority: or(datadog.map(|table| &table.sampling_priority_header_name), "x-datadog-sampling-priority"),
    }
}

/// Whether a text can be the name of a header field (RFC 9110 5.1).
fn is_field_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::text::read;

    fn problems_of(text: &str) -> String {
        let mut config = read::<StaticConfig>(text, "t").expect("valid").value;
        config.resolve();
        problems(&config).iter().map(|problem| format!("{problem}\n")).collect()
    }

    #[test]
    fn backend_without_a_collector_says_what_to_write() {
        let jaeger = problems_of("[tracing.jaeger]\nlocalAgentHostPort='jaeger.local:6831'");
        assert!(jaeger.contains("endpoint = \"http://jaeger.local:4318\""), "{jaeger}");
        let datadog = problems_of("[tracing]\nbackend='datadog'");
        assert!(datadog.contains("otlp_config") && datadog.contains("http://localhost:4318"), "{datadog}");
        assert_eq!(problems_of("[tracing]\n[tracing.otlp]\nendpoint='http://jaeger:4318'"), "");
        let unknown = problems_of("[tracing]\nbackend='lightstep'");
        assert!(unknown.contains("use otlp, zipkin, jaeger or datadog"), "{unknown}");
    }

    #[test]
    fn tables_of_other_backends_are_reported() {
        let text = problems_of("[tracing]\nbackend='zipkin'\n[tracing.jaeger]\n[tracing.datadog]\nglobalTag='x'");
        let expected = "tracing.jaeger: ignored, because tracing.backend is \"zipkin\": remove the table\n\
            tracing.datadog: ignored, because tracing.backend is \"zipkin\": remove the table\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn wrong_sampler_and_tag_are_reported() {
        let text = problems_of("[tracing]\nbackend='otlp'\nsamplingType='sometimes'");
        assert!(text.starts_with("tracing.samplingType: \"sometimes\" is no sampler"), "{text}");
        let text = problems_of(
            "[tracing]\n[tracing.otlp]\nendpoint='http://j:4318'\n[tracing.jaeger]\nsamplingType='probabilistic'\nsamplingParam=2.0",
        );
        assert!(text.starts_with("tracing.jaeger.samplingType: 2 is no share"), "{text}");
        let text = problems_of(
            "[tracing]\nbackend='datadog'\n[tracing.otlp]\nendpoint='http://j:4318'\n[tracing.datadog]\nglobalTag='env'",
        );
        assert_eq!(text, "tracing.datadog.globalTag: \"env\" is no tag: write key:value\n");
    }
}

//! Tracing of the built program, on both drivers: what servers get, and what collectors get: a scripted one that decodes OTLP with the
//! library of OpenTelemetry, and a real one.

#[path = "../support/mod.rs"]
mod support;

mod collector;
mod export;
mod formats;
mod requests;

use std::time::Duration;

use support::free_port;
use support::origin::Origin;
use support::ringway::{Ringway, Setup};

/// Hosts: `plain.test`, `retry.test` (one of two servers is away), `auth.test`, `page.test` (errors have a page), `header.test` (the
/// configuration sets a traceparent), `buffered.test`, `gone.test` (no server answers).
pub const CONFIG: &str = r#"
logLevel = "INFO"
defaultEntryPoints = ["http"]
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.api]
address = "127.0.0.1:@api@"
[api]
entryPoint = "api"
[metrics.prometheus]
entryPoint = "api"
[retry]
attempts = 3
[accessLog]
filePath = "@dir@/access.log"
format = "json"
@tracing@
[file]
[backends.one.servers.one]
url = "http://@origin@"
[backends.two]
[backends.two.servers.away]
url = "http://127.0.0.1:@away@"
weight = 1
[backends.two.servers.one]
url = "http://@origin@"
weight = 1
[backends.gone.servers.away]
url = "http://127.0.0.1:@away@"
[backends.buffered.buffering]
maxRequestBodyBytes = 1000000
[backends.buffered.servers.one]
url = "http://@origin@"
[frontends.plain]
backend = "one"
[frontends.plain.routes.all]
rule = "Host:plain.test,a.test"
[frontends.retry]
backend = "two"
[frontends.retry.routes.all]
rule = "Host:retry.test"
[frontends.gone]
backend = "gone"
[frontends.gone.routes.all]
rule = "Host:gone.test"
[frontends.buffered]
backend = "buffered"
[frontends.buffered.routes.all]
rule = "Host:buffered.test"
[frontends.auth]
backend = "one"
[frontends.auth.auth.forward]
address = "http://@origin@/check?x"
authResponseHeaders = ["X-Origin"]
[frontends.auth.routes.all]
rule = "Host:auth.test"
[frontends.page]
backend = "gone"
[frontends.page.errors.all]
status = ["502"]
backend = "one"
query = "/page"
[frontends.page.routes.all]
rule = "Host:page.test"
[frontends.header]
backend = "one"
[frontends.header.headers.customRequestHeaders]
Traceparent = "00-11111111111111111111111111111111-2222222222222222-01"
[frontends.header.routes.all]
rule = "Host:header.test"
"#;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// The program with this `[tracing]` table in front of a server that answers with the head that it got.
pub fn start(driver: &str, tracing: &str) -> (Ringway, Origin) {
    let origin = Origin::start();
    let setup = Setup::new(driver, CONFIG).fill("@tracing@", tracing).fill("@origin@", origin.address);
    (setup.fill("@away@", free_port()).start(), origin)
}

/// The table for OTLP over HTTP.
pub fn otlp(collector: &collector::Collector) -> String {
    format!(
        "[tracing]\nbackend = \"otlp\"\nserviceName = \"edge\"\n[tracing.otlp]\nendpoint = \"{}\"\nheaders = {{ api-key = \"k1\" }}",
        collector.url()
    )
}

/// The body of a response to a GET with these fields: the head that the server got.
pub fn get(proxy: &Ringway, host: &str, path: &str, fields: &[&str]) -> String {
    let (url, host) = (proxy.url(path), format!("Host: {host}"));
    let mut arguments = vec!["-H", host.as_str(), url.as_str()];
    fields.iter().for_each(|field| arguments.extend(["-H", field]));
    proxy.curl(&arguments)
}

/// The value of a counter of `/metrics`.
pub fn exceeded(proxy: &Ringway, bound: &str) -> u64 {
    let text = proxy.page("/metrics");
    let line = text.lines().find(|line| line.contains(&format!("bound=\"{bound}\"")));
    line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).map_or(0, |value| value as u64)
}

pub const WAIT: Duration = Duration::from_secs(30);

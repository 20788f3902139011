//! Rows about compiled configurations: constraints, names, entry points, time-outs, health checks, domains, forwarding fields.

use std::collections::BTreeMap;
use std::time::Duration;

use ringway::config::compile::{EndpointInterner, compile, entry_point};
use ringway::config::dynamic::{DynamicConfig, PassTlsClientCert};
use ringway::config::labels::{filter, names};
use ringway::config::snapshot::Snapshot;
use ringway::config::static_config::{EntryPoint, StaticConfig, check};
use ringway::config::text::{dedicated, read};
use ringway::control::acme::plan::{PlanRules, plan_orders};
use ringway::control::acme::{DesiredCertificates, DomainRequest};
use ringway::http::forward::ForwardPlan;
use ringway::middleware::Middleware;
use ringway::tls::certificate::name_covers;
use serde_json::Value;

use super::{CaseResult, flag, same, string, texts};
use crate::base::compile_context::compile_context;

pub fn constraints(case: &Value) -> CaseResult {
    let tags = texts(&case["tags"]);
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let holds = case["constraints"].as_array().into_iter().flatten().all(|constraint| {
        let sign = if flag(&constraint["mustMatch"]) { "==" } else { "!=" };
        filter::holds(&format!("{}{sign}{}", string(&constraint["key"]), string(&constraint["regex"])), &tags)
    });
    same(holds, flag(&case["expected"]))
}

pub fn normalised(case: &Value) -> CaseResult {
    same(names::normalize(string(&case["name"])).as_str(), string(&case["expected"]))
}

pub fn certificate_name(case: &Value) -> CaseResult {
    same(name_covers(string(&case["certDomain"]), string(&case["domain"])), flag(&case["expected"]))
}

fn fixed(text: &str) -> StaticConfig {
    let mut fixed = read::<StaticConfig>(text, "row").expect("valid").value;
    fixed.resolve();
    fixed
}

pub fn entry_point_white_list(case: &Value) -> CaseResult {
    let ranges = texts(&case["entrypoint"]["whitelistSourceRange"]);
    let fixed = fixed(&format!("[entryPoints.test]\naddress=':0'\nwhitelistSourceRange={ranges:?}"));
    let written: &EntryPoint = &fixed.entry_points["test"];
    let parts = entry_point(&compile_context(), "test", written, &mut EndpointInterner::default())
        .map_err(|error| error.reason)?;
    let has_list = parts.chain.middlewares().iter().any(|step| matches!(step, Middleware::EntryWhiteList(_)));
    same(has_list, flag(&case["expectMiddleware"]))
}

pub fn bad_address(case: &Value) -> CaseResult {
    let address = string(&case["entryPoint"]["address"]);
    let fixed = fixed(&format!("[entryPoints.http]\naddress=':80'\n[entryPoints.target]\naddress={address:?}"));
    same(!check(&fixed).is_empty(), flag(&case["errorExpected"]))
}

pub fn server_timeouts(case: &Value) -> CaseResult {
    let given = &case["globalConfig"];
    let nanos = |value: &Value| value.as_str().map(|nanos| format!("\"{nanos}ns\""));
    let mut text = String::new();
    text.extend(nanos(&given["idleTimeout"]).map(|idle| format!("idleTimeout={idle}\n")));
    text += "[respondingTimeouts]\n";
    for name in ["idleTimeout", "readTimeout", "writeTimeout"] {
        text.extend(nanos(&given["respondingTimeouts"][name]).map(|value| format!("{name}={value}\n")));
    }
    let given = fixed(&text).responding_timeouts;
    let expected = |name: &str| match string(&case[name]) {
        "3m0s" => Some(Duration::from_secs(180)),
        // A limit that is not set has the default of limits.rs: no wait is unlimited here (COMPAT.md).
        "0s" => None,
        other => other.trim_end_matches('s').parse().ok().map(Duration::from_secs),
    };
    same(given.idle_timeout.positive(), expected("expectedIdleTimeout"))?;
    same(given.read_timeout.positive(), expected("expectedReadTimeout"))?;
    same(given.write_timeout.positive(), expected("expectedWriteTimeout"))
}

fn snapshot(text: &str) -> Snapshot {
    let document: DynamicConfig = dedicated(text, "row").expect("valid").value;
    let documents = BTreeMap::from([("file".to_owned(), document.into())]);
    compile(&compile_context(), &documents, &[], &Snapshot::empty(2), &mut EndpointInterner::default())
}

/// Both methods of a backend, without a health check and with one.
pub fn health_check(method: &Value) -> CaseResult {
    for check in ["", "[backends.backend.healthCheck]\npath='/path'\n"] {
        let text = format!(
            "[backends.backend.servers.s]\nurl='http://localhost'\n[backends.backend.loadBalancer]\nmethod={:?}\n{check}\
             [frontends.f]\nbackend='backend'\n[frontends.f.routes.r]\nrule='Path:/'",
            string(method)
        );
        let snapshot = snapshot(&text);
        same(
            snapshot.backends.iter().filter(|backend| backend.health_check.is_some()).count(),
            usize::from(!check.is_empty()),
        )?;
    }
    Ok(())
}

pub fn empty_basic_auth() -> CaseResult {
    // Port 80 is an entry point of the test's proxy, which compile would report.
    let text = "[backends.b.servers.s]\nurl='http://localhost:8080'\n[frontends.f]\nbackend='b'\nbasicAuth=[]\n[frontends.f.routes.r]\nrule='Path:/'";
    let snapshot = snapshot(text);
    same((snapshot.routers[0].len(), snapshot.rejected.len()), (1, 0))
}

/// The names of one certificate, main first.
pub fn domain(main: &str, sans: Vec<String>, expected: &Value) -> CaseResult {
    let wanted = DesiredCertificates {
        requests: vec![DomainRequest { main: main.to_owned(), sans }],
        ..DesiredCertificates::default()
    };
    let ordered: Vec<String> =
        plan_orders(&wanted, &[], 0, &PlanRules::default()).jobs.into_iter().flat_map(|job| job.names).collect();
    same(ordered, texts(expected))
}

pub fn client_cert_options(case: &Value) -> CaseResult {
    // The row names the fields as in a configuration, and expects them under the names of X.509.
    let written: PassTlsClientCert =
        serde_json::from_value(case["tlsClientHeaders"].clone()).map_err(|error| error.to_string())?;
    let shown = serde_json::to_value(&written).map_err(|error| error.to_string())?;
    let mut expected = BTreeMap::new();
    flags("", &case["expected"], &mut expected);
    let mut given = BTreeMap::new();
    flags("", &shown, &mut given);
    same(given, expected)
}

/// All enabled flags, by path, under the names of a configuration.
fn flags(path: &str, value: &Value, out: &mut BTreeMap<String, ()>) {
    if value.as_bool() == Some(true) {
        out.insert(path.to_owned(), ());
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let name = match name.as_str() {
            "pEM" => "pem",
            "stateOrProvinceName" => "province",
            other => other.strip_suffix("Name").filter(|short| *short != "common").unwrap_or(other),
        };
        flags(&format!("{path}.{name}"), inner, out);
    }
}

/// The fields of the client in the table's requests, and the forwarded ones.
pub fn forwarded_fields(case: &Value) -> CaseResult {
    let table = if flag(&case["insecure"]) {
        "insecure=true".to_owned()
    } else {
        format!("trustedIPs={:?}", texts(&case["trustedIPs"]))
    };
    let fixed = fixed(&format!("[entryPoints.test]\naddress=':0'\n[entryPoints.test.forwardedHeaders]\n{table}"));
    let parts = entry_point(&compile_context(), "test", &fixed.entry_points["test"], &mut EndpointInterner::default())
        .map_err(|error| error.reason)?;
    let peer: std::net::SocketAddr = string(&case["remoteAddr"]).parse().map_err(|_| "a peer has a port".to_owned())?;
    let ip = peer.ip().to_string();
    let plan = ForwardPlan { trusted: parts.trust.includes(peer.ip()), client_ip: ip.as_bytes(), ..Default::default() };
    let sent = crate::support::forwarded(
        "GET / HTTP/1.1\nHost: h\nX-Foo: bar\nX-Forwarded-For: 30.30.30.30\nX-Forwarded-Method: GET\nX-Forwarded-Uri: /bar",
        &plan,
    );
    for (name, wanted) in case["expected"].as_object().into_iter().flatten() {
        let value = sent.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap_or_default();
        // The client's own address is appended to the received value; the table's middleware runs before the one that appends it.
        let value = value.strip_suffix(&format!(", {ip}")).unwrap_or(if value == ip { "" } else { value });
        same(value, string(wanted))?;
    }
    Ok(())
}

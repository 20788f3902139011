//! Traefik v1.7.20's own unit tables against `config::labels`, read from the shared cases where that folder exists.

use std::collections::{BTreeMap, BTreeSet};

use ringway::config::labels::address;
use ringway::config::labels::address_context::AddressContext;
use ringway::config::labels::container::*;
use ringway::config::labels::swarm::{self, EndpointMode, ServiceFacts, SwarmNetwork, TaskFacts};
use ringway::config::labels::values::{self, Labels};
use ringway::config::labels::{backend, filter, frontend, headers, names, segments, translate};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const V1_TEMPLATE: &str =
    "labels are always translated as by version 2 (COMPAT.md, docker.templateVersion): it shows what version 1 renders";

/// Rows that must fail, each with the reason.
const EXPECTED_FAILURES: &[(&str, &str)] = &[
    ("TestDockerBuildConfigurationV1/when basic container configuration", V1_TEMPLATE),
    ("TestDockerBuildConfigurationV1/when all labels are set", V1_TEMPLATE),
    ("TestSwarmBuildConfigurationV1/when basic container configuration", V1_TEMPLATE),
    ("TestSwarmBuildConfigurationV1/when all labels are set", V1_TEMPLATE),
    ("TestDockerServiceBuildConfigurationV1/simple configuration", V1_TEMPLATE),
    ("TestDockerServiceBuildConfigurationV1/when all labels are set", V1_TEMPLATE),
    ("TestDockerServiceBuildConfigurationV1/several containers", V1_TEMPLATE),
    ("TestDockerGetServiceBackendNameV1/0", V1_TEMPLATE),
    ("TestDockerGetServiceBackendNameV1/1", V1_TEMPLATE),
    ("TestDockerGetServiceBackendNameV1/2", V1_TEMPLATE),
    ("TestDockerGetServiceBackendNameV1/4", V1_TEMPLATE),
];

/// The case file's rows; `None`, with a message, where the folder does not exist.
fn cases(file: &str) -> Option<Vec<Value>> {
    let path = format!("{}/../shared/cases/{file}", env!("CARGO_MANIFEST_DIR"));
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: no shared cases");
        return None;
    };
    let mut whole: Value = serde_json::from_str(&text).unwrap();
    let rows = if whole.is_array() { whole } else { whole["cases"].take() };
    Some(serde_json::from_value(rows).unwrap())
}

/// Compares the failures with the expected ones.
fn verdict(results: Vec<(String, Result<(), String>)>, total: usize) {
    assert_eq!(results.len(), total, "the number of rows has changed");
    let mut wrong = Vec::new();
    for (name, result) in results {
        match (result, EXPECTED_FAILURES.iter().find(|(listed, _)| *listed == name)) {
            (Ok(()), None) | (Err(_), Some(_)) => {}
            (Ok(()), Some(_)) => wrong.push(format!("{name}: passes, remove it from the list")),
            (Err(text), None) => wrong.push(format!("{name}: {text}")),
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

fn same<T: PartialEq + std::fmt::Debug>(actual: T, expected: T) -> Result<(), String> {
    if actual == expected { Ok(()) } else { Err(format!("\n  expected {expected:?}\n  got      {actual:?}")) }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn labels_of(value: &Value) -> BTreeMap<String, String> {
    if value.is_null() { BTreeMap::new() } else { serde_json::from_value(value.clone()).unwrap() }
}

fn container(row: &Value) -> ContainerFacts {
    let networks: BTreeMap<String, String> = serde_json::from_value(row["networks"].clone()).unwrap();
    ContainerFacts {
        id: text(&row["name"]),
        name: text(&row["name"]),
        labels: labels_of(&row["labels"]),
        running: true,
        network_mode: text(&row["networkMode"]),
        networks: networks
            .into_iter()
            .map(|(name, ip)| (name, NetworkFacts { ip, ..NetworkFacts::default() }))
            .collect(),
        ports: row["ports"].as_object().unwrap().iter().map(|(port, bindings)| port_facts(port, bindings)).collect(),
        node_ip: row["nodeIP"].as_str().map(str::to_owned),
        ..ContainerFacts::default()
    }
}

fn port_facts(port: &str, bindings: &Value) -> PortFacts {
    let (number, protocol) = port.split_once('/').unwrap();
    let binding = |b: &Value| BindingFacts { host_ip: text(&b["hostIP"]), host_port: text(&b["hostPort"]) };
    let bindings = bindings.as_array().into_iter().flatten().map(binding).collect();
    PortFacts { port: number.parse().unwrap(), protocol: protocol.to_owned(), bindings }
}

fn service(row: &Value) -> ServiceFacts {
    let address = |v: &Value| (text(&v["networkID"]), text(&v["addr"]));
    let dns = row["endpointMode"] == "dnsrr";
    ServiceFacts {
        name: text(&row["name"]),
        labels: labels_of(&row["labels"]),
        endpoint_mode: if dns { EndpointMode::DnsRoundRobin } else { EndpointMode::VirtualIp },
        virtual_ips: row["virtualIPs"].as_array().into_iter().flatten().map(address).collect(),
        ..ServiceFacts::default()
    }
}

fn task(row: &Value) -> TaskFacts {
    let attachment = |a: &Value| {
        let addresses = a["addresses"].as_array().into_iter().flatten().map(text).collect();
        (text(&a["network"]["iD"]), addresses)
    };
    let mut facts = TaskFacts {
        id: text(&row["iD"]),
        slot: row["slot"].as_i64().unwrap_or(0),
        running: row["status"]["state"] == "running",
        attachments: row["networksAttachments"].as_array().into_iter().flatten().map(attachment).collect(),
        ask: row["status"]["containerStatus"]["containerID"].as_str().map(str::to_owned),
    };
    // The table's only inspected container; its inspect result is not in the row.
    if facts.ask.as_deref() == Some("c1") {
        facts.correct(&BTreeMap::from([("1".to_owned(), "10.11.12.13".to_owned())]));
    }
    facts
}

fn named(networks: BTreeMap<String, String>) -> BTreeMap<String, SwarmNetwork> {
    networks.into_iter().map(|(id, name)| (id, SwarmNetwork { name, is_ingress: false })).collect()
}

/// The row's containers, or its services through their virtual addresses.
fn facts(row: &Value) -> Vec<ContainerFacts> {
    // Rows of version 1 have lost the names of their networks; the rows of version 2 supply them.
    let mut networks: BTreeMap<String, String> =
        BTreeMap::from([("1".to_owned(), "foonet".to_owned()), ("2".to_owned(), "barnet".to_owned())]);
    if let Ok(named) = serde_json::from_value(row["swarmNetworks"].clone()) {
        networks = named;
    }
    let containers = row["containers"].as_array().into_iter().flatten().map(container);
    let services = row["services"].as_array().into_iter().flatten();
    let networks = named(networks);
    containers.chain(services.map(|s| swarm::service_container(&service(s), &networks))).collect()
}

fn settings(row: &Value) -> DockerSettings {
    let provider = &row["provider"];
    let flag = |name: &str| provider[name].as_bool().unwrap();
    let mut settings = DockerSettings {
        domain: text(&provider["domain"]),
        exposed_by_default: flag("exposedByDefault"),
        use_bind_port_ip: flag("useBindPortIP"),
        swarm_mode: flag("swarmMode"),
        network: text(&provider["network"]),
        ..DockerSettings::default()
    };
    if row["kind"] == "filter" {
        // The filter tables lost their provider: it has a domain and exposes by default, except for these rows.
        let (table, index) = row["name"].as_str().unwrap().split_once('/').unwrap();
        let (hidden, no_domain): (&[&str], &[&str]) = match table.starts_with("TestDocker") {
            true => (&["9", "10", "11", "12"], &["11", "12"]),
            false => (&["7", "8"], &[]),
        };
        settings.exposed_by_default = !hidden.contains(&index);
        settings.domain = if no_domain.contains(&index) { String::new() } else { "test".to_owned() };
    }
    settings
}

#[test]
fn docker_labels() {
    let Some(rows) = cases("docker-labels.json") else { return };
    let name = |row: &Value| text(&row["name"]);
    verdict(rows.iter().map(|row| (name(row), docker_label_row(row))).collect(), 189);
}

fn docker_label_row(row: &Value) -> Result<(), String> {
    let (all, settings) = (facts(row), settings(row));
    if row["kind"] == "buildConfiguration" {
        return same(translate(&all, &settings).dynamic, strict(row["expected"].clone()));
    }
    if row["kind"] == "servers" {
        return servers_row(&all, &settings, &row["expected"]);
    }
    let [container] = &all[..] else { return Err(format!("{} containers", all.len())) };
    let segment = row["segmentName"].as_str().unwrap_or_default();
    let map = segments::split(&container.labels).remove(segment).unwrap();
    let labels = Labels::new(segment, &map, &container.labels);
    let around = AddressContext { settings: &settings, containers: &all };
    let actual = match row["kind"].as_str().unwrap() {
        "filter" => json!(filter::check(container, &settings).is_ok()),
        "frontendName" => json!(names::frontend_name(container, &labels, &settings, 0)),
        "frontendRule" => json!(names::frontend_rule(container, &labels, &settings)),
        "backendName" => json!(names::backend_name(container, &labels)),
        "ipAddress" => json!(address::ip_address(container, &labels, &around)),
        "port" => json!(address::port(container, &labels)),
        "ipPort" => {
            let url = address::server_url(container, &labels, &around).map_err(|e| e.to_string())?;
            let (ip, port) = url.as_deref().unwrap_or("http://:")["http://".len()..].rsplit_once(':').unwrap();
            json!({ "error": url.is_none(), "ip": ip, "port": port })
        }
        other => return Err(format!("unknown kind {other}")),
    };
    same(&actual, &row["expected"])
}

/// The servers of containers that share one backend.
fn servers_row(all: &[ContainerFacts], settings: &DockerSettings, expected: &Value) -> Result<(), String> {
    let around = AddressContext { settings, containers: all };
    let mut servers = serde_json::Map::new();
    for container in all {
        let url =
            address::server_url(container, &Labels::whole(&container.labels), &around).map_err(|e| e.to_string())?;
        if let Some(url) = url {
            servers.insert(names::server_name(container, &url), json!({ "url": url, "weight": 1 }));
        }
    }
    let expected = if expected.is_null() { json!({}) } else { expected.clone() };
    same(Value::Object(servers), expected)
}

/// Reads an expected value strictly: a key that Ringway's types do not have must not vanish.
fn strict<T: DeserializeOwned>(mut value: Value) -> T {
    tidy(&mut value);
    let unknown = |path: serde_ignored::Path| panic!("unknown key {path}");
    serde_ignored::deserialize(value, unknown).unwrap()
}

/// Some tables write periods as nanoseconds without a unit; nulls are absent values.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, inner| !inner.is_null());
            for (key, inner) in map.iter_mut() {
                let period = inner.as_str().map_or_else(|| inner.to_string(), str::to_owned);
                if key == "period" && period.bytes().all(|byte| byte.is_ascii_digit()) {
                    *inner = json!(format!("{period}ns"));
                } else {
                    tidy(inner);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        _ => {}
    }
}

#[test]
fn label_helpers() {
    let Some(rows) = cases("label-helpers.json") else { return };
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut results = Vec::new();
    for row in &rows {
        let test = text(&row["test"]);
        let index = seen.entry(test.clone()).or_default();
        results.push((format!("{test}/{index}"), helper_row(&test, &row["case"])));
        *index += 1;
    }
    verdict(results, 128);
}

fn helper_row(test: &str, case: &Value) -> Result<(), String> {
    let map = labels_of(&case["labels"]);
    let labels = Labels::whole(&map);
    let name = case["labelName"].as_str().unwrap_or_default();
    let expected = case["expected"].clone();
    let default = &case["defaultValue"];
    match test {
        "TestSplitAndTrimString" => same(json_list(values::split_list(&text(&case["input"]))), expected),
        "TestGetStringValue" | "TestGetFuncString" => {
            same(json!(labels.raw(name).unwrap_or(default.as_str().unwrap())), expected)
        }
        "TestGetBoolValue" => same(json!(labels.flag(name, default.as_bool().unwrap())), expected),
        "TestGetIntValue" | "TestGetInt64Value" => {
            same(json!(labels.number(name, default.as_i64().unwrap())), expected)
        }
        "TestGetSliceStringValue" | "TestGetSliceString" => same(json_list(labels.list(name).unwrap()), expected),
        "TestGetMapValue" => same(json_map(labels.header_map(name).unwrap()), expected),
        "TestGetStringMultipleStrict" => several(&labels, case),
        "TestHas" => same(json!(labels.raw(name).is_some()), expected),
        "TestHasPrefix" => same(json!(labels.any(&text(&case["prefix"]))), expected),
        "TestIsEnabled" => {
            let container = ContainerFacts { labels: map.clone(), ..ContainerFacts::default() };
            same(json!(filter::is_enabled(&container, case["exposedByDefault"].as_bool().unwrap())), expected)
        }
        "TestExtractTraefikLabels" => {
            same(serde_json::to_value(segments::split(&labels_of(&case["originLabels"]))).unwrap(), expected)
        }
        "TestExtractServiceProperties" | "TestExtractServicePropertiesP" => same(properties(&map), expected),
        "TestGetServiceLabel" => service_label(case),
        _ => block_row(test, &labels, expected),
    }
}

fn block_row(test: &str, labels: &Labels, expected: Value) -> Result<(), String> {
    match test {
        "TestParseErrorPages" | "TestProviderGetErrorPages" => {
            same(frontend::error_pages(labels).unwrap(), or_empty(expected))
        }
        "TestParseRateSets" => same(frontend::rate_set(labels).unwrap(), or_empty(expected)),
        "TestWhiteList" => same(frontend::white_list(labels).unwrap(), optional(expected)),
        "TestGetCircuitBreaker" => same(backend::circuit_breaker(labels).unwrap(), optional(expected)),
        "TestGetLoadBalancer" => same(backend::load_balancer(labels).unwrap(), optional(expected)),
        "TestGetMaxConn" => same(backend::max_conn(labels).unwrap(), optional(expected)),
        "TestGetHealthCheck" => same(backend::health_check(labels).unwrap(), optional(expected)),
        "TestGetBuffering" => same(backend::buffering(labels).unwrap(), optional(expected)),
        "TestGetRedirect" => same(frontend::redirect(labels).unwrap(), optional(expected)),
        "TestGetRateLimit" => same(frontend::rate_limit(labels).unwrap(), optional(expected)),
        "TestGetHeaders" => same(headers::headers(labels).unwrap(), optional(expected)),
        "TestGetAuth" => same(frontend::auth(labels).unwrap(), optional(expected)),
        "TestGetPassTLSClientCert" => same(frontend::pass_tls_client_cert(labels), optional(expected)),
        other => Err(format!("unknown table {other}")),
    }
}

fn optional<T: DeserializeOwned>(expected: Value) -> Option<T> {
    if expected.is_null() { None } else { Some(strict(expected)) }
}

fn or_empty<T: DeserializeOwned + Default>(expected: Value) -> T {
    optional(expected).unwrap_or_default()
}

/// Go's empty slices and maps are null in the tables.
fn json_list<T: Serialize>(list: Vec<T>) -> Value {
    if list.is_empty() { Value::Null } else { json!(list) }
}

fn json_map(map: BTreeMap<String, String>) -> Value {
    if map.is_empty() { Value::Null } else { json!(map) }
}

fn several(labels: &Labels, case: &Value) -> Result<(), String> {
    let names = case["labelNames"].as_array().into_iter().flatten();
    let found: Option<BTreeMap<&str, &str>> =
        names.map(|name| name.as_str().unwrap()).map(|name| Some((name, labels.raw(name)?))).collect();
    same(found.is_none(), case["expectedErr"].as_bool().unwrap())?;
    same(serde_json::to_value(found).unwrap(), case["expected"].clone())
}

/// Segment properties without the container's own labels.
fn properties(map: &BTreeMap<String, String>) -> Value {
    let mut found: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (label, value) in map {
        if let Some((segment, property)) = segments::segment_of(label) {
            found.entry(segment).or_default().insert(property, value);
        }
    }
    serde_json::to_value(found).unwrap()
}

/// The name of a segment's label must be read back as that segment.
fn service_label(case: &Value) -> Result<(), String> {
    let (service, label, expected) = (text(&case["serviceName"]), text(&case["labelName"]), text(&case["expected"]));
    match segments::segment_of(&expected) {
        Some((segment, property)) => same((segment.to_owned(), format!("traefik.{property}")), (service, label)),
        None => same((String::new(), expected), (service, label)),
    }
}

#[test]
fn docker_other() {
    let Some(rows) = cases("docker-other.json") else { return };
    let name = |row: &Value| format!("{}/{}", text(&row["test"]), row["index"]);
    verdict(rows.iter().map(|row| (name(row), other_row(&text(&row["test"]), &row["case"]))).collect(), 45);
}

fn other_row(test: &str, case: &Value) -> Result<(), String> {
    match test {
        "TestListTasks" | "TestListServices" | "TestSwarmTaskParsing" => return swarm_row(test, case),
        _ => {}
    }
    let container = match case["service"].is_null() {
        true => container(&case["container"]),
        false => swarm::service_container(&service(&case["service"]), &BTreeMap::new()),
    };
    // Helpers of version 1 ask for "myservice", or give the service's labels themselves.
    let mut own = labels_of(&case["serviceLabels"]).into_iter().map(|(k, v)| (format!("traefik.{k}"), v)).collect();
    segments::fill_up(&mut own, &container.labels);
    let mut sets = segments::split(&own);
    let segment = if sets.contains_key("myservice") { "myservice" } else { "" };
    let map = sets.remove(segment).or_else(|| sets.pop_first().map(|(_, map)| map)).unwrap();
    let labels = Labels::new(segment, &map, &own);
    let suffix = case["suffixLabel"].as_str().or(case["labelSuffix"].as_str());
    let name = suffix.map_or_else(|| text(&case["labelName"]), |suffix| format!("traefik.{suffix}"));
    let (expected, default) = (case["expected"].clone(), &case["defaultValue"]);
    let settings = DockerSettings::default();
    match test {
        "TestDockerGetFuncStringLabelV1"
        | "TestSwarmGetFuncStringLabelV1"
        | "TestDockerGetFuncServiceStringLabelV1"
        | "TestDockerGetServiceStringValueV1" => {
            same(json!(labels.raw(&name).unwrap_or(default.as_str().unwrap())), expected)
        }
        "TestDockerGetSliceStringLabelV1"
        | "TestDockerGetFuncServiceSliceStringLabelV1"
        | "TestDockerGetServiceSliceValueV1" => same(json_list(labels.list(&name).unwrap()), expected),
        "TestDockerGetServiceBoolValueV1" => same(json!(labels.flag(&name, default.as_bool().unwrap())), expected),
        "TestDockerCheckPortLabelsV1" => {
            same(!filter::has_port_label(&labels), case["expectedError"].as_bool().unwrap())
        }
        "TestDockerGetServiceBackendNameV1" => same(json!(names::backend_name(&container, &labels)), expected),
        "TestDockerGetServiceFrontendRuleV1" => {
            same(json!(names::frontend_rule(&container, &labels, &settings)), expected)
        }
        "TestDockerGetServicePortV1" => same(json!(address::port(&container, &labels)), expected),
        other => Err(format!("unknown table {other}")),
    }
}

fn swarm_row(test: &str, case: &Value) -> Result<(), String> {
    let tasks: Vec<TaskFacts> = case["tasks"].as_array().into_iter().flatten().map(task).collect();
    let networks: BTreeMap<String, String> = match &case["networks"] {
        Value::Array(list) => list.iter().map(|n| (text(&n["Id"]), text(&n["name"]))).collect(),
        map => map.as_object().unwrap().iter().map(|(id, n)| (id.clone(), text(&n["name"]))).collect(),
    };
    let networks = named(networks);
    let names = |services: &[ServiceFacts]| {
        json!(swarm::containers(services, &networks, &mut Vec::new()).into_iter().map(|c| c.name).collect::<Vec<_>>())
    };
    if test == "TestListServices" {
        let services = case["services"].as_array().unwrap().iter();
        let services: Vec<_> = services.map(|s| ServiceFacts { tasks: tasks.clone(), ..service(s) }).collect();
        return same(names(&services), case["expectedServices"].clone());
    }
    let global = case["isGlobalSVC"].as_bool().unwrap();
    let service = ServiceFacts { global, tasks, ..service(&case["service"]) };
    if test == "TestListTasks" {
        return same(names(&[service]), case["expectedTasks"].clone());
    }
    for task in &service.tasks {
        let (shown, expected) = (swarm::task_container(&service, task, &networks), &case["expected"][&task.id]);
        same(json!(shown.name), expected["name"].clone())?;
        for (name, network) in expected["networkSettings"]["networks"].as_object().into_iter().flatten() {
            same(shown.networks.get(name).map(|n| n.ip.clone()), network["addr"].as_str().map(str::to_owned))?;
        }
    }
    Ok(())
}

#[test]
fn expected_failures_have_no_duplicates() {
    let names: BTreeSet<_> = EXPECTED_FAILURES.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), EXPECTED_FAILURES.len());
    assert!(EXPECTED_FAILURES.iter().all(|(_, reason)| reason.len() > 10));
}

//! Rows about retries, empty backends, health checks and cookie names.

use std::sync::Arc;
use std::time::Duration;

use ringway::backend::health::{HealthCheck, HealthOptions, status_is_healthy};
use ringway::backend::sticky;
use ringway::backend::{
    BalanceMethod, Balancer, BalancerSettings, PickError, Server, ServerState, ServerUrl, TriedServers,
};
use ringway::config::duration::GoDuration;
use ringway::middleware::retry::RetryPolicy;
use ringway::rule::{RouteOutcome as Routed, RouteRequest, Router, RouterOptions, Scratch};
use serde_json::Value;

use super::{CaseResult, same, string};

fn balancer(servers: u64, method: BalanceMethod) -> Balancer {
    let server = |number| Server {
        name: format!("s{number}"),
        url: ServerUrl::parse("http://127.0.0.1:80").unwrap(),
        weight: 1,
        state: Arc::default(),
    };
    Balancer::new((0..servers).map(server).collect(), BalancerSettings { method, ..Default::default() })
}

/// A simplified retry loop of the worker: the first servers cannot be reached, the last one responds.
pub fn retry(case: &Value, faulty: &str, attempts: &str) -> CaseResult {
    let faulty = case[faulty].as_u64().unwrap();
    let policy = RetryPolicy::new(case["maxRequestAttempts"].as_i64().unwrap(), 0);
    let balancer = balancer(faulty + 1, BalanceMethod::Wrr);
    let (mut tried, mut tries) = (TriedServers::default(), 0);
    let has_answered = loop {
        tries += 1;
        let lease = balancer.pick([].into_iter(), &tried, 0).map_err(|none| format!("{none:?}"))?;
        tried.add(lease.index);
        let has_answered = lease.index as u64 >= faulty;
        if has_answered || tries == policy.attempts() {
            break has_answered;
        }
    };
    let wanted =
        [&case["wantResponseStatus"], &case["expectedResponseStatus"]].into_iter().find_map(Value::as_u64).unwrap();
    same(has_answered, wanted < 500)?;
    same(u64::from(tries - 1), case[attempts].as_u64().unwrap())
}

pub fn empty(servers: Option<u64>, wanted: &Value) -> CaseResult {
    let picked =
        balancer(servers.unwrap_or_default(), BalanceMethod::Wrr).pick([].into_iter(), &TriedServers::default(), 0);
    let status = match picked {
        Ok(_) => 200,
        Err(PickError::NoneUp) => 503,
        Err(PickError::AllWeightsZero) => 500,
    };
    same(status, wanted.as_u64().unwrap())
}

pub fn response(case: &Value) -> CaseResult {
    if string(&case["desc"]) == "No Frontend" {
        return no_frontend(&case["expectedStatusCode"]);
    }
    empty(Some(u64::from(string(&case["desc"]) == "Ok")), &case["expectedStatusCode"])
}

fn no_frontend(wanted: &Value) -> CaseResult {
    let router: Router<()> = Router::build(Vec::new(), RouterOptions::default());
    let no_headers: [(&str, &[u8]); 0] = [];
    let info = RouteRequest { method: b"GET", host: b"h", target: b"/", headers: &no_headers };
    let routed = router.route(&info, &mut Scratch::default());
    same(matches!(routed, Routed::NotFound), wanted == 404)
}

pub fn health_sequence(case: &Value) -> CaseResult {
    let state = ServerState::default();
    state.set_up(case["startHealthy"].as_bool().unwrap());
    let (mut removed, mut restored) = (0, 0);
    for status in case["healthSequence"].as_array().unwrap() {
        let up = status_is_healthy(status.as_u64().unwrap() as u16);
        if state.set_up(up) {
            *if up { &mut restored } else { &mut removed } += 1;
        }
    }
    let wanted = |name: &str| case[name].as_u64().unwrap();
    same(u64::from(state.is_up()), wanted("expectedGaugeValue"))?;
    same((removed, restored), (wanted("expectedNumRemovedServers"), wanted("expectedNumUpsertedServers")))
}

pub fn probe(case: &Value) -> CaseResult {
    let options = &case["options"];
    let wanted = HealthOptions {
        path: string(&options["path"]),
        scheme: string(&options["scheme"]),
        port: options["port"].as_i64().unwrap_or_default(),
        hostname: string(&options["hostname"]),
        interval_nanos: None,
    };
    let headers = options["headers"].as_object().into_iter().flatten();
    let headers = headers.map(|(name, value)| (name.clone(), string(value).to_owned())).collect();
    let server = ServerUrl::parse(string(&case["serverURL"])).unwrap();
    let check = HealthCheck::new(wanted, headers, Duration::from_secs(30));
    let probe = check.and_then(|check| check.expect("a path").probe(&server));
    if case["expected"]["err"] == true {
        return same(probe.is_err(), true);
    }
    let probe = probe.map_err(|error| error.to_string())?;
    if let Some(url) = case["expected"]["value"].as_str() {
        same(probe.url.text.as_str(), url)?;
    }
    if let Some(host) = case["expectedHostname"].as_str() {
        same(probe.host.as_str(), host)?;
        let value = probe.headers.iter().find(|(name, _)| name == "Custom-Header").map(|(_, value)| value.as_str());
        same(value.unwrap_or_default(), string(&case["expectedHeader"]))?;
    }
    Ok(())
}

pub fn health_options(case: &Value) -> CaseResult {
    let (check, expected) = (&case["hc"], &case["expectedOpts"]);
    let interval_nanos = GoDuration::parse(string(&check["interval"])).ok().map(|duration| duration.0);
    let options = HealthOptions { path: string(&check["path"]), interval_nanos, ..Default::default() };
    let built = HealthCheck::new(options, Vec::new(), Duration::from_secs(15)).map_err(|error| error.to_string())?;
    let expected = GoDuration::parse(string(&expected["interval"])).ok().and_then(GoDuration::positive);
    same(built.map(|check| check.interval), expected)
}

pub fn method(case: &Value) -> CaseResult {
    let method = BalanceMethod::parse(string(&case["lb"]["method"])).unwrap_or_default();
    same(Some(method), BalanceMethod::parse(string(&case["expectedMethod"])))
}

pub fn cookie_name(case: &Value) -> CaseResult {
    match case["srcName"].as_str() {
        Some(name) => same(sticky::sanitised(name).as_str(), string(&case["expectedName"])),
        None => {
            let name = sticky::cookie_name(string(&case["cookieName"]), string(&case["backendName"]));
            same(name.as_str(), string(&case["expectedCookieName"]))
        }
    }
}

//! A backend as Traefik v1 reads it from a store (docs/reference/key-value-stores.md#backends).

use std::collections::BTreeMap;

use super::node::{KeyNode, KeyProblem, read_object};
use crate::config::dynamic::{Backend, LoadBalancer, Server};
use crate::config::labels::filter::holds;
use crate::config::labels::values::{canonical_header, split_list};
use crate::config::text::shape::Shape;

const EXTRACTOR_FUNC: &str = "request.host";
const HEALTH_CHECK_INTERVAL: &str = "30s";

/// Reads a backend. `problems` are the parts without effect: keys that no option has, and servers without an address.
pub(super) fn backend(
    keys: &BTreeMap<&str, &[u8]>,
    shape: &Shape,
    constraints: &[String],
    problems: &mut Vec<KeyProblem>,
) -> Result<Backend, KeyProblem> {
    let mut tree = KeyNode::new(keys)?;
    let chosen = take_servers(&mut tree, constraints, problems);
    let mut backend: Backend = read_object(&tree, shape, problems)?;
    let with_weight = |(name, server): (&String, &Server)| {
        let weight = if *chosen.get(name)? { server.weight } else { 1 };
        Some((name.clone(), Server { weight, ..server.clone() }))
    };
    backend.servers = backend.servers.iter().filter_map(with_weight).collect();
    keep_complete_options(&tree, &mut backend);
    Ok(backend)
}

/// The names of the servers that are used, each with whether the server has a weight. Takes their tags out of the tree.
fn take_servers(tree: &mut KeyNode, constraints: &[String], problems: &mut Vec<KeyProblem>) -> BTreeMap<String, bool> {
    let mut chosen = BTreeMap::new();
    let Some(servers) = tree.children.get_mut("servers") else { return chosen };
    for (name, server) in &mut servers.children {
        let tags = server.children.remove("tags").and_then(|tags| tags.value).unwrap_or_default();
        let key = format!("servers/{name}/url");
        if server.text("url").is_none() {
            problems.push(KeyProblem { reason: format!("{key} is missing: the server is not used"), key });
        } else if constraints.iter().all(|constraint| holds(constraint, &split_list(&tags))) {
            chosen.insert(name.clone(), server.text("weight").is_some());
        }
    }
    chosen
}

/// Traefik leaves out a table that lacks the key that it is about, and has values for the others.
fn keep_complete_options(tree: &KeyNode, backend: &mut Backend) {
    let has = |table: &str, key: &str| tree.child(table).is_some_and(|table| table.text(key).is_some());
    backend.circuit_breaker.take_if(|breaker| breaker.expression.is_empty());
    backend.response_forwarding.take_if(|forwarding| forwarding.flush_interval.is_empty());
    backend.max_conn.take_if(|_| !has("maxconn", "amount"));
    if let Some(max_conn) = backend.max_conn.as_mut().filter(|max_conn| max_conn.extractor_func.is_empty()) {
        max_conn.extractor_func = EXTRACTOR_FUNC.to_owned();
    }
    backend.health_check.take_if(|check| check.path.is_empty());
    if let Some(check) = &mut backend.health_check {
        if check.interval.is_empty() {
            check.interval = HEALTH_CHECK_INTERVAL.to_owned();
        }
        check.headers = canonical_headers(std::mem::take(&mut check.headers));
    }
    let balancer = backend.load_balancer.get_or_insert_with(LoadBalancer::default);
    if balancer.method.is_empty() {
        balancer.method = "wrr".to_owned();
    }
    // `stickiness/cookiename` alone does not switch stickiness on.
    let is_sticky = tree.child("loadbalancer").is_some_and(|balancer| balancer.text("stickiness").is_some());
    balancer.stickiness.take_if(|_| !is_sticky);
}

/// The fields under the names that Go's HTTP library gives them.
pub(super) fn canonical_headers(headers: BTreeMap<String, String>) -> BTreeMap<String, String> {
    headers.into_iter().map(|(name, value)| (canonical_header(&name), value)).collect()
}

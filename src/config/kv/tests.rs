//! Backends, frontends and certificates from keys, against Traefik v1's reading of the same keys, and configurations written and read back.

use std::collections::BTreeSet;

use super::*;
use crate::config::dynamic::DynamicConfig;
use crate::config::static_config::StaticConfig;
use crate::config::text::shape::Shape;
use crate::config::{Rejected, Severity, text};

fn tree(keys: &[(&str, &str)]) -> KeyTree {
    let mut tree = KeyTree::default();
    for (key, value) in keys {
        tree.apply("traefik", &format!("traefik/{key}"), Some(value.as_bytes().to_vec()));
    }
    tree
}

fn read(keys: &[(&str, &str)]) -> (DynamicConfig, Vec<Rejected>) {
    let tree = tree(keys);
    let mut objects = Objects::new("etcd", Vec::new());
    objects.update(&tree, &tree.objects());
    objects.document()
}

/// A frontend whose keys must all be usable.
fn frontend(keys: &[(&str, &str)]) -> crate::config::dynamic::Frontend {
    let keys: Vec<_> = keys.iter().map(|(key, value)| (format!("frontends/f/{key}"), *value)).collect();
    let keys: Vec<_> = keys.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let (dynamic, rejected) = read(&keys);
    assert_eq!(rejected, []);
    dynamic.frontends["f"].clone()
}

fn backend(keys: &[(&str, &str)]) -> crate::config::dynamic::Backend {
    let keys: Vec<_> = keys.iter().map(|(key, value)| (format!("backends/b/{key}"), *value)).collect();
    let keys: Vec<_> = keys.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let (dynamic, rejected) = read(&keys);
    assert_eq!(rejected, []);
    dynamic.backends["b"].clone()
}

#[test]
fn frontend_without_options_passes_host_and_has_no_tables() {
    let plain = frontend(&[("backend", "b"), ("routes/r/rule", "Host:a.test"), ("routes/empty/rule", "")]);
    assert!(plain.pass_host_header && plain.priority == 0 && plain.routes.iter().len() == 1);
    assert!(plain.auth.is_none() && plain.headers.is_none() && plain.white_list.is_none() && plain.redirect.is_none());
    assert!(!frontend(&[("passHostHeader", "false")]).pass_host_header, "the deprecated spelling");
    let both = frontend(&[("passHostHeader", "false"), ("passhostheader", "true")]);
    assert!(both.pass_host_header, "the current spelling counts");
}

#[test]
fn lists_are_values_with_commas_or_numbered_keys() {
    for keys in [
        &[("entrypoints", "http, https,")][..],
        &[("entrypoints/0", "http"), ("entrypoints/1", "https")],
        &[("entrypoints/10", "https"), ("entrypoints/9", "http"), ("entrypoints/11", "")],
        &[("entrypoints", "http,https"), ("entrypoints/0", "other")],
    ] {
        assert_eq!(frontend(keys).entry_points, ["http", "https"], "{keys:?}");
    }
}

#[test]
fn incomplete_tables_of_frontend_are_left_out() {
    let left = frontend(&[
        ("whitelist/usexforwardedfor", "true"),
        ("redirect/regex", "x"),
        ("redirect/permanent", "true"),
        ("ratelimit/rateset/a/average", "5"),
        ("ratelimit/rateset/a/period", "3s"),
        ("headers/sslredirect", "false"),
    ]);
    assert!(left.white_list.is_none() && left.redirect.is_none() && left.rate_limit.is_none());
    assert!(left.headers.is_none());
}

#[test]
fn middlewares_of_frontend_are_read() {
    let full = frontend(&[
        ("priority", "7"),
        ("whitelist/sourcerange", "10.0.0.0/8, 1.2.3.4"),
        ("redirect/regex", "(.*)"),
        ("redirect/replacement", "$1"),
        ("errors/network/status", "500-599"),
        ("errors/network/backend", "error"),
        ("errors/network/query", "/{status}.html"),
        ("ratelimit/extractorfunc", "client.ip"),
        ("ratelimit/rateset/a/period", "10"),
        ("ratelimit/rateset/a/average", "5"),
        ("headers/customrequestheaders/x-forwarded-by", "me"),
        ("headers/stsseconds", "42"),
        ("headers/allowedhosts", "a,b"),
        ("passtlsclientcert/infos/subject/commonname", "true"),
        ("passtlsclientcert/pem", "true"),
    ]);
    assert_eq!((full.priority, full.white_list.expect("a list").source_range.len()), (7, 2));
    assert_eq!(full.redirect.expect("a redirect").replacement, "$1");
    assert_eq!(full.errors["network"].status, ["500-599"]);
    let rate = &full.rate_limit.expect("rates").rate_set["a"];
    assert_eq!((rate.average, rate.period.0), (5, 10_000_000_000));
    let headers = full.headers.expect("headers");
    assert_eq!(headers.custom_request_headers["X-Forwarded-By"], "me");
    assert_eq!((headers.sts_seconds, headers.allowed_hosts.len()), (42, 2));
    let cert = full.pass_tls_client_cert.expect("a client certificate");
    assert!(cert.pem && cert.infos.expect("infos").subject.expect("a subject").common_name);
}

#[test]
fn basic_authentication_counts_before_digest_and_forward() {
    let keys = [
        ("auth/basic/users/0", "a:x"),
        ("auth/basic/users/1", "b:y"),
        ("auth/digest/users", "c:r:z"),
        ("auth/forward/address", "http://x"),
    ];
    let auth = frontend(&keys).auth.expect("authentication");
    assert_eq!(auth.basic.expect("basic").users, ["a:x", "b:y"]);
    assert!(auth.digest.is_none() && auth.forward.is_none());
    let auth = frontend(&keys[2..]).auth.expect("authentication");
    assert!(auth.digest.is_some() && auth.forward.is_none());
    let old = frontend(&[("basicauth", "old:x"), ("auth/basic/users", "new:y"), ("auth/basic/removeheader", "true")]);
    let basic = old.auth.expect("authentication").basic.expect("basic");
    assert_eq!((basic.users, basic.remove_header, old.basic_auth.len()), (vec!["old:x".to_owned()], true, 0));
}

#[test]
fn header_list_of_forward_authentication_is_read_with_the_dot_of_traefik() {
    for name in ["authresponseheaders", ".authresponseheaders"] {
        let key = format!("auth/forward/{name}");
        let keys = [
            ("auth/forward/address", "http://x"),
            (key.as_str(), "X-User,X-Group"),
            ("auth/forward/tls/insecureskipverify", "true"),
        ];
        let forward = frontend(&keys).auth.expect("authentication").forward.expect("forward");
        assert_eq!(forward.auth_response_headers, ["X-User", "X-Group"]);
        assert!(forward.tls.expect("tls").insecure_skip_verify);
    }
}

#[test]
fn server_without_weight_has_weight_one() {
    let servers =
        backend(&[("servers/s/url", "http://1"), ("servers/t/url", "http://2"), ("servers/t/weight", "0")]).servers;
    let weights: Vec<i64> = servers.values().map(|server| server.weight).collect();
    assert_eq!(weights, [1, 0]);
}

#[test]
fn options_of_backend_have_traefiks_defaults() {
    let full = backend(&[
        ("circuitbreaker/expression", "NetworkErrorRatio() > 0.5"),
        ("loadbalancer/stickiness", "true"),
        ("loadbalancer/stickiness/cookiename", "c"),
        ("maxconn/amount", "5"),
        ("healthcheck/path", "/health"),
        ("healthcheck/headers/x-a", "b"),
        ("buffering/retryexpression", "x"),
        ("responseforwarding/flushinterval", "10ms"),
        ("proxyprotocol", "v1"),
    ]);
    let balancer = full.load_balancer.expect("a balancer");
    assert_eq!((balancer.method.as_str(), balancer.stickiness.expect("sticky").cookie_name.as_str()), ("wrr", "c"));
    assert_eq!(full.max_conn.expect("a limit").extractor_func, "request.host");
    let check = full.health_check.expect("a check");
    assert_eq!((check.interval.as_str(), check.headers["X-A"].as_str()), ("30s", "b"));
    assert_eq!(full.response_forwarding.expect("forwarding").flush_interval, "10ms");
    assert_eq!((full.proxy_protocol.as_str(), full.buffering.is_some()), ("v1", true));
    let empty = backend(&[
        ("servers/s/url", "http://1"),
        ("loadbalancer/stickiness/cookiename", "c"),
        ("maxconn/extractorfunc", "client.ip"),
        ("healthcheck/interval", "1s"),
    ]);
    assert!(empty.max_conn.is_none() && empty.health_check.is_none() && empty.circuit_breaker.is_none());
    assert!(empty.load_balancer.expect("a balancer").stickiness.is_none(), "a cookie's name does not switch it on");
}

#[test]
fn servers_are_chosen_by_tags() {
    let tree = tree(&[
        ("backends/b/servers/s/url", "http://1"),
        ("backends/b/servers/s/tags", "api, blue-1"),
        ("backends/b/servers/t/url", "http://2"),
    ]);
    let mut objects = Objects::new("etcd", vec!["tag==blue*".to_owned()]);
    objects.update(&tree, &tree.objects());
    let (dynamic, rejected) = objects.document();
    assert_eq!(rejected, []);
    let names: Vec<&String> = dynamic.backends["b"].servers.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["s"]);
}

#[test]
fn certificates_are_read_in_the_order_of_their_numbers() {
    let (dynamic, rejected) = read(&[
        ("tls/10/certificate/certfile", "ten"),
        ("tls/10/certificate/keyfile", "k"),
        ("tls/2/entrypoints", "https,other"),
        ("tls/2/certificate/certfile", "two"),
        ("tls/2/certificate/keyfile", "k"),
        ("tls/3/certificate/certfile", "no key"),
    ]);
    let files: Vec<&str> =
        dynamic.tls.iter().filter_map(|entry| Some(entry.certificate.as_ref()?.cert_file.as_str())).collect();
    assert_eq!(files, ["two", "ten"]);
    assert_eq!(dynamic.tls[0].entry_points, ["https", "other"]);
    assert_eq!((rejected.len(), rejected[0].key.as_str()), (1, "3/certificate"));
}

#[test]
fn broken_key_rejects_its_object_alone() {
    let (dynamic, rejected) = read(&[
        ("backends/b/servers/s/url", "http://1"),
        ("backends/b/servers/no-url/weight", "1"),
        ("frontends/good/backend", "b"),
        ("frontends/bad/backend", "b"),
        ("frontends/bad/priority", "high"),
        ("frontends/odd/backend", "b"),
        ("frontends/odd/bakend", "b"),
        ("frontends/table/redirect", "https"),
    ]);
    assert_eq!(dynamic.frontends.keys().collect::<Vec<_>>(), ["good", "odd"]);
    let shown: Vec<_> = rejected.iter().map(|r| (r.name.as_str(), r.key.as_str(), r.severity)).collect();
    let expected = [
        ("backend b", "servers/no-url/url", Severity::Partial),
        ("frontend bad", "priority", Severity::Rejected),
        ("frontend odd", "bakend", Severity::Partial),
        ("frontend table", "redirect", Severity::Rejected),
    ];
    assert_eq!(shown, expected);
    assert_eq!(rejected[1].reason, "priority: no whole number: write digits only; frontend rejected");
    assert_eq!(rejected[2].reason, "unknown key bakend: did you mean backend?");
}

#[test]
fn changed_key_reads_its_object_and_no_other() {
    let mut keys = tree(&[("frontends/f/priority", "1"), ("frontends/g/priority", "x")]);
    let mut objects = Objects::new("etcd", Vec::new());
    objects.update(&keys, &keys.objects());
    assert_eq!(objects.document().1.len(), 1);
    let changed = keys.apply("traefik", "traefik/frontends/g/priority", Some(b"2".to_vec()));
    objects.update(&keys, &changed.into_iter().collect::<BTreeSet<_>>());
    let (dynamic, rejected) = objects.document();
    assert_eq!((dynamic.frontends["g"].priority, rejected.len()), (2, 0), "the report goes with its cause");
    let removed = keys.apply("traefik", "traefik/frontends/f/priority", None);
    objects.update(&keys, &removed.into_iter().collect());
    assert_eq!(objects.document().0.frontends.keys().collect::<Vec<_>>(), ["g"]);
}

/// Every option that the toml file knows, written as keys and read back, is the same.
#[test]
fn written_static_configuration_is_read_back() {
    let toml = "logLevel = 'INFO'\ndefaultEntryPoints = ['http', 'https']\ngraceTimeOut = 10\nconstraints = ['tag==a']\n\
        [entryPoints.http]\naddress = ':80'\n[entryPoints.http.redirect]\nentryPoint = 'https'\n\
        [entryPoints.Https]\naddress = ':443'\n[entryPoints.Https.tls]\n[[entryPoints.Https.tls.certificates]]\ncertFile = 'c'\nkeyFile = 'k'\n\
        [api]\n[retry]\nattempts = 3\n[accessLog.fields.names]\nClientHost = 'drop'\n[metrics.prometheus]\nbuckets = [0.1, 5.0]\n\
        [acme]\nemail = 'e'\n[[acme.domains]]\nmain = 'a.test'\nsans = ['b.test']\n[docker]\nexposedByDefault = false\n";
    let root = text::parse(toml, "t").expect("valid");
    let shape = StaticConfig::shape();
    let written = static_keys(&root, &shape, &["docker"]);
    assert_eq!(written["entrypoints/Https/tls/certificates/0/certfile"], "c");
    assert_eq!(written["api/"], "", "a table with its defaults");
    assert!(written.keys().all(|key| !key.starts_with("docker")), "{written:?}");
    let all = static_keys(&root, &shape, &[]);
    let keys: Vec<_> = all.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let (tree, mut unknown) = (tree(&keys), Vec::new());
    let node = static_node(&tree.below(""), &shape, &mut unknown).expect("usable");
    assert_eq!(unknown, []);
    let config = |node| text::read_tree::<StaticConfig>(node, toml, "t", &[]).expect("valid").value;
    assert_eq!(config(&node), config(&root));
}

#[test]
fn static_keys_that_cannot_be_used_are_named() {
    let problem = |keys: &[(&str, &str)]| {
        let mut unknown = Vec::new();
        let read = static_node(&tree(keys).below(""), &StaticConfig::shape(), &mut unknown);
        (read.err().map(|problem| problem.key), unknown.into_iter().map(|problem| problem.key).collect::<Vec<_>>())
    };
    assert_eq!(problem(&[("workers", "many")]), (Some("workers".to_owned()), vec![]));
    assert_eq!(problem(&[("entrypoints/http/adress", ":80")]), (None, vec!["entrypoints/http/adress".to_owned()]));
    assert_eq!(problem(&[("alias", "/other"), ("frontends/f/backend", "b")]), (None, vec![]));
}

#[test]
fn written_routes_mean_the_same_as_in_the_file() {
    let toml = "[backends.b.loadBalancer.stickiness]\ncookieName = 'c'\n[backends.b.servers.s]\nurl = 'http://1'\n\
        [frontends.f]\nbackend = 'b'\nentryPoints = ['http']\n[frontends.f.routes.r]\nrule = 'Host:a.test,b.test'\n\
        [frontends.f.auth.basic]\nusers = ['a:$apr1$,x']\n[[tls]]\nentryPoints = ['https']\n[tls.certificate]\ncertFile = 'c'\nkeyFile = 'k'\n";
    let second = "[frontends.f]\nbackend = 'other'\n[frontends.g]\nbackend = 'b'\npassHostHeader = true\n\
        [[tls]]\n[tls.certificate]\ncertFile = 'd'\nkeyFile = 'k'\n";
    let documents: Vec<_> = [toml, second].iter().map(|text| text::parse(text, "t").expect("valid")).collect();
    let written = dynamic_keys(&documents, &Shape::of::<DynamicConfig>());
    let keys: Vec<_> = written.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let tree = tree(&keys);
    let mut objects = Objects::new("etcd", Vec::new());
    objects.update(&tree, &tree.objects());
    let (mut from_keys, rejected) = objects.document();
    assert_eq!(rejected, []);
    let files = [toml, second].map(|text| text::FileDocument::from(text::dedicated(text, "t").expect("valid").value));
    let from_files = text::merge(files.iter().map(|file| ("t", file))).dynamic;
    // Keys always name the method, which is the default.
    for backend in from_keys.backends.values_mut() {
        backend.load_balancer.iter_mut().for_each(|balancer| balancer.method.clear());
    }
    assert_eq!(from_keys, from_files);
}

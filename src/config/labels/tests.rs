//! Tests of `config/labels`.

use std::collections::BTreeMap;

use crate::limits::{
    INHERITED_LABEL_BYTES_PER_CONTAINER_MAX, LABEL_BYTES_PER_CONTAINER_MAX, LABELS_PER_CONTAINER_MAX,
    RULE_EXPRESSIONS_MAX,
};

use super::*;

fn settings() -> DockerSettings {
    DockerSettings { domain: "test".into(), exposed_by_default: true, ..Default::default() }
}

fn container(name: &str, ip: &str, labels: &[(&str, &str)]) -> ContainerFacts {
    ContainerFacts {
        id: format!("id-{name}"),
        name: format!("/{name}"),
        labels: labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        running: true,
        networks: BTreeMap::from([(
            "bridge".to_owned(),
            NetworkFacts { id: "n".into(), ip: ip.into(), ..Default::default() },
        )]),
        ports: vec![PortFacts { port: 80, protocol: "tcp".into(), bindings: vec![] }],
        ..Default::default()
    }
}

fn urls(dynamic: &DynamicConfig, backend: &str) -> Vec<String> {
    let servers = dynamic.backends.get(backend).map(|b| b.servers.values()).into_iter().flatten();
    servers.map(|server| server.url.clone()).collect()
}

#[test]
fn plain_container_gets_frontend_of_its_name() {
    let made = translate(&[container("my_app", "10.0.0.1", &[])], &settings());
    assert_eq!(urls(&made.dynamic, "backend-my-app"), ["http://10.0.0.1:80"]);
    let frontend = &made.dynamic.frontends["frontend-Host-my-app-test-0"];
    assert_eq!(frontend.routes.get("route-frontend-Host-my-app-test-0").unwrap().rule, "Host:my-app.test");
    assert!(frontend.pass_host_header);
    assert_eq!((made.rejected.len(), made.warnings.len()), (0, 0));
}

#[test]
fn protocol_of_container_and_of_segment_becomes_scheme() {
    let labels = [("traefik.protocol", "h2c"), ("traefik.web.port", "81"), ("traefik.web.protocol", "https")];
    let made =
        translate(&[container("grpc", "10.0.0.1", &labels[..1]), container("both", "10.0.0.2", &labels)], &settings());
    assert_eq!(urls(&made.dynamic, "backend-grpc"), ["h2c://10.0.0.1:80"]);
    assert_eq!(urls(&made.dynamic, "backend-both-web"), ["https://10.0.0.2:81"], "{:?}", made.dynamic.backends);
    let segment = [("traefik.web.port", "81"), ("traefik.web.protocol", "h2c")];
    let made = translate(&[container("c", "10.0.0.3", &segment)], &settings());
    assert_eq!(urls(&made.dynamic, "backend-c-web"), ["h2c://10.0.0.3:81"], "{:?}", made.dynamic.backends);
}

#[test]
fn bad_label_rejects_whole_container_and_no_other() {
    let bad = container("bad", "10.0.0.2", &[("traefik.a.port", "80"), ("traefik.b.frontend.rule", "Path:/\\d")]);
    let good = container("good", "10.0.0.1", &[("traefik.frontend.rule", "Path:/{n:\\\\d+}")]);
    let made = translate(&[bad, good], &settings());
    assert_eq!(made.dynamic.frontends.len(), 1);
    assert_eq!(made.dynamic.backends.len(), 1);
    let rule = made.dynamic.frontends.values().next().unwrap().routes.values().next().unwrap();
    assert_eq!(rule.rule, "Path:/{n:\\d+}");
    let [rejected] = &made.rejected[..] else { panic!("one rejection expected: {:?}", made.rejected) };
    assert_eq!((rejected.provider.as_str(), rejected.name.as_str()), ("docker", "container bad"));
    for part in ["traefik.b.frontend.rule", "`Path:/\\d`", "write two"] {
        assert!(rejected.reason.contains(part), "{part:?} is missing in {}", rejected.reason);
    }
}

#[test]
fn quotes_line_breaks_and_bad_ports_reject_container() {
    for (label, value) in [
        ("traefik.frontend.rule", "Host:a\"b"),
        ("traefik.frontend.rule", "Host:a\nb"),
        ("traefik.backend.healthcheck.path", "/\\x"),
        ("traefik.frontend.headers.customRequestHeaders", ":x"),
        ("traefik.frontend.errors.e.query", "\""),
        ("traefik.protocol", "\\"),
        ("traefik.port", "abc"),
        ("traefik.port", "70000"),
        ("traefik.port", "0"),
    ] {
        // The path makes the health check exist, so that its other labels are read.
        let made = translate(&[container("c", "10.0.0.1", &[(label, value)])], &settings());
        assert_eq!(made.dynamic, DynamicConfig::default(), "{label}={value:?}");
        assert!(made.rejected[0].reason.contains(label), "{}", made.rejected[0].reason);
    }
}

#[test]
fn second_container_of_service_defines_it_if_first_is_rejected() {
    let compose = [("com.docker.compose.project", "p"), ("com.docker.compose.service", "s")];
    let bad = container(
        "one",
        "10.0.0.1",
        &[&compose[..], &[("traefik.frontend.priority", "3"), ("traefik.port", "x")]].concat(),
    );
    let good = container("two", "10.0.0.2", &compose);
    let made = translate(&[bad, good], &settings());
    assert_eq!(urls(&made.dynamic, "backend-s-p"), ["http://10.0.0.2:80"]);
    assert_eq!(made.dynamic.frontends["frontend-Host-s-p-test-1"].priority, 0);
    assert_eq!(made.rejected.len(), 1);
}

#[test]
fn containers_of_one_service_share_frontend_and_backend() {
    let compose = [("com.docker.compose.project", "my_proj"), ("com.docker.compose.service", "web_app")];
    let both = [container("b", "10.0.0.2", &compose), container("a", "10.0.0.1", &compose)];
    let made = translate(&both, &DockerSettings { domain: String::new(), ..settings() });
    assert_eq!(made.dynamic.frontends.len(), 1);
    assert_eq!(urls(&made.dynamic, "backend-web-app-my-proj").len(), 2);
    let rule = &made.dynamic.frontends.values().next().unwrap().routes.values().next().unwrap().rule;
    assert_eq!(rule, "Host:web-app.my-proj");
}

#[test]
fn shared_backend_has_one_frontend_per_container() {
    let shared = [("traefik.backend", "shared.be")];
    let heavy = [("traefik.backend", "shared.be"), ("traefik.weight", "3")];
    let made = translate(&[container("s1", "10.0.0.1", &heavy), container("s2", "10.0.0.2", &shared)], &settings());
    assert_eq!(made.dynamic.frontends.len(), 2);
    assert_eq!(urls(&made.dynamic, "backend-shared-be").len(), 2);
}

#[test]
fn segments_replace_the_container_level_frontend() {
    let labels = [
        ("traefik.a.port", "81"),
        ("traefik.b.frontend.rule", "Host:b.x"),
        ("traefik.b.backend", "bee"),
        ("traefik.frontend.priority", "7"),
        ("traefik.frontend.passHostHeader", "false"),
    ];
    let made = translate(&[container("dyn-seg", "10.0.0.1", &labels)], &settings());
    let names: Vec<_> = made.dynamic.frontends.keys().collect();
    assert_eq!(names, ["frontend-a-dyn-seg-a", "frontend-b-dyn-seg-bee"]);
    for frontend in made.dynamic.frontends.values() {
        assert_eq!((frontend.priority, frontend.pass_host_header), (7, false));
    }
    assert_eq!(urls(&made.dynamic, "backend-dyn-seg-a"), ["http://10.0.0.1:81"]);
    assert_eq!(urls(&made.dynamic, "backend-dyn-seg-bee"), ["http://10.0.0.1:80"]);
}

#[test]
fn segment_without_port_is_ignored_if_nothing_is_exposed() {
    let mut c = container("c", "10.0.0.1", &[("traefik.a.port", "81"), ("traefik.b.weight", "2")]);
    c.ports.clear();
    let made = translate(&[c], &settings());
    assert_eq!(made.dynamic.backends.keys().collect::<Vec<_>>(), ["backend-c-a"]);
    assert_eq!(made.warnings[0].diagnostic.key, "traefik.b.port", "{:?}", made.warnings);
}

#[test]
fn wrong_values_and_names_are_ignored_with_a_warning() {
    let labels = [
        ("traefik.enable", "foo"),
        ("traefik.weight", "heavy"),
        ("traefik.frontend.passhostheader", "false"),
        ("traefik.docker.network", "net2"),
    ];
    let made = translate(&[container("c", "10.0.0.1", &labels)], &settings());
    assert_eq!(made.dynamic.backends["backend-c"].servers.values().next().unwrap().weight, 1);
    assert!(made.dynamic.frontends.values().all(|frontend| frontend.pass_host_header));
    let warning = made.warnings[0].to_string();
    assert!(made.warnings.len() == 1 && warning.contains("passHostHeader?"), "{:?}", made.warnings);
    for part in ["traefik.enable", "`heavy`", "project_net"] {
        let named = made.rejected.iter().filter(|partial| partial.reason.contains(part)).collect::<Vec<_>>();
        let [partial] = named[..] else { panic!("{part}: {:?}", made.rejected) };
        assert_eq!((partial.name.as_str(), partial.severity), ("container c", Severity::Partial));
    }
}

#[test]
fn wrong_value_that_hides_a_container_is_named() {
    let mut hidden = settings();
    hidden.exposed_by_default = false;
    let bare = |labels: &[(&str, &str)]| ContainerFacts { ports: Vec::new(), ..container("c", "10.0.0.1", labels) };
    let odd_health = ContainerFacts { health: Some("odd".into()), ..container("c", "10.0.0.1", &[]) };
    for (container, settings, part) in [
        (container("c", "10.0.0.1", &[("traefik.enable", "ja")]), &hidden, "traefik.enable has the value `ja`"),
        (bare(&[("traefik.port", "http")]), &settings(), "traefik.port has the value `http`: it is no port"),
        (bare(&[("traefik.web.port", "http")]), &settings(), "traefik.web.port has the value `http`: it is no port"),
        (odd_health, &settings(), "its health is `odd`"),
    ] {
        let made = translate(&[container], settings);
        let [rejected] = &made.rejected[..] else { panic!("{part}: {:?}", made.rejected) };
        assert!(rejected.reason.contains(part) && rejected.name == "container c", "{rejected:?}");
        assert_eq!((rejected.severity, made.dynamic.frontends.len()), (Severity::Rejected, 0));
    }
    assert_eq!(translate(&[bare(&[])], &settings()).rejected, []);
}

#[test]
fn bad_escape_is_reported_for_the_text_that_has_it() {
    let mut quoted = settings();
    quoted.domain = "a\"b".into();
    for (labels, settings, name) in [
        (&[("traefik.domain", "a\"b")][..], &settings(), "label traefik.domain"),
        (
            &[("traefik.frontend.rule", "Host:a\"b"), ("traefik.domain", "x")],
            &settings(),
            "label traefik.frontend.rule",
        ),
        (&[], &quoted, "option docker.domain"),
    ] {
        let made = translate(&[container("c", "10.0.0.1", labels)], settings);
        let [rejected] = &made.rejected[..] else { panic!("{name}: {:?}", made.rejected) };
        assert!(rejected.reason.contains(name), "{name} is missing in {}", rejected.reason);
    }
}

#[test]
fn container_without_address_keeps_frontend_with_a_warning() {
    let made = translate(&[container("c", "", &[("traefik.port", "80")])], &settings());
    assert_eq!(made.dynamic.frontends.len(), 1);
    assert_eq!(urls(&made.dynamic, "backend-c"), [""; 0]);
    assert!(made.rejected[0].reason.contains("no IP address"), "{:?}", made.rejected);
    assert_eq!(made.rejected[0].severity, Severity::Partial);
}

#[test]
fn skipped_container_is_logged_only_if_meant_to_be_served() {
    let mut plain = container("database", "10.0.0.1", &[]);
    plain.ports.clear();
    assert_eq!(translate(&[plain.clone()], &settings()).warnings, []);
    plain.labels.insert("traefik.frontend.rule".into(), "Host:x".into());
    assert_eq!(translate(&[plain], &settings()).warnings[0].diagnostic.key, "traefik.port");
}

#[test]
fn stopping_container_shares_its_network_but_has_no_route() {
    let mut main = container("main", "10.0.0.7", &[]);
    main.running = false;
    let mut guest = container("guest", "", &[]);
    guest.networks.clear();
    guest.network_mode = "container:id-main".into();
    let made = translate(&[guest, main], &settings());
    assert_eq!(made.dynamic.frontends.len(), 1);
    assert_eq!(urls(&made.dynamic, "backend-guest"), ["http://10.0.0.7:80"]);
}

#[test]
fn container_beyond_label_bounds_is_rejected() {
    let named = |count: usize| -> Vec<(String, String)> {
        (0..count).map(|n| (format!("traefik.s{n}.port"), "80".to_owned())).collect()
    };
    let long =
        vec![("traefik.frontend.rule".to_owned(), format!("Host:{}", "a".repeat(LABEL_BYTES_PER_CONTAINER_MAX)))];
    let foreign = (0..2 * LABELS_PER_CONTAINER_MAX).map(|n| (format!("org.example.{n}"), String::new())).collect();
    let shared = vec![("traefik.frontend.auth.basic.users".to_owned(), "u".repeat(LABEL_BYTES_PER_CONTAINER_MAX / 2))];
    let inherited =
        [named(INHERITED_LABEL_BYTES_PER_CONTAINER_MAX / LABEL_BYTES_PER_CONTAINER_MAX * 2), shared].concat();
    let cases = [
        (named(LABELS_PER_CONTAINER_MAX + 1), "1000 labels"),
        (long, "262144 bytes are allowed"),
        (inherited, "32 segments, each of which inherits 131105 bytes"),
        (named(10), ""),
        (foreign, ""),
    ];
    for (labels, reason) in cases {
        let mut big = container("big", "10.0.0.1", &[]);
        big.labels.extend(labels);
        let made = translate(&[big, container("other", "10.0.0.2", &[])], &settings());
        assert_eq!(made.rejected.is_empty(), reason.is_empty(), "{reason}: {:?}", made.rejected);
        assert!(made.rejected.iter().all(|r| r.bound == Some(crate::limits::Bound::LabelsPerContainer)));
        assert!(made.rejected.iter().all(|r| r.name == "container big" && r.reason.contains(reason)));
        assert_eq!(urls(&made.dynamic, "backend-other"), ["http://10.0.0.2:80"]);
    }
}

/// Each expression may take megabytes and much of the control plane's time: segments must not multiply the number that one rule may have.
#[test]
fn container_expressions_are_bounded_over_all_segments() {
    let segments = |count: usize, labels: &[(&str, &str)]| {
        let of_one =
            |n: usize| labels.iter().map(move |(label, value)| (format!("traefik.s{n}.{label}"), value.to_string()));
        (0..count).flat_map(of_one).collect::<Vec<_>>()
    };
    let (one, port) = (("frontend.rule", "PathPrefix:/{n:[0-9]+}"), ("port", "80"));
    let redirect = [one, ("frontend.redirect.regex", "^a"), ("frontend.redirect.replacement", "b")];
    let with_common = |labels: Vec<(String, String)>, rule: &str| {
        [labels, vec![("traefik.frontend.rule".to_owned(), rule.to_owned())]].concat()
    };
    let half = format!("PathPrefix:{}", "/{n:[0-9]+}".repeat(RULE_EXPRESSIONS_MAX / 2));
    let cases = [
        ("as many as are allowed", segments(RULE_EXPRESSIONS_MAX, &[one]), false),
        ("one more", segments(RULE_EXPRESSIONS_MAX + 1, &[one]), true),
        ("a rule and a redirect each", segments(RULE_EXPRESSIONS_MAX / 2 + 1, &redirect), true),
        ("half of them, inherited once", with_common(segments(1, &[port]), &half), false),
        ("half of them, inherited by three", with_common(segments(3, &[port]), &half), true),
        ("none", segments(100, &[("frontend.rule", "Host:a.example")]), false),
    ];
    for (name, labels, is_rejected) in cases {
        let mut big = container("big", "10.0.0.1", &[]);
        big.labels.extend(labels);
        let made = translate(&[big, container("other", "10.0.0.2", &[])], &settings());
        let rejected: Vec<_> = made.rejected.iter().map(|r| (r.name.as_str(), r.bound)).collect();
        let expected = [("container big", Some(crate::limits::Bound::RuleExpressions))];
        assert_eq!(rejected, if is_rejected { &expected[..] } else { &[] }, "{name}");
        assert!(made.rejected.iter().all(|r| r.reason.contains("where 64 are allowed")), "{name}: {:?}", made.rejected);
        assert_eq!(urls(&made.dynamic, "backend-other"), ["http://10.0.0.2:80"], "{name}");
        assert_eq!(made.dynamic.frontends.len() == 1, is_rejected, "{name}: all of a container, or nothing");
    }
}

fn ports(container: ContainerFacts, ports: &[(u16, &str)]) -> ContainerFacts {
    let facts = |(port, protocol): &(u16, &str)| PortFacts {
        port: *port,
        protocol: (*protocol).to_owned(),
        bindings: vec![BindingFacts { host_ip: "192.0.2.1".into(), host_port: format!("4{port}") }],
    };
    ContainerFacts { ports: ports.iter().map(facts).collect(), ..container }
}

fn rules(dynamic: &DynamicConfig) -> Vec<(String, String)> {
    let rule = |frontend: &Frontend| frontend.routes.values().map(|route| route.rule.clone()).collect::<String>();
    dynamic.frontends.values().map(|frontend| (frontend.backend.clone(), rule(frontend))).collect()
}

#[test]
fn layer4_options_of_labels_are_those_of_toml() {
    let labels = [
        ("traefik.protocol", "tcp"),
        ("traefik.port", "5432"),
        ("traefik.frontend.rule", "HostSNI:db.example"),
        ("traefik.frontend.entryPoints", "https"),
        ("traefik.frontend.passthrough", "true"),
        ("traefik.frontend.alpn", "postgresql, h2"),
        ("traefik.backend.proxyProtocol", "v2"),
        ("traefik.backend.healthcheck.scheme", "tls"),
        ("traefik.backend.healthcheck.interval", "5s"),
    ];
    let made = translate(&[container("db", "10.0.0.1", &labels)], &settings());
    // The container exposes port 80 only.
    let unexposed = |warning: &ContainerWarning| warning.diagnostic.code == Code::PortNotExposed;
    assert!(made.rejected.is_empty() && made.warnings.iter().all(unexposed), "{:?}", made.warnings);
    assert_eq!(urls(&made.dynamic, "backend-db"), ["tcp://10.0.0.1:5432"]);
    let backend = &made.dynamic.backends["backend-db"];
    let check = backend.health_check.as_ref().expect("a check without a path");
    assert_eq!((backend.proxy_protocol.as_str(), check.scheme.as_str(), check.interval.as_str()), ("v2", "tls", "5s"));
    let frontend = made.dynamic.frontends.values().next().expect("a frontend");
    assert!(frontend.passthrough);
    assert_eq!(
        (&frontend.alpn[..], &frontend.entry_points[..]),
        (&["postgresql", "h2"].map(str::to_owned)[..], &["https".to_owned()][..])
    );
    let http = [("traefik.backend.healthcheck.interval", "5s")];
    let made = translate(&[container("web", "10.0.0.1", &http)], &settings());
    assert_eq!(made.dynamic.backends["backend-web"].health_check, None, "requests need a path");
}

#[test]
fn port_of_a_protocol_is_the_lowest_of_its_transport() {
    let exposed = [(53, "tcp"), (54, "udp"), (55, "udp"), (52, "sctp"), (80, "tcp")];
    let port = |labels: &[(&str, &str)]| {
        let made = translate(&[ports(container("c", "10.0.0.1", labels), &exposed)], &settings());
        assert_eq!(made.rejected, [], "{labels:?}");
        urls(&made.dynamic, "backend-c").concat()
    };
    assert_eq!(port(&[("traefik.protocol", "udp")]), "udp://10.0.0.1:54");
    assert_eq!(port(&[("traefik.protocol", "TCP")]), "TCP://10.0.0.1:53");
    assert_eq!(port(&[("traefik.frontend.rule", "HostSNI:c.example")]), "tcp://10.0.0.1:53", "the rule says tcp");
    assert_eq!(port(&[]), "http://10.0.0.1:52", "any transport, as in Traefik");
}

#[test]
fn published_address_is_that_of_the_transport() {
    let settings = DockerSettings { use_bind_port_ip: true, ..settings() };
    let mut both = ports(container("c", "10.0.0.1", &[("traefik.protocol", "udp")]), &[(53, "tcp"), (53, "udp")]);
    both.ports[0].bindings[0].host_port = "1053".into();
    both.ports[1].bindings[0].host_port = "2053".into();
    assert_eq!(urls(&translate(&[both], &settings).dynamic, "backend-c"), ["udp://192.0.2.1:2053"]);
}

#[test]
fn container_without_a_port_of_its_protocol_has_no_server_and_a_message() {
    let web =
        container("c", "10.0.0.1", &[("traefik.dns.protocol", "udp"), ("traefik.dns.frontend.entryPoints", "dns")]);
    let made = translate(&[web], &settings());
    assert!(urls(&made.dynamic, "backend-c-dns").is_empty());
    let [rejected] = &made.rejected[..] else { panic!("one message: {:?}", made.rejected) };
    assert_eq!(rejected.severity, Severity::Partial);
    assert!(rejected.reason.contains("it exposes no port of udp; set traefik.port"), "{}", rejected.reason);
}

#[test]
fn default_rule_is_that_of_the_protocol() {
    let labels = [
        ("traefik.web.port", "80"),
        ("traefik.dns.port", "53"),
        ("traefik.dns.protocol", "udp"),
        ("traefik.db.port", "5432"),
        ("traefik.db.protocol", "tcp"),
    ];
    let made = translate(&[container("all", "10.0.0.1", &labels)], &settings());
    let expected = [
        ("backend-all-db", "HostSNI:all.test"),
        ("backend-all-dns", "HostSNI:*"),
        ("backend-all-web", "Host:all.test"),
    ];
    assert_eq!(rules(&made.dynamic), expected.map(|(backend, rule)| (backend.to_owned(), rule.to_owned())));
    let no_domain = DockerSettings { domain: String::new(), ..settings() };
    let udp = [("traefik.protocol", "udp"), ("traefik.port", "53")];
    assert_eq!(translate(&[container("dns", "10.0.0.1", &udp)], &no_domain).dynamic.frontends.len(), 1);
}

#[test]
fn unavailable_containers_keep_layer4_routes_without_servers() {
    let labels = [("traefik.protocol", "udp"), ("traefik.frontend.entryPoints", "dns")];
    let gone = ports(container("dns", "10.0.0.1", &labels), &[(53, "udp")]);
    let mut live = DynamicConfig::default();
    unavailable::keep(&mut live, translate(&[gone], &settings()).dynamic);
    assert_eq!(rules(&live), [("backend-dns".to_owned(), "HostSNI:*".to_owned())]);
    assert!(live.backends["backend-dns"].servers.is_empty());
}

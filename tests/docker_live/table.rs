//! Routes from labels, networks and ports of real containers: the table of docs/reference/providers.md#examples.

use std::collections::BTreeMap;

use super::*;
use ringway::config::dynamic::Frontend;

/// Starts a container with labels below `traefik.`, and other options of `docker run`.
fn labelled(case: &Case, name: &str, image: &str, labels: &[&str], options: &[&str]) {
    let labels: Vec<String> = labels.iter().map(|label| format!("--label={label}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    case.start(name, &[&labels[..], options].concat(), image, &[]);
}

fn address(case: &Case, name: &str) -> String {
    docker(&["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", &case.name(name)]).unwrap()
}

/// The frontends of a container without segments, by their backend.
fn frontends<'a>(update: &'a ProviderUpdate, backend: &str) -> Vec<&'a Frontend> {
    update.dynamic.frontends.values().filter(|frontend| frontend.backend == backend).collect()
}

fn rule(frontend: &Frontend) -> &str {
    &frontend.routes.values().next().expect("a route").rule
}

#[tokio::test]
async fn labels_ports_and_names() {
    if !engine_answers() {
        return;
    }
    let case = Case::new("table");
    let compose = ["com.docker.compose.project=my_proj", "com.docker.compose.service=web_app"];
    labelled(&case, "noport", BARE_IMAGE, &[], &[]);
    labelled(&case, "portlabel", BARE_IMAGE, &["traefik.port=80"], &[]);
    labelled(&case, "multi", BARE_IMAGE, &[], &["--expose=8080", "--expose=443", "--expose=90/udp"]);
    labelled(&case, "disabled", IMAGE, &["traefik.enable=false"], &[]);
    labelled(&case, "badenable", IMAGE, &["traefik.enable=foo"], &[]);
    labelled(&case, "c1", IMAGE, &compose, &[]);
    labelled(&case, "c2", IMAGE, &compose, &[]);
    labelled(&case, "s1", IMAGE, &["traefik.backend=shared.be", "traefik.weight=3"], &[]);
    labelled(&case, "s2", IMAGE, &["traefik.backend=shared.be"], &[]);
    labelled(
        &case,
        "case",
        IMAGE,
        &["Traefik.Enable=false", "traefik.frontend.Rule=Host:no", "traefik.frontend.passhostheader=false"],
        &[],
    );
    labelled(&case, "dot.dot_us", IMAGE, &[], &[]);
    labelled(&case, "notag", IMAGE, &["traefik.tags=other"], &[]);
    labelled(&case, "emptyrule", IMAGE, &["traefik.frontend.rule=", "traefik.domain=my.dom"], &[]);
    labelled(&case, "badrule", IMAGE, &["traefik.frontend.rule=Bogus:foo"], &[]);
    labelled(&case, "entries", IMAGE, &["traefik.frontend.entryPoints=http,nope"], &[]);
    labelled(&case, "escaped", IMAGE, &["traefik.frontend.rule=HostRegexp:{n:\\\\d+}.test"], &[]);
    labelled(&case, "last", IMAGE, &[], &[]);
    let mut updates = follow(case.settings());
    let update = until(&mut updates, "all of them", serves(&case.backend("last"))).await;

    let backend = |name: &str| format!("backend-{}", case.name(name).replace(['.', '_'], "-"));
    for hidden in ["noport", "disabled", "notag"] {
        assert!(frontends(&update, &backend(hidden)).is_empty(), "{hidden} is served");
    }
    let url = |name: &str, port: u16| vec![format!("http://{}:{port}", address(&case, name))];
    for (name, port) in [("portlabel", 80), ("multi", 90), ("badenable", 80), ("case", 80), ("dot.dot_us", 80)] {
        assert_eq!(urls(&update.dynamic, &backend(name)), url(name, port), "{name}");
        let [frontend] = frontends(&update, &backend(name))[..] else { panic!("{name}: one frontend") };
        assert_eq!(rule(frontend), format!("Host:{}.live", case.name(name).replace('_', "-")), "{name}");
        assert!(frontend.pass_host_header, "{name}");
    }
    let web = "backend-web-app-my-proj";
    let both: Vec<String> = ["c1", "c2"].iter().flat_map(|name| url(name, 80)).collect();
    let mut given = urls(&update.dynamic, web);
    given.sort_by_key(|url| both.iter().position(|known| known == url));
    assert_eq!(given, both);
    let [frontend] = frontends(&update, web)[..] else { panic!("compose: one frontend") };
    assert_eq!(rule(frontend), "Host:web-app.my-proj.live");

    let shared = &update.dynamic.backends["backend-shared-be"];
    let weights: BTreeMap<&str, i64> = shared.servers.values().map(|s| (s.url.as_str(), s.weight)).collect();
    let expected = BTreeMap::from([(url("s1", 80)[0].clone(), 3), (url("s2", 80)[0].clone(), 1)]);
    assert!(
        weights.iter().eq(expected
            .iter()
            .map(|(url, weight)| (url.as_str(), *weight))
            .collect::<BTreeMap<_, _>>()
            .iter())
    );
    assert_eq!(frontends(&update, "backend-shared-be").len(), 2);

    let rule_of = |name: &str| rule(frontends(&update, &backend(name))[0]).to_owned();
    assert_eq!(rule_of("emptyrule"), format!("Host:{}.my.dom", case.name("emptyrule")));
    assert_eq!(rule_of("badrule"), "Bogus:foo", "listed; skipped when it is compiled");
    assert_eq!(rule_of("escaped"), "HostRegexp:{n:\\d+}.test");
    assert_eq!(frontends(&update, &backend("entries"))[0].entry_points, ["http", "nope"]);
    let [partial] = &update.rejected[..] else { panic!("one wrong value: {:?}", update.rejected) };
    assert!(partial.name.ends_with("badenable") && partial.reason.contains("traefik.enable"), "{partial:?}");
}

#[tokio::test]
async fn segments_and_networks() {
    if !engine_answers() {
        return;
    }
    let case = Case::new("nets");
    let (one, two) = (case.network("one"), case.network("two"));
    let segments = [
        "traefik.a.port=80",
        "traefik.b.port=81",
        "traefik.b.backend=bee",
        "traefik.frontend.priority=7",
        "traefik.frontend.passHostHeader=false",
    ];
    labelled(&case, "seg", IMAGE, &segments, &[]);
    labelled(&case, "host", IMAGE, &["traefik.port=12345"], &["--network=host"]);
    labelled(&case, "other", IMAGE, &["traefik.port=82"], &[&format!("--network=container:{}", case.name("seg"))]);
    labelled(&case, "two", IMAGE, &[&format!("traefik.docker.network={two}")], &[&format!("--network={one}")]);
    docker(&["network", "connect", &two, &case.name("two")]).unwrap();
    labelled(&case, "badnet", IMAGE, &["traefik.docker.network=nowhere"], &[]);
    labelled(&case, "none", IMAGE, &["traefik.port=80"], &["--network=none"]);
    labelled(&case, "ill", IMAGE, &[], &["--health-cmd=/nowhere", "--health-interval=1s", "--health-retries=1"]);
    labelled(&case, "last", IMAGE, &[], &[]);
    let mut updates = follow(case.settings());
    let update = until(&mut updates, "all of them", serves(&case.backend("last"))).await;

    let seg = case.name("seg");
    for (frontend, backend, port) in [
        (format!("frontend-a-{seg}-a"), format!("backend-{seg}-a"), 80),
        (format!("frontend-b-{seg}-bee"), format!("backend-{seg}-bee"), 81),
    ] {
        let made = update.dynamic.frontends.get(&frontend).unwrap_or_else(|| panic!("{frontend} is missing"));
        assert_eq!((made.backend.as_str(), made.priority, made.pass_host_header), (backend.as_str(), 7, false));
        assert_eq!(urls(&update.dynamic, &backend), [format!("http://{}:{port}", address(&case, "seg"))]);
    }
    assert!(frontends(&update, &case.backend("seg")).is_empty(), "segments take the container's own place");
    assert_eq!(urls(&update.dynamic, &case.backend("host")), ["http://127.0.0.1:12345"]);
    assert_eq!(urls(&update.dynamic, &case.backend("other")), [format!("http://{}:82", address(&case, "seg"))]);
    let inside = format!("{{{{(index .NetworkSettings.Networks {two:?}).IPAddress}}}}");
    let inside = docker(&["inspect", "-f", &inside, &case.name("two")]).unwrap();
    assert_eq!(urls(&update.dynamic, &case.backend("two")), [format!("http://{inside}:80")]);
    let badnet = urls(&update.dynamic, &case.backend("badnet"));
    assert_eq!(badnet, [format!("http://{}:80", address(&case, "badnet"))]);
    assert_eq!(urls(&update.dynamic, &case.backend("none")), [] as [String; 0], "no address, no server");
    assert!(frontends(&update, &case.backend("ill")).is_empty(), "not healthy, not served");
}

#[tokio::test]
async fn published_ports_and_provider_without_a_domain() {
    if !engine_answers() {
        return;
    }
    let case = Case::new("bind");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let compose = ["com.docker.compose.project=p", "com.docker.compose.service=s", "traefik.enable=T"];
    labelled(&case, "bound", IMAGE, &["traefik.frontend.rule=Path:/1"], &[&format!("--publish=127.0.0.1:{port}:80")]);
    labelled(&case, "anywhere", IMAGE, &["traefik.frontend.rule=Path:/2"], &["--publish=0.0.0.0::80"]);
    labelled(&case, "inside", IMAGE, &["traefik.frontend.rule=Path:/3"], &[]);
    labelled(&case, "ruleless", IMAGE, &["traefik.enable=T"], &[]);
    labelled(&case, "composed", IMAGE, &compose, &[]);
    let mut settings = case.settings();
    settings.labels.domain = String::new();
    settings.labels.use_bind_port_ip = true;
    let mut updates = follow(settings);
    let update = until(&mut updates, "all of them", serves("backend-s-p")).await;
    assert_eq!(urls(&update.dynamic, &case.backend("bound")), [format!("http://127.0.0.1:{port}")]);
    for name in ["anywhere", "inside"] {
        let inside = format!("http://{}:80", address(&case, name));
        assert_eq!(urls(&update.dynamic, &case.backend(name)), [inside], "{name}");
    }
    assert!(frontends(&update, &case.backend("ruleless")).is_empty(), "no rule, no domain");
    let [frontend] = frontends(&update, "backend-s-p")[..] else { panic!("compose: one frontend") };
    assert_eq!(rule(frontend), "Host:s.p");
}

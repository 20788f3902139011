//! Engines that refuse API versions, and one that is upgraded and downgraded while the provider follows it.

use std::time::Instant;

use super::scripted::{Scripted, container, inspected};
use super::{TIME_LIMIT, first_urls, follow, settings};
use ringway::control::update::ProviderUpdate;
use tokio::sync::mpsc::UnboundedReceiver;

const FIRST: &str = "http://10.1.2.1:80";
const SECOND: &str = "http://10.1.2.2:80";

/// An Engine with one container, c1.
fn engine(newest: &str, oldest: &str) -> Scripted {
    let engine = Scripted::start(newest, oldest);
    engine.answer("/containers/json", r#"[{"Id":"c1"}]"#);
    engine.answer("/containers/c1/json", &container("c1", 1));
    engine
}

/// Starts a second container, and sends its event in the given form.
fn start_second(engine: &Scripted, event: &str) {
    engine.answer("/containers/json", r#"[{"Id":"c2"},{"Id":"c1"}]"#);
    engine.answer("/containers/c2/json", &container("c2", 2));
    engine.event(event);
}

fn stop_second(engine: &Scripted) {
    engine.answer("/containers/json", r#"[{"Id":"c1"}]"#);
}

async fn until(updates: &mut UnboundedReceiver<ProviderUpdate>, wanted: &[&str]) {
    let end = Instant::now() + TIME_LIMIT;
    loop {
        let mut urls = first_urls(updates).await;
        urls.sort();
        if urls == wanted {
            return;
        }
        assert!(Instant::now() < end, "the last update has {urls:?}, and not {wanted:?}");
    }
}

/// The versions of the requests since the given number of them, each once.
fn versions(engine: &Scripted, since: usize) -> Vec<String> {
    let version =
        |path: &String| path.strip_prefix("/v").and_then(|rest| rest.split_once('/')).map(|(v, _)| v.to_owned());
    let mut versions: Vec<String> = engine.requests()[since..].iter().filter_map(version).collect();
    versions.sort();
    versions.dedup();
    versions
}

/// Docker 29 refuses versions below 1.44, which is what ended Traefik 1.7; a later one refuses all that this proxy knows.
#[tokio::test]
async fn engine_that_refuses_old_versions_is_followed() {
    for (newest, oldest, asked) in [("1.52", "1.44", "1.52"), ("1.44", "1.44", "1.44"), ("1.90", "1.70", "1.70")] {
        let engine = engine(newest, oldest);
        let mut updates = follow(settings(engine.port));
        until(&mut updates, &[FIRST]).await;
        start_second(&engine, r#"{"Type":"container","Action":"start","Actor":{"ID":"c2"},"time":1}"#);
        until(&mut updates, &[FIRST, SECOND]).await;
        assert_eq!(versions(&engine, 0), [asked], "an engine of {oldest} to {newest}");
    }
}

#[tokio::test]
async fn upgraded_and_downgraded_engine_is_asked_in_its_version_again() {
    let engine = engine("1.41", "1.12");
    let mut updates = follow(settings(engine.port));
    until(&mut updates, &[FIRST]).await;
    assert_eq!(versions(&engine, 0), ["1.41"]);

    // The new version has no top-level addresses, and events without `status`, `id` and `from`.
    let before = engine.requests().len();
    engine.restart("1.52", "1.44");
    engine.answer(
        "/containers/c1/json",
        &inspected("c1", r#""State":{"Status":"running","Running":true}"#, "10.1.2.1", "{}"),
    );
    until(&mut updates, &[FIRST]).await;
    start_second(
        &engine,
        r#"{"Type":"container","Action":"start","Actor":{"ID":"c2","Attributes":{}},"scope":"local"}"#,
    );
    until(&mut updates, &[FIRST, SECOND]).await;
    assert_eq!(versions(&engine, before), ["1.52"]);

    // The old one has them, and its events have nothing else.
    let before = engine.requests().len();
    stop_second(&engine);
    engine.restart("1.24", "1.12");
    until(&mut updates, &[FIRST]).await;
    start_second(&engine, r#"{"status":"start","id":"c2","from":"image","time":1}"#);
    until(&mut updates, &[FIRST, SECOND]).await;
    engine.event(r#"{"status":"die","id":"c2","from":"image"}"#);
    until(&mut updates, &[FIRST]).await;
    assert_eq!(versions(&engine, before), ["1.24"]);
}

/// Behind a proxy of the socket the event stream may stay open while the Engine behind it is another one.
#[tokio::test]
async fn refused_version_is_negotiated_again_without_a_broken_stream() {
    for (newest, oldest) in [("1.52", "1.44"), ("1.30", "1.12")] {
        let engine = engine("1.41", "1.12");
        let mut updates = follow(settings(engine.port));
        until(&mut updates, &[FIRST]).await;
        engine.replace(newest, oldest);
        start_second(&engine, r#"{"Type":"container","Action":"start","Actor":{"ID":"c2"}}"#);
        until(&mut updates, &[FIRST, SECOND]).await;
        let requests = engine.requests();
        assert!(requests.contains(&format!("/v{newest}/containers/c2/json")), "{requests:?}");
    }
}

#[tokio::test]
async fn swarm_service_is_read_from_an_engine_that_refuses_old_versions() {
    let engine = Scripted::start("1.52", "1.44");
    engine
        .answer("/networks", r#"[{"Id":"n1","Name":"ingress","Ingress":false},{"Id":"n2","Name":"a","Ingress":true}]"#);
    engine.answer(
        "/services",
        r#"[{"ID":"odd","Spec":5},{"ID":"s1","Spec":{"Name":"api","Labels":{"traefik.port":"81"},"Mode":{"Replicated":{}}}}]"#,
    );
    engine.answer(
        "/tasks",
        r#"[{"ID":"odd","ServiceID":["s1"]},{"ID":"t1","ServiceID":"s1","Slot":2,"Status":{"State":"running"},
        "NetworksAttachments":[{"Network":{"ID":"n2"},"Addresses":["10.255.0.4/16"]},{"Network":{"ID":"n1"},"Addresses":["fd00::4/64"]}]}]"#,
    );
    let mut settings = settings(engine.port);
    settings.labels.swarm_mode = true;
    settings.watch = false;
    // The network's own flag decides, and not its name; the address in the other one is of IPv6.
    assert_eq!(first_urls(&mut follow(settings)).await, ["http://[fd00::4]:81"]);
    assert_eq!(versions(&engine, 0), ["1.52"]);
}

/// A container of a service on a node, seen without swarm mode: networks are asked, and only for such containers.
#[tokio::test]
async fn swarm_task_without_swarm_mode_is_not_routed_through_the_ingress_network() {
    let engine = Scripted::start("1.41", "1.24");
    let task = |id: &str, labels: &str| {
        format!(
            r#"{{"Id":"{id}","Name":"/{id}","State":{{"Running":true}},"Config":{{"Labels":{{{labels}}}}},
            "NetworkSettings":{{"Ports":{{"80/tcp":null}},"Networks":{{"edge":{{"NetworkID":"n1","IPAddress":"10.0.0.5"}},
            "stack_default":{{"NetworkID":"n2","IPAddress":"10.0.1.5"}}}}}}}}"#
        )
    };
    engine.answer("/containers/json", r#"[{"Id":"c1"}]"#);
    engine.answer("/containers/c1/json", &task("c1", ""));
    engine.answer("/networks", r#"[{"Id":"n1","Name":"edge","Ingress":true},{"Id":"n2","Name":"stack_default"}]"#);
    let mut updates = follow(settings(engine.port));
    until(&mut updates, &["http://10.0.0.5:80"]).await;
    assert!(!engine.requests().iter().any(|path| path.ends_with("/networks")), "it is no task");
    engine.answer("/containers/c1/json", &task("c1", r#""com.docker.swarm.task.id":"t1""#));
    engine.event(r#"{"Type":"container","Action":"update","Actor":{"ID":"c1"}}"#);
    until(&mut updates, &["http://10.0.1.5:80"]).await;
}

/// An address of IPv6 only, in every way that an address is found.
#[tokio::test]
async fn container_with_ipv6_address_only_is_served() {
    let engine = Scripted::start("1.41", "1.24");
    let six = |id: &str, mode: &str, labels: &str, networks: &str| {
        format!(
            r#"{{"Id":"{id}","Name":"/{id}","State":{{"Running":true,"Health":{{"Status":"healthy"}}}},"HostConfig":{{"NetworkMode":"{mode}"}},
            "Config":{{"Labels":{{"traefik.port":"80"{labels}}}}},"NetworkSettings":{{"Networks":{{{networks}}}}}}}"#
        )
    };
    let network = |name: &str, ip: &str| {
        format!(r#""{name}":{{"NetworkID":"{name}","IPAddress":"","GlobalIPv6Address":"{ip}"}}"#)
    };
    let two = format!("{},{}", network("a", "fd00::a"), network("b", "fd00::b"));
    engine.answer("/containers/json", r#"[{"Id":"plain"},{"Id":"named"},{"Id":"guest"}]"#);
    engine.answer("/containers/plain/json", &six("plain", "a", "", &network("a", "fd00::1")));
    engine.answer("/containers/named/json", &six("named", "a", r#","traefik.docker.network":"b""#, &two));
    engine.answer("/containers/guest/json", &six("guest", "container:plain", r#","traefik.port":"81""#, ""));
    let mut updates = follow(settings(engine.port));
    until(&mut updates, &["http://[fd00::1]:80", "http://[fd00::1]:81", "http://[fd00::b]:80"]).await;
}

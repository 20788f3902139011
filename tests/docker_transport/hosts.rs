//! Several Docker hosts, each an Engine with canned responses.

use std::time::Instant;

use ringway::config::labels::HostSettings;
use ringway::control::docker::DockerHost;

use super::scripted::{Scripted, inspected};
use super::*;

/// A container of the service `web` with a published port.
fn published(id: &str, port: u16) -> String {
    let plain = inspected(id, r#""State":{"Running":true}"#, "172.17.0.2", r#"{"traefik.backend":"web"}"#);
    plain.replace(r#""80/tcp":null"#, &format!(r#""80/tcp":[{{"HostIp":"0.0.0.0","HostPort":"{port}"}}]"#))
}

fn engine_with(id: &str, port: u16) -> Scripted {
    let engine = Scripted::start("1.41", "1.24");
    engine.answer("/containers/json", &format!(r#"[{{"Id":"{id}"}}]"#));
    engine.answer(&format!("/containers/{id}/json"), &published(id, port));
    engine
}

fn host(name: &str, engine: &Scripted, address: &str) -> DockerHost {
    DockerHost {
        name: name.to_owned(),
        endpoint: format!("tcp://127.0.0.1:{}", engine.port),
        labels: HostSettings { address: address.to_owned(), ..HostSettings::default() },
        ..DockerHost::default()
    }
}

fn of_hosts(hosts: Vec<DockerHost>) -> DockerProviderSettings {
    let grace = Duration::from_secs(300);
    DockerProviderSettings { hosts, unavailable_grace: grace, ..settings(1) }
}

/// Waits for a configuration whose backend `web` has these servers.
async fn await_urls(updates: &mut UnboundedReceiver<ProviderUpdate>, wanted: &[&str]) -> ProviderUpdate {
    let limit = Instant::now() + 2 * TIME_LIMIT;
    loop {
        let update = timeout(limit.saturating_duration_since(Instant::now()), updates.recv()).await;
        let update = update.unwrap_or_else(|_| panic!("{wanted:?} never came")).expect("a running provider");
        let servers = update.dynamic.backends.get("backend-web").map(|backend| &backend.servers);
        let mut urls: Vec<&str> =
            servers.iter().flat_map(|servers| servers.values()).map(|server| server.url.as_str()).collect();
        urls.sort_unstable();
        if urls == wanted {
            return update;
        }
    }
}

#[tokio::test]
async fn containers_of_two_hosts_form_one_backend_and_a_lost_host_takes_its_servers_along() {
    let (a, b) = (engine_with("c1", 8001), engine_with("c2", 8002));
    let mut updates = follow(of_hosts(vec![host("a", &a, ""), host("b", &b, "10.0.0.2")]));
    let first = timeout(TIME_LIMIT, updates.recv()).await.expect("an update").expect("a running provider");
    let servers = &first.dynamic.backends["backend-web"].servers;
    assert_eq!(servers.iter().len(), 2, "the first configuration has both hosts");
    assert!(servers.iter().any(|(name, _)| name.ends_with("-a")), "{servers:?}");
    let both = ["http://10.0.0.2:8002", "http://172.17.0.2:80"];

    // A restart of the Engine that is shorter than the time until its servers leave changes nothing.
    b.restart("1.41", "1.24");
    let again = await_urls(&mut updates, &both).await;
    assert_eq!(again.dynamic.backends["backend-web"].servers, *servers);

    b.go_away();
    let away = Instant::now();
    let rest = await_urls(&mut updates, &["http://172.17.0.2:80"]).await;
    assert!(away.elapsed() < Duration::from_secs(8), "{:?}", away.elapsed());
    let left = &rest.dynamic.backends["backend-web"].servers;
    assert!(
        left.iter().all(|(name, _)| servers.iter().any(|(before, _)| before == name)),
        "the other server keeps its name"
    );

    // The rest of the first host goes on: its events are read.
    a.answer("/containers/c1/json", &published("c1", 8001).replace("172.17.0.2", "172.17.0.9"));
    a.event(r#"{"Type":"container","Action":"update","Actor":{"ID":"c1"}}"#);
    await_urls(&mut updates, &["http://172.17.0.9:80"]).await;

    b.come_back();
    await_urls(&mut updates, &["http://10.0.0.2:8002", "http://172.17.0.9:80"]).await;
}

#[tokio::test]
async fn host_that_is_away_at_the_start_does_not_keep_the_others_waiting() {
    let (a, b) = (engine_with("c1", 8001), engine_with("c2", 8002));
    b.go_away();
    let mut updates = follow(of_hosts(vec![host("a", &a, "10.0.0.1"), host("b", &b, "10.0.0.2")]));
    assert_eq!(first_urls(&mut updates).await, ["http://10.0.0.1:8001"]);
    b.come_back();
    await_urls(&mut updates, &["http://10.0.0.1:8001", "http://10.0.0.2:8002"]).await;
}

#[tokio::test]
async fn service_of_a_lost_host_alone_keeps_its_frontend_without_servers() {
    let (a, b) = (engine_with("c1", 8001), engine_with("c2", 8002));
    let own = r#"{"traefik.backend":"other","traefik.frontend.rule":"Host:other.test"}"#;
    b.answer("/containers/c2/json", &inspected("c2", r#""State":{"Running":true}"#, "10.1.2.3", own));
    let mut updates = follow(of_hosts(vec![host("a", &a, "10.0.0.1"), host("b", &b, "")]));
    let first = await_urls(&mut updates, &["http://10.0.0.1:8001"]).await;
    assert_eq!(first.dynamic.backends["backend-other"].servers.iter().len(), 1);
    b.go_away();
    let update = await_urls(&mut updates, &["http://10.0.0.1:8001"]).await;
    let update = match update.dynamic.backends["backend-other"].servers.is_empty() {
        true => update,
        false => timeout(TIME_LIMIT, updates.recv()).await.expect("an update").expect("a running provider"),
    };
    assert!(update.dynamic.backends["backend-other"].servers.is_empty());
    assert!(update.dynamic.frontends.values().any(|frontend| frontend.backend == "backend-other"));
}

#[tokio::test]
async fn only_host_keeps_plain_names_of_servers() {
    let a = engine_with("c1", 8001);
    let mut updates = follow(of_hosts(vec![host("a", &a, "10.0.0.1")]));
    let update = await_urls(&mut updates, &["http://10.0.0.1:8001"]).await;
    let name = update.dynamic.backends["backend-web"].servers.iter().next().map(|(name, _)| name.to_string());
    assert!(name.as_ref().is_some_and(|name| !name.ends_with("-a")), "{name:?}");
}

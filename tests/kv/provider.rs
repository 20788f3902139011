//! The providers with real stores: keys are served, changes are followed, a lost store costs nothing.

use std::time::{Duration, Instant};

use crate::consul::Consul;
use crate::stores::{Store, consul_token};
use crate::support::origin::Origin;
use crate::support::ringway::{Ringway, Setup};
use crate::support::wait_for;

const LIMIT: Duration = Duration::from_secs(40);

const CONFIG: &str = "providersThrottleDuration = '0s'\n[entryPoints.http]\naddress = '127.0.0.1:@http@'\n\
    [entryPoints.api]\naddress = '127.0.0.1:@api@'\n[api]\nentryPoint = 'api'\n";

fn proxy(store: &Store, options: &str) -> Ringway {
    let table = format!("[{}]\nendpoint = '127.0.0.1:1, 127.0.0.1:{}'\n{options}\n", store.table(), store.port());
    let (name, token) = consul_token();
    // The same keys are read with both spellings of the prefix.
    Setup::new("epoll", &format!("{CONFIG}{table}prefix = '/traefik'\n")).env(name, token).spawn()
}

/// Routes, a change of one, its removal, and a second spelling of the keys.
fn follows_changes(store: &Store) {
    let origin = Origin::start();
    let url = format!("http://{}", origin.address);
    store.put(&[
        ("traefik/backends/b/servers/s/url", &url),
        ("traefik/backends/b/servers/s/weight", "1"),
        ("/traefik/frontends/f/backend", "b"),
        ("/traefik/frontends/f/routes/r/rule", "Host:a.test"),
    ]);
    let proxy = proxy(store, "");
    proxy.await_status("a.test", "200");
    // Three changes in a row; each is served within the second that the log shows, on an idle machine.
    for name in ["b.test", "c.test", "d.test"] {
        let began = Instant::now();
        store.put(&[("/traefik/frontends/f/routes/r/rule", &format!("Host:{name}"))]);
        let written = began.elapsed();
        proxy.await_status(name, "200");
        println!("{}: written in {written:?}, served {:?} later", store.table(), began.elapsed() - written);
    }
    proxy.await_status("a.test", "404");
    store.put(&[("traefik/frontends/broken/backend", "b"), ("traefik/frontends/broken/priority", "high")]);
    wait_for("the broken key is shown", LIMIT, || {
        let rejected = proxy.page("/api/rejected");
        let is_shown = rejected.contains("frontend broken") && rejected.contains("priority: no whole number");
        is_shown.then_some(()).ok_or(rejected)
    });
    proxy.await_status("d.test", "200");
    store.delete("traefik/backends/b/servers/s/url");
    proxy.await_status("d.test", "503");
}

/// The alias switches to another prefix and back, with and without a slash at its beginning.
fn follows_alias(store: &Store) {
    let origin = Origin::start();
    let url = format!("http://{}", origin.address);
    store.put(&[
        ("traefik/backends/b/servers/s/url", &url),
        ("traefik/frontends/f/backend", "b"),
        ("traefik/frontends/f/routes/r/rule", "Host:main.test"),
        ("configurations/1/backends/b/servers/s/url", &url),
        ("configurations/1/frontends/f/backend", "b"),
        ("configurations/1/frontends/f/routes/r/rule", "Host:one.test"),
        ("configurations/2/backends/b/servers/s/url", &url),
        ("configurations/2/frontends/g/backend", "b"),
        ("configurations/2/frontends/g/routes/r/rule", "Host:two.test"),
    ]);
    let proxy = proxy(store, "");
    proxy.await_status("main.test", "200");
    for (alias, there, gone) in
        [("/configurations/1", "one.test", "main.test"), ("configurations/2/", "two.test", "one.test")]
    {
        store.put(&[("traefik/alias", alias)]);
        proxy.await_status(there, "200");
        proxy.await_status(gone, "404");
    }
    store.delete("traefik/alias");
    proxy.await_status("main.test", "200");
    proxy.await_status("two.test", "404");
}

/// A store that goes away costs no route; when it is there again, what has changed meanwhile is served.
fn survives_loss(mut store: Store) {
    let origin = Origin::start();
    let url = format!("http://{}", origin.address);
    store.put(&[
        ("traefik/backends/b/servers/s/url", &url),
        ("traefik/frontends/f/backend", "b"),
        ("traefik/frontends/f/routes/r/rule", "Host:a.test"),
    ]);
    let proxy = proxy(&store, "");
    proxy.await_status("a.test", "200");
    store.stop();
    proxy.await_log("the last configuration is kept", 1);
    proxy.await_status("a.test", "200");
    store.start_again();
    store.put(&[("traefik/frontends/f/routes/r/rule", "Host:b.test")]);
    proxy.await_status("b.test", "200");
    proxy.await_status("a.test", "404");
    // The changes are followed again.
    store.put(&[("traefik/frontends/f/routes/r/rule", "Host:c.test")]);
    proxy.await_status("c.test", "200");
}

fn without_watch_reads_once(store: &Store) {
    let origin = Origin::start();
    let url = format!("http://{}", origin.address);
    store.put(&[
        ("traefik/backends/b/servers/s/url", &url),
        ("traefik/frontends/f/backend", "b"),
        ("traefik/frontends/f/routes/r/rule", "Host:a.test"),
    ]);
    let proxy = proxy(store, "watch = false");
    proxy.await_status("a.test", "200");
    store.put(&[("traefik/frontends/f/routes/r/rule", "Host:b.test")]);
    std::thread::sleep(Duration::from_secs(2));
    proxy.await_status("a.test", "200");
    proxy.await_status("b.test", "404");
}

#[test]
fn etcd_keys_are_served_and_followed() {
    let Some(store) = Store::etcd_or_skip() else { return };
    follows_changes(&store);
}

#[test]
fn etcd_alias_switches_prefixes() {
    let Some(store) = Store::etcd_or_skip() else { return };
    follows_alias(&store);
}

#[test]
fn etcd_that_is_lost_costs_no_route() {
    let Some(store) = Store::etcd_or_skip() else { return };
    survives_loss(store);
}

#[test]
fn etcd_without_watch_is_read_once() {
    let Some(store) = Store::etcd_or_skip() else { return };
    without_watch_reads_once(&store);
}

#[test]
fn redis_keys_are_served_and_followed() {
    let Some(store) = Store::redis_or_skip() else { return };
    follows_changes(&store);
}

#[test]
fn redis_alias_switches_prefixes() {
    let Some(store) = Store::redis_or_skip() else { return };
    follows_alias(&store);
}

#[test]
fn redis_that_is_lost_costs_no_route() {
    let Some(store) = Store::redis_or_skip() else { return };
    survives_loss(store);
}

#[test]
fn zookeeper_keys_are_served_and_followed() {
    let Some(store) = Store::zookeeper_or_skip() else { return };
    follows_changes(&store);
}

#[test]
fn zookeeper_that_is_lost_costs_no_route() {
    let Some(store) = Store::zookeeper_or_skip() else { return };
    survives_loss(store);
}

#[test]
fn consul_keys_are_served_and_followed() {
    follows_changes(&Store::Consul(Consul::start()));
}

#[test]
fn consul_alias_switches_prefixes() {
    follows_alias(&Store::Consul(Consul::start()));
}

#[test]
fn consul_that_is_lost_costs_no_route() {
    survives_loss(Store::Consul(Consul::start()));
}

#[test]
fn consul_without_token_is_reported_with_the_variable_to_set() {
    let store = Store::Consul(Consul::start());
    let table = format!("[consul]\nendpoint = '127.0.0.1:{}'\n", store.port());
    let proxy = Setup::new("epoll", &format!("{CONFIG}{table}")).spawn();
    proxy.await_log("set CONSUL_HTTP_TOKEN", 1);
}

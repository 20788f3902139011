//! The static configuration in a store, and `storeconfig`.

use crate::consul::Consul;
use crate::stores::{Store, consul_token};
use crate::support::origin::Origin;
use crate::support::ringway::{Setup, ringway, run_with_config};

/// The flags of a store, with a first endpoint that nobody listens on.
fn flags(store: &Store) -> [String; 2] {
    let (table, port) = (store.table(), store.port());
    [format!("--{table}"), format!("--{table}.endpoint=127.0.0.1:1,127.0.0.1:{port}")]
}

/// Stores a configuration with routes, then starts a proxy that has flags only.
fn stored_configuration_runs(store: &Store) {
    let origin = Origin::start();
    let proxy = Setup::new("epoll", "").env(consul_token().0, consul_token().1);
    let config = format!(
        "defaultEntryPoints = ['http']\n[entryPoints.http]\naddress = '127.0.0.1:{}'\n[entryPoints.Api]\naddress = '127.0.0.1:{}'\n\
         [api]\nentryPoint = 'Api'\n[file]\n[backends.b.servers.s]\nurl = 'http://{}'\n[frontends.f]\nbackend = 'b'\n\
         [frontends.f.routes.r]\nrule = 'Host:a.test,b.test'\n",
        proxy.http, proxy.api, origin.address
    );
    let [table, endpoint] = flags(store);
    let (code, text) = run_with_config(&["storeconfig", &table, &endpoint], &config);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("traefik/entrypoints/Api/address is written"), "{text}");
    let proxy =
        proxy.under(&["sh", "-c", "exec \"$0\" --driver=epoll \"$1\" \"$2\"", &program(), &table, &endpoint]).spawn();
    proxy.await_status("b.test", "200");
    let providers = proxy.page("/api/providers");
    assert!(!providers.contains("\"passHostHeader\""), "as in the file: {providers}");
}

fn program() -> String {
    env!("CARGO_BIN_EXE_ringway").to_owned()
}

#[test]
fn configuration_stored_in_etcd_runs_with_flags_alone() {
    let Some(store) = Store::etcd_or_skip() else { return };
    stored_configuration_runs(&store);
}

#[test]
fn configuration_stored_in_redis_runs_with_flags_alone() {
    let Some(store) = Store::redis_or_skip() else { return };
    stored_configuration_runs(&store);
}

#[test]
fn configuration_stored_in_zookeeper_runs_with_flags_alone() {
    let Some(store) = Store::zookeeper_or_skip() else { return };
    stored_configuration_runs(&store);
}

#[test]
fn storeconfig_without_token_is_refused_with_the_variable_to_set() {
    let store = Store::Consul(Consul::start());
    let [table, endpoint] = flags(&store);
    let (code, text) = run_with_config(&["storeconfig", &table, &endpoint], "logLevel = 'INFO'\n");
    assert_eq!(code, Some(1));
    assert!(text.contains("set CONSUL_HTTP_TOKEN"), "{text}");
}

#[test]
fn storeconfig_without_store_says_what_to_add() {
    let output = ringway(&["storeconfig", "--configFile=/dev/null"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--etcd --etcd.endpoint="), "{output:?}");
}

#[test]
fn proxy_waits_for_store_that_is_not_there_yet() {
    let Some(mut store) = Store::etcd_or_skip() else { return };
    store.put(&[("traefik/loglevel", "INFO")]);
    store.stop();
    let [table, endpoint] = flags(&store);
    let config = "[entryPoints.http]\naddress = '127.0.0.1:@http@'\n";
    let proxy = Setup::new("epoll", config).under(&["sh", "-c", "exec \"$@\" \"$0\"", &endpoint]).spawn();
    // The table comes with the endpoint's flag; the bare flag of v1 is tested above.
    let _ = table;
    proxy.await_log("the configuration cannot be read from the store, which is tried again", 1);
    store.start_again();
    proxy.await_log("Ringway version", 1);
}

#[test]
fn acme_account_is_stored_once_and_replaced_on_demand_only() {
    let Some(store) = Store::etcd_or_skip() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("acme.json");
    let account =
        |email: &str| format!(r#"{{"Account":{{"Email":"{email}","PrivateKey":"MII"}},"Certificates":null}}"#);
    let [table, endpoint] = flags(&store);
    let run = |email: &str, option: &str| {
        std::fs::write(&file, account(email)).expect("written");
        let config = format!(
            "[acme]\nemail = 'a@b.test'\nentryPoint = 'http'\nstorage = '/traefik/acme/account'\nstorageFile = '{}'\n{option}\n\
             [acme.httpChallenge]\nentryPoint = 'http'\n",
            file.display()
        );
        run_with_config(&["storeconfig", &table, &endpoint], &config)
    };
    let (code, text) = run("first@b.test", "");
    assert!(code == Some(0) && text.contains("traefik/acme/account/object is written"), "{text}");
    assert!(!text.contains("storagefile"), "{text}");
    let (code, text) = run("second@b.test", "");
    assert!(code == Some(0) && text.contains("object exists, and is kept"), "{text}");
    let (code, text) = run("third@b.test", "overrideCertificates = true");
    assert!(code == Some(0) && text.contains("object is written"), "{text}");
}

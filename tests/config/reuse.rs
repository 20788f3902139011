//! A snapshot takes unchanged frontends and backends over from the one before, and reports the same as one compiled from nothing.

use std::sync::Arc;

use ringway::config::snapshot::{Frontend, Snapshot};

use super::compiled;

const ROUTES: &str = r#"
defaultEntryPoints = ["http"]
[entryPoints.http]
address = ":8080"
[file]
[backends.a.servers.s]
url = "http://127.0.0.1:1"
[backends.b.servers.s]
url = "http://127.0.0.1:2"
[backends.b.healthcheck]
path = "/"
interval = "never"
[frontends.fa]
backend = "a"
[frontends.fa.routes.r]
rule = "Host:a.test"
[frontends.fb]
backend = "b"
[frontends.fb.routes.r]
rule = "Host:b.test"
[frontends.fc]
backend = "a"
basicAuth = ["u:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"]
[frontends.fc.routes.r]
rule = "Host:c.test"
[frontends.fd]
backend = "a"
[frontends.fd.rateLimit]
extractorFunc = "client.ip"
[frontends.fd.rateLimit.rateSet.one]
period = "10s"
average = 5
burst = 5
[frontends.fd.routes.r]
rule = "Host:d.test"
[frontends.fe]
backend = "a"
[frontends.fe.errors.page]
status = ["500"]
backend = "b"
query = "/"
[frontends.fe.routes.r]
rule = "Host:e.test"
"#;

fn frontend<'s>(snapshot: &'s Snapshot, name: &str) -> &'s Arc<Frontend> {
    snapshot.routers[0].values().find(|frontend| frontend.name == name).expect("the frontend")
}

/// The frontends that `after` has taken over from `before`, and those that were compiled again.
fn reused<'s>(before: &Snapshot, after: &'s Snapshot) -> (Vec<&'s str>, Vec<&'s str>) {
    let names = after.frontends.iter().map(|(_, name)| name.as_str());
    names.partition(|name| Arc::ptr_eq(frontend(before, name), frontend(after, name)))
}

fn reports(snapshot: &Snapshot) -> Vec<String> {
    snapshot.rejected.iter().map(|rejected| format!("{}: {}", rejected.name, rejected.reason)).collect()
}

#[test]
fn unchanged_frontends_without_files_pages_and_reports_are_taken_over() {
    let first = compiled(ROUTES, &Snapshot::empty(1));
    let second = compiled(ROUTES, &first);
    assert_eq!(reused(&first, &second), (vec!["fa", "fd"], vec!["fb", "fc", "fe"]));
    assert_eq!(reports(&first).len(), 1, "{:?}", reports(&first));
    assert_eq!(reports(&second), reports(&first));
    let backend = |snapshot: &Snapshot, at: usize| Arc::clone(&snapshot.backends[at]);
    assert!(Arc::ptr_eq(&backend(&first, 0), &backend(&second, 0)));
    assert!(!Arc::ptr_eq(&backend(&first, 1), &backend(&second, 1)), "its report must be made again");
    assert!(
        frontend(&second, "fe")
            .slow
            .as_ref()
            .is_some_and(|slow| Arc::ptr_eq(slow.pages[0].backend.as_ref().expect("a backend"), &backend(&second, 1)))
    );
}

#[test]
fn changed_backend_compiles_all_its_frontends_again() {
    let first = compiled(ROUTES, &Snapshot::empty(1));
    let second = compiled(&ROUTES.replace("127.0.0.1:1\"", "127.0.0.1:3\""), &first);
    assert_eq!(reused(&first, &second).0, [""; 0]);
    assert_eq!(frontend(&second, "fa").backend.endpoints[0].url, "http://127.0.0.1:3");
}

#[test]
fn changed_rule_compiles_its_frontend_alone() {
    let first = compiled(ROUTES, &Snapshot::empty(1));
    let second = compiled(&ROUTES.replace("Host:a.test", "Host:x.test"), &first);
    assert_eq!(reused(&first, &second).0, ["fd"]);
    let third = compiled(&ROUTES.replace("Host:a.test", "Host:x.test"), &second);
    assert_eq!(reused(&second, &third).0, ["fa", "fd"]);
}

#[test]
fn frontend_whose_number_changes_is_compiled_again() {
    let first = compiled(ROUTES, &Snapshot::empty(1));
    let more = format!("{ROUTES}[frontends.f0]\nbackend = 'a'\n[frontends.f0.routes.r]\nrule = 'Host:0.test'\n");
    let second = compiled(&more, &first);
    for (number, (_, name)) in second.frontends.iter().enumerate() {
        assert_eq!(frontend(&second, name).number, number, "{name}");
        assert!(Arc::ptr_eq(
            &second.backends[frontend(&second, name).backend.number],
            &frontend(&second, name).backend
        ));
    }
}

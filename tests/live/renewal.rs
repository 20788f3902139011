//! Files that the configuration refers to, renewed while the proxy runs: certificates, keys, users.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::{run, stdout_of, wait_for};
use crate::traffic::certificate;

const CONFIG: &str = r#"
defaultEntryPoints = ["http", "https"]
logLevel = "INFO"
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.https]
address = "127.0.0.1:@https@"
[entryPoints.https.tls]
[[entryPoints.https.tls.certificates]]
certFile = "@dir@/one.pem"
keyFile = "@dir@/one.key"
[file]
filename = "@dir@/routes.toml"
watch = true
"#;

const ROUTES: &str = r#"
[[tls]]
[tls.certificate]
certFile = "@dir@/two.pem"
keyFile = "@dir@/two.key"
[backends.one.servers.a]
url = "http://@origin@"
[frontends.all]
backend = "one"
[frontends.all.routes.r]
rule = "PathPrefix:/"
[frontends.auth]
backend = "one"
[frontends.auth.routes.r]
rule = "PathPrefix:/auth"
[frontends.auth.auth.basic]
usersFile = "@dir@/users"
"#;

/// Two looks at the files, five seconds apart, and a slow machine.
const PATIENCE: Duration = Duration::from_secs(40);

fn start(driver: &str, origin: &Origin) -> Ringway {
    let setup = Setup::new(driver, CONFIG);
    let folder = setup.folder.path().display().to_string();
    let routes = ROUTES.replace("@origin@", &origin.address.to_string()).replace("@dir@", &folder);
    let setup = setup.file("routes.toml", routes).file("users", user("ann"));
    certificate(setup.folder.path(), "one", "one.example");
    certificate(setup.folder.path(), "two", "two.example");
    setup.start()
}

fn user(name: &str) -> String {
    stdout_of("htpasswd", &["-nbs", name, "secret"])
}

/// The fingerprint of the certificate that the proxy shows for a name.
fn shown(proxy: &Ringway, name: &str) -> String {
    let address = format!("127.0.0.1:{}", proxy.https);
    let shell = format!(
        "echo | timeout 10 openssl s_client -connect {address} -servername {name} | openssl x509 -noout -fingerprint"
    );
    String::from_utf8_lossy(&run("sh", &["-c", &shell]).stdout).trim().to_owned()
}

/// Of the certificate that lies in the folder.
fn lying(proxy: &Ringway, file: &str) -> String {
    let path = proxy.file(file).display().to_string();
    stdout_of("openssl", &["x509", "-noout", "-fingerprint", "-in", &path]).trim().to_owned()
}

fn await_shown(proxy: &Ringway, name: &str, fingerprint: &str) {
    wait_for(&format!("{fingerprint} for {name}"), PATIENCE, || {
        let now = shown(proxy, name);
        if now == fingerprint { Ok(()) } else { Err(format!("{now}: {}", proxy.log())) }
    });
}

fn status_of(proxy: &Ringway, name: &str) -> String {
    proxy.curl(&["-o", "/dev/null", "-w", "%{http_code}", "-u", &format!("{name}:secret"), &proxy.url("/auth")])
}

fn renewed_and_broken(driver: &str) {
    let origin = Origin::start();
    let proxy = start(driver, &origin);
    assert_eq!(
        (shown(&proxy, "one.example"), shown(&proxy, "two.example")),
        (lying(&proxy, "one.pem"), lying(&proxy, "two.pem"))
    );
    assert_eq!((status_of(&proxy, "ann"), status_of(&proxy, "bob")), ("200".to_owned(), "401".to_owned()));

    certificate(proxy.folder.path(), "one", "one.example");
    certificate(proxy.folder.path(), "two", "two.example");
    fs::write(proxy.file("users"), user("bob")).expect("written");
    let (one, two) = (lying(&proxy, "one.pem"), lying(&proxy, "two.pem"));
    await_shown(&proxy, "one.example", &one);
    await_shown(&proxy, "two.example", &two);
    assert_eq!((status_of(&proxy, "ann"), status_of(&proxy, "bob")), ("401".to_owned(), "200".to_owned()));

    fs::write(proxy.file("one.pem"), "half a certif").expect("written");
    fs::remove_file(proxy.file("two.key")).expect("removed");
    wait_for("both are said", PATIENCE, || {
        let log = proxy.log();
        let said = ["entry point https: certificate:", "provider file: [[tls]]: certificate:"].iter().all(|place| {
            log.lines().any(|line| line.contains(place) && line.contains("the one read before stays in use"))
        });
        if said { Ok(()) } else { Err(log) }
    });
    assert_eq!((shown(&proxy, "one.example"), shown(&proxy, "two.example")), (one, two), "{driver}");

    certificate(proxy.folder.path(), "one", "one.example");
    await_shown(&proxy, "one.example", &lying(&proxy, "one.pem"));
}

#[test]
fn renewed_files_are_in_use_without_a_reload_and_broken_ones_change_nothing() {
    thread::scope(|scope| {
        for driver in DRIVERS {
            scope.spawn(move || renewed_and_broken(driver));
        }
    });
}

//! Files that the configuration refers to, renewed while the proxy runs: certificates, keys, users.

use std::fs;
use std::path::Path;
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
[entryPoints.https.tls.defaultCertificate]
certFile = "@dir@/three.pem"
keyFile = "@dir@/three.key"
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

/// Two polls of the files, five seconds apart, and a margin for a slow machine.
const TIME_LIMIT: Duration = Duration::from_secs(40);

fn start(driver: &str, origin: &Origin) -> Ringway {
    let setup = Setup::new(driver, CONFIG);
    let folder = setup.folder.path().display().to_string();
    let routes = ROUTES.replace("@origin@", &origin.address.to_string()).replace("@dir@", &folder);
    let setup = setup.file("routes.toml", routes).file("users", user("ann"));
    renew(setup.folder.path());
    setup.start()
}

/// The base name of each certificate file, and the server name of the certificate.
const CERTIFICATES: [(&str, &str); 3] = [("one", "one.example"), ("two", "two.example"), ("three", "default.example")];

fn renew(folder: &Path) {
    CERTIFICATES.iter().for_each(|(file, name)| certificate(folder, file, name));
}

fn user(name: &str) -> String {
    stdout_of("htpasswd", &["-nbs", name, "secret"])
}

/// The fingerprint of the certificate that the proxy presents for a server name.
fn presented(proxy: &Ringway, name: &str) -> String {
    let address = format!("127.0.0.1:{}", proxy.https);
    let shell = format!(
        "echo | timeout 10 openssl s_client -connect {address} -servername {name} | openssl x509 -noout -fingerprint"
    );
    String::from_utf8_lossy(&run("sh", &["-c", &shell]).stdout).trim().to_owned()
}

/// The fingerprint of the certificate in a file.
fn stored(proxy: &Ringway, file: &str) -> String {
    let path = proxy.file(file).display().to_string();
    stdout_of("openssl", &["x509", "-noout", "-fingerprint", "-in", &path]).trim().to_owned()
}

fn await_presented(proxy: &Ringway, name: &str, fingerprint: &str) {
    wait_for(&format!("{fingerprint} for {name}"), TIME_LIMIT, || {
        let now = presented(proxy, name);
        if now == fingerprint { Ok(()) } else { Err(format!("{now}: {}", proxy.log())) }
    });
}

/// Waits until the proxy presents the certificates of all three files.
fn await_renewed(proxy: &Ringway) {
    for (file, name) in CERTIFICATES {
        await_presented(proxy, name, &stored(proxy, &format!("{file}.pem")));
    }
}

/// Waits until `/auth` gives these users these statuses.
fn await_statuses(proxy: &Ringway, wanted: [(&str, &str); 2]) {
    let status = |name: &str| {
        let credentials = format!("{name}:secret");
        proxy.curl(&["-o", "/dev/null", "-w", "%{http_code}", "-u", &credentials, &proxy.url("/auth")])
    };
    wait_for(&format!("{wanted:?}"), TIME_LIMIT, || {
        let got = wanted.map(|(name, _)| status(name));
        if got == wanted.map(|(_, status)| status.to_owned()) {
            Ok(())
        } else {
            Err(format!("{got:?}: {}", proxy.log()))
        }
    });
}

fn renewed_and_broken(driver: &str) {
    let origin = Origin::start();
    let proxy = start(driver, &origin);
    await_renewed(&proxy);
    await_statuses(&proxy, [("ann", "200"), ("bob", "401")]);

    renew(proxy.folder.path());
    fs::write(proxy.file("users"), user("bob")).expect("written");
    await_renewed(&proxy);
    await_statuses(&proxy, [("ann", "401"), ("bob", "200")]);

    let before = CERTIFICATES.map(|(_, name)| presented(&proxy, name));
    let already = proxy.log().len();
    fs::write(proxy.file("one.pem"), "half a certif").expect("written");
    fs::remove_file(proxy.file("two.key")).expect("removed");
    fs::remove_file(proxy.file("users")).expect("removed");
    wait_for("all failures are logged", TIME_LIMIT, || {
        let log = proxy.log().split_off(already);
        let stays = "keeping the previous certificate";
        let said = [
            ("entry point https: certificate:", stays),
            ("[[tls]]: certificate:", stays),
            ("usersFile", "no user of its usersFile can log in"),
        ];
        let is_logged =
            |(place, outcome): &(&str, &str)| log.lines().any(|line| line.contains(place) && line.contains(outcome));
        if said.iter().all(is_logged) { Ok(()) } else { Err(log) }
    });
    assert_eq!(CERTIFICATES.map(|(_, name)| presented(&proxy, name)), before, "{driver}");
    // The other frontend would serve the request to every client.
    await_statuses(&proxy, [("ann", "401"), ("bob", "401")]);

    renew(proxy.folder.path());
    fs::write(proxy.file("users"), user("ann")).expect("written");
    await_renewed(&proxy);
    await_statuses(&proxy, [("ann", "200"), ("bob", "401")]);
}

#[test]
fn renewed_files_apply_without_reload_and_broken_ones_do_not() {
    thread::scope(|scope| {
        for driver in DRIVERS {
            scope.spawn(move || renewed_and_broken(driver));
        }
    });
}

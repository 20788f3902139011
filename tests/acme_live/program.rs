//! The built program: tls-alpn-01 beside ordinary traffic, renewals while requests go on, a file of Traefik, the commands.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::TIME_LIMIT;
use crate::authority::Authority;
use crate::running::*;
use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::{run, wait_for};

const CONFIG: &str = r#"
defaultEntryPoints = ["http", "https"]
logLevel = "INFO"
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.https]
address = "127.0.0.1:@https@"
[entryPoints.https.tls]
[entryPoints.traefik]
address = "127.0.0.1:@api@"
[api]
[metrics.prometheus]
[acme]
email = "someone@a.example"
storage = "@dir@/acme.json"
entryPoint = "https"
caServer = "https://127.0.0.1:@pebble@/dir"
keyType = "EC256"
onHostRule = true
onIssued = "@dir@/issued.sh first"
@challenge@
[file]
filename = "@dir@/routes.toml"
"#;

const ROUTES: &str = r#"
[backends.one.servers.a]
url = "http://@origin@"
[frontends.all]
backend = "one"
[frontends.all.routes.r]
rule = "Host:a.test,b.test"
"#;

fn setup(driver: &str, authority: &Authority, origin: &Origin, challenge: &str) -> Setup {
    let setup = Setup::new(driver, CONFIG).fill("@pebble@", authority.port).fill("@challenge@", challenge);
    let folder = setup.folder.path().to_owned();
    let script = format!("#!/bin/sh\necho \"$1 $RINGWAY_CERTIFICATE_NAMES\" >> {}/issued\n", folder.display());
    let setup = setup.file("routes.toml", ROUTES.replace("@origin@", &origin.address.to_string()));
    let setup = setup.file("issued.sh", script).env("LEGO_CA_CERTIFICATES", authority.path("server.pem").display());
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder.join("issued.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    setup
}

/// The names and the issuer of the certificate that the proxy presents.
fn presented(proxy: &Ringway, name: &str) -> String {
    let shell = format!(
        "echo | timeout 10 openssl s_client -connect 127.0.0.1:{} -servername {name} 2>/dev/null | openssl x509 -noout -issuer -ext subjectAltName",
        proxy.https
    );
    String::from_utf8_lossy(&run("sh", &["-c", &shell]).stdout).trim().to_owned()
}

/// Requests over TLS on new connections until the flag is set. Returns how many were answered; each failure is a line.
fn request_until(stop: &Arc<AtomicBool>, https: u16) -> thread::JoinHandle<(usize, Vec<String>)> {
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        let (resolve, url) = (format!("a.test:{https}:127.0.0.1"), format!("https://a.test:{https}/"));
        let (mut answered, mut failures) = (0, Vec::new());
        while !stop.load(SeqCst) {
            let output = run(
                "curl",
                &["-sSk", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code}", "--resolve", &resolve, &url],
            );
            match output.stdout == b"200" {
                true => answered += 1,
                false => failures.push(String::from_utf8_lossy(&output.stderr).into_owned()),
            }
        }
        (answered, failures)
    })
}

#[test]
fn tls_challenge_is_answered_beside_ordinary_traffic() {
    for driver in DRIVERS {
        let Some(mut authority) = Authority::start() else { return };
        let origin = Origin::start();
        let setup = setup(driver, &authority, &origin, "[acme.tlsChallenge]");
        authority.validate_on(setup.https);
        let proxy = setup.start();
        let stop = Arc::new(AtomicBool::new(false));
        let requests = request_until(&stop, proxy.https);
        proxy.await_log("certificate obtained for a.test, b.test", 1);
        wait_for("the certificate", TIME_LIMIT, || match presented(&proxy, "b.test") {
            shown if shown.contains("DNS:a.test, DNS:b.test") && shown.contains("Pebble") => Ok(()),
            shown => Err(shown),
        });
        stop.store(true, SeqCst);
        let (answered, failures) = requests.join().unwrap();
        assert!(answered > 0 && failures.is_empty(), "{driver}: {answered} answered, {failures:?}");
        // After the challenge the protocol is refused: no certificate of a challenge is left.
        let shell = format!(
            "echo | timeout 10 openssl s_client -connect 127.0.0.1:{} -servername a.test -alpn acme-tls/1 2>&1",
            proxy.https
        );
        let refused = String::from_utf8_lossy(&run("sh", &["-c", &shell]).stdout).into_owned();
        assert!(
            refused.contains("no application protocol") && !refused.contains("ALPN protocol: acme-tls/1"),
            "{refused}"
        );
        check_views(&proxy);
    }
}

/// The API, the metrics, the command after an issue, and the commands of the program, all of which show the certificate.
fn check_views(proxy: &Ringway) {
    let states: Value = serde_json::from_str(&proxy.page("/api/ringway/certificates")).expect("JSON");
    let state = &states[0];
    assert_eq!(
        (&state["names"], &state["source"], &state["challenge"]),
        (&json!(["a.test", "b.test"]), &json!("acme"), &json!("tls-alpn-01"))
    );
    assert_eq!((&state["nextStep"], &state["lastError"]), (&json!("renewal"), &json!("")));
    let ends = state["notAfterSecs"].as_i64().expect("an end");
    assert!(state["nextStepSecs"].as_i64().is_some_and(|due| due < ends));
    let line = format!("ringway_certificate_expiry_seconds{{names=\"a.test,b.test\",source=\"acme\"}} {ends}\n");
    assert!(proxy.page("/metrics").contains(&line));
    wait_for("the command of onIssued", TIME_LIMIT, || match fs::read_to_string(proxy.file("issued")) {
        Ok(text) if text == "first a.test,b.test\n" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let program = env!("CARGO_BIN_EXE_ringway");
    let config = format!("--configFile={}", proxy.config_file().display());
    let list = run(program, &["certificates", "list", &config]);
    let text = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.status.success() && text.contains("a.test, b.test") && text.contains("acme"), "{text}");
    let folder = proxy.file("exported").display().to_string();
    let export = run(program, &["certificates", "export", "--dir", &folder, &config]);
    assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
    let (certificate, key) = (format!("{folder}/a.test.crt"), format!("{folder}/a.test.key"));
    let of_certificate = run("openssl", &["x509", "-in", &certificate, "-noout", "-pubkey"]).stdout;
    assert_eq!(of_certificate, run("openssl", &["pkey", "-in", &key, "-pubout"]).stdout);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn renewals_cost_no_request() {
    for driver in DRIVERS {
        // Six days in 30 seconds: renewed after 20.
        let Some(mut authority) = Authority::start_with_options(json!({ "certificateValidityPeriod": 30 }), &[]) else {
            return;
        };
        let origin = Origin::start();
        let setup = setup(driver, &authority, &origin, "[acme.tlsChallenge]");
        authority.validate_on(setup.https);
        let proxy = setup.start();
        proxy.await_log("certificate obtained for a.test, b.test", 1);
        let stop = Arc::new(AtomicBool::new(false));
        let (requests, handshakes) = (request_until(&stop, proxy.https), AtomicUsize::new(0));
        let deadline = Instant::now() + 2 * TIME_LIMIT;
        while proxy.log().matches("certificate obtained for").count() < 3 {
            assert!(Instant::now() < deadline, "{}", proxy.log());
            let shell = format!(
                "echo | timeout 10 openssl s_client -connect 127.0.0.1:{} -servername a.test 2>/dev/null | openssl x509 -noout -checkend 0",
                proxy.https
            );
            assert!(
                run("sh", &["-c", &shell]).status.success(),
                "{driver}: a handshake showed a certificate that is over"
            );
            handshakes.fetch_add(1, SeqCst);
            thread::sleep(Duration::from_millis(300));
        }
        stop.store(true, SeqCst);
        let (answered, failures) = requests.join().unwrap();
        assert!(answered > 10 && failures.is_empty(), "{driver}: {answered} answered, {failures:?}");
        println!("{driver}: {answered} requests, {handshakes:?} handshakes, two renewals");
    }
}

#[test]
fn file_of_traefik_is_served_and_orders_nothing() {
    let Some(authority) = Authority::start() else { return };
    let origin = Origin::start();
    let setup = setup(DRIVERS[0], &authority, &origin, "[acme.httpChallenge]\nentryPoint = \"http\"");
    let storage = setup.folder.path().join("acme.json");
    write_private(&storage, &traefiks_file(&[ending_soon("a.test", 60), ending_soon("b.test", 60)]));
    let before = fs::read(&storage).unwrap();
    let proxy = setup.start();
    wait_for("the certificate", TIME_LIMIT, || match presented(&proxy, "a.test") {
        shown if shown.contains("DNS:a.test") => Ok(()),
        shown => Err(shown),
    });
    thread::sleep(Duration::from_secs(2));
    assert_eq!(authority.orders(), 0);
    assert_eq!(fs::read(&storage).unwrap(), before, "byte for byte");
    // The process that takes over finds the file free.
    proxy.signal("USR2");
    let _successor = proxy.successor(1);
    thread::sleep(Duration::from_secs(2));
    assert!(presented(&proxy, "a.test").contains("DNS:a.test"));
    assert!(!proxy.log().contains("in use by another process"), "{}", proxy.log());
}

#[test]
fn name_with_a_route_is_obtained_on_demand() {
    let Some(mut authority) = Authority::start() else { return };
    let origin = Origin::start();
    let setup = setup(DRIVERS[1], &authority, &origin, "onDemand = true\n[acme.tlsChallenge]");
    authority.validate_on(setup.https);
    let setup = setup.fill("onHostRule = true", "onHostRule = false");
    let proxy = setup.start();
    presented(&proxy, "stranger.test");
    thread::sleep(Duration::from_secs(1));
    assert_eq!(authority.orders(), 0, "nobody has asked for a name with a route");
    assert!(!presented(&proxy, "b.test").contains("Pebble"), "the handshake does not wait");
    wait_for("the certificate", TIME_LIMIT, || match presented(&proxy, "b.test") {
        shown if shown.contains("Pebble") && shown.contains("DNS:b.test") && !shown.contains("a.test") => Ok(()),
        shown => Err(shown),
    });
    assert_eq!(authority.orders(), 1);
}

#[test]
fn check_names_hosts_without_a_certificate() {
    let Some(authority) = Authority::start() else { return };
    let origin = Origin::start();
    let setup = setup(DRIVERS[0], &authority, &origin, "[acme.tlsChallenge]");
    let storage = setup.folder.path().join("acme.json");
    write_private(&storage, &traefiks_file(&[ending_soon("a.test", 60), ending_soon("b.test", 60)]));
    let proxy = setup.start();
    let config = format!("--configFile={}", proxy.config_file().display());
    let check = |arguments: &[&str]| {
        let output = run(env!("CARGO_BIN_EXE_ringway"), &[&["check", &config], arguments].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(!check(&[]).contains("has no certificate yet"));
    let text = check(&["--dns", "--acme.domains=new.invalid,localhost"]);
    assert!(text.contains("note[missing-certificate]: new.invalid has no certificate yet"), "{text}");
    assert!(text.contains("]: new.invalid has no address") && !text.contains("localhost leads"), "{text}");
}

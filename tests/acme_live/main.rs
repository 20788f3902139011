//! The module `control::acme` against a real authority: Debian's `pebble` on loopback ports.
//!
//! Where pebble is not installed the tests print "skipped" and pass; with RINGWAY_REQUIRE_PEBBLE=1 they fail.

#[path = "../support/mod.rs"]
mod support;

mod authority;
mod crashes;
mod orders;
mod program;
mod renewal_windows;
mod running;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ringway::control::acme::atomic_file::Saved;
use ringway::control::acme::store::Store;
use ringway::control::acme::{AcmeEvent, AcmeRoots, AcmeSettings, DesiredCertificates};
use serde_json::json;

use authority::{Authority, without_authority};
use running::*;

/// Longer than any step takes on a loaded machine.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Time without an event after which the tests conclude that none will come.
pub const QUIET: Duration = Duration::from_millis(1500);

#[test]
fn two_names_share_one_certificate_and_restart_orders_none() {
    let Some(authority) = Authority::start() else { return };
    let storage = authority.path("acme.json");
    let wanted = want(&[&["a.example", "b.example"]]);
    let acme_run = RunningAcme::start(authority.settings(&storage), wanted.clone(), &authority.web.table);
    assert!(acme_run.certificates().is_empty());
    let published = acme_run.certificates();
    assert_eq!(acme_run.obtained(), ["a.example", "b.example"]);
    assert_eq!(published.len(), 1);
    assert!(published[0].covers("a.example") && published[0].covers("b.example"));
    assert!(authority.web.table.load().is_empty(), "answers stay after the order");
    acme_run.stop().unwrap();

    assert_eq!(fs::metadata(&storage).unwrap().permissions().mode() & 0o777, 0o600);
    let file = read_json(&storage);
    let entry = &file["Certificates"][0];
    assert_eq!(entry["Domain"], json!({ "Main": "a.example", "SANs": ["b.example"] }));
    let pem = |key: &str| BASE64_STANDARD.decode(entry[key].as_str().unwrap()).unwrap();
    assert!(pem("Certificate").starts_with(b"-----BEGIN CERTIFICATE-----"));
    assert!(pem("Key").starts_with(b"-----BEGIN EC PRIVATE KEY-----"));
    assert_eq!(file["Account"]["Email"], "");

    let (orders, before) = (authority.orders(), fs::read(&storage).unwrap());
    assert_eq!(orders, 1, "{}", authority.read_log());
    let acme_run = RunningAcme::start(authority.settings(&storage), wanted, &authority.web.table);
    assert_eq!(acme_run.certificates().len(), 1);
    acme_run.assert_quiet();
    // A new name is noticed while running and uses the existing account.
    acme_run.wants(want(&[&["a.example", "b.example"], &["c.example"]]));
    assert_eq!(acme_run.obtained(), ["c.example"]);
    acme_run.stop().unwrap();
    assert_eq!(authority.orders(), orders + 1);
    assert_ne!(fs::read(&storage).unwrap(), before);
    assert_eq!(read_json(&storage)["RingwayAccount"], file["RingwayAccount"]);
}

#[test]
fn authority_with_a_self_signed_certificate_of_openssl_issues() {
    let Some(authority) = Authority::start_with(Authority::write_identity_of_openssl) else { return };
    let storage = authority.path("acme.json");
    let acme_run = RunningAcme::start(authority.settings(&storage), want(&[&["a.example"]]), &authority.web.table);
    assert!(acme_run.certificates().is_empty());
    assert_eq!(acme_run.certificates().len(), 1);
    assert_eq!(acme_run.obtained(), ["a.example"]);
    acme_run.stop().unwrap();
}

#[test]
fn authority_that_is_not_trusted_is_named_with_the_reason() {
    let Some(authority) = Authority::start_with(Authority::write_identity_of_openssl) else { return };
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap().cert.pem();
    fs::write(authority.path("other.pem"), other).unwrap();
    let trust = AcmeRoots::Files(vec![authority.path("other.pem")]);
    let settings = AcmeSettings { trust, ..authority.settings(&authority.path("acme.json")) };
    let acme_run = RunningAcme::start(settings, want(&[&["a.example"]]), &authority.web.table);
    assert!(acme_run.certificates().is_empty());
    let reason = acme_run.failed().1;
    let parts = ["/dir: ", "CN=localhost is refused", "not in LEGO_CA_CERTIFICATES: add the certificate itself"];
    assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
    acme_run.stop().unwrap();
}

#[test]
fn unsaved_certificate_is_saved_at_shutdown() {
    let Some(authority) = Authority::start() else { return };
    let folder = authority.path("disk");
    fs::create_dir(&folder).unwrap();
    let storage = folder.join("acme.json");
    let acme_run = RunningAcme::start(authority.settings(&storage), want(&[]), &authority.web.table);
    assert!(acme_run.certificates().is_empty());
    fs::remove_dir_all(&folder).unwrap();
    acme_run.wants(want(&[&["a.example"]]));
    assert_eq!(acme_run.obtained(), ["a.example"], "the certificate is in use although unsaved");
    fs::create_dir(&folder).unwrap();
    assert!(!storage.exists(), "the next try comes seconds later");
    acme_run.stop().unwrap();
    assert_eq!(read_json(&storage)["Certificates"][0]["Domain"]["Main"], "a.example");
}

#[test]
fn certificate_of_traefik_file_is_renewed_with_its_account() {
    let Some(authority) = Authority::start() else { return };
    let storage = authority.path("acme.json");
    let old = ending_soon("old.example", 10);
    let before = traefiks_file(&[old]);
    write_private(&storage, &before);
    let acme_run = RunningAcme::start(authority.settings(&storage), None, &authority.web.table);
    let first = acme_run.certificates();
    assert!(first[0].covers("old.example"), "the old certificate is in use meanwhile");
    // The name may no longer be wanted: the providers have not reported yet.
    acme_run.assert_quiet();
    acme_run.wants(DesiredCertificates::default());
    let renewed = acme_run.certificates();
    assert_eq!(acme_run.obtained(), ["old.example"]);
    assert_eq!(renewed.len(), 1);
    assert!(renewed[0].not_after_secs > first[0].not_after_secs);
    acme_run.assert_quiet();
    acme_run.stop().unwrap();
    let after = read_json(&storage);
    assert_eq!(after["Account"], before["Account"]);
    assert_eq!(after["Certificates"].as_array().unwrap().len(), 1);
    assert_ne!(after["Certificates"][0]["Certificate"], before["Certificates"][0]["Certificate"]);
    assert_eq!(authority.orders(), 1);
}

#[test]
fn short_lived_certificate_is_renewed_when_due() {
    let Some(authority) = Authority::start() else { return };
    let storage = authority.path("acme.json");
    // A third of its life is left in a few seconds; the periodic check of all certificates comes much later.
    let short = ending("short.example", Duration::from_secs(84), Duration::from_secs(51));
    write_private(&storage, &traefiks_file(&[short]));
    let mut settings = authority.settings(&storage);
    settings.pacing.check_every = Duration::from_secs(3600);
    let acme_run = RunningAcme::start(settings, DesiredCertificates::default(), &authority.web.table);
    assert_eq!(acme_run.obtained(), ["short.example"]);
    acme_run.stop().unwrap();
}

#[test]
fn longest_lasting_of_two_entries_is_used_and_listed_first() {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("acme.json");
    let entries = [("other.example", 40), ("twice.example", 10), ("twice.example", 60)];
    write_private(&storage, &traefiks_file(&entries.map(|(name, days)| ending_soon(name, days))));
    let acme_run = RunningAcme::start(without_authority(storage), DesiredCertificates::default(), &Arc::default());
    let published = acme_run.certificates();
    let covers = |name: &str| published.iter().map(|certificate| certificate.covers(name)).collect::<Vec<_>>();
    assert_eq!([covers("twice.example"), covers("other.example")], [[true, false], [false, true]]);
    // Neither certificate is due: an order would fail at once.
    acme_run.assert_quiet();
    acme_run.stop().unwrap();
}

#[test]
fn failing_name_is_logged_and_retried_without_harming_others() {
    let Some(authority) = Authority::start() else { return };
    let storage = authority.path("acme.json");
    authority.web.blocked.lock().unwrap().insert("bad.example".into());
    let wanted = want(&[&["bad.example", "half.example"], &["good.example"], &["*.wild.example"]]);
    let acme_run = RunningAcme::start(authority.settings(&storage), wanted, &authority.web.table);
    let (names, reason, _, retry_in) = acme_run.failed();
    assert_eq!((names, retry_in), (vec!["*.wild.example".to_owned()], None));
    assert!(reason.contains("dnsChallenge"), "{reason}");
    acme_run.wait("one success and two failures", |event| {
        match event {
            AcmeEvent::Obtained { names } => assert_eq!(names, ["good.example"]),
            AcmeEvent::Failed { names, reason, failures, retry_in } => {
                assert_eq!(names, ["bad.example", "half.example"]);
                assert!(reason.contains("bad.example") && !reason.contains("half.example"), "{reason}");
                assert!(retry_in.unwrap() >= Duration::from_secs(1));
                return (failures == 2).then_some(());
            }
            AcmeEvent::Certificates(_) | AcmeEvent::States(_) => {}
        }
        None
    });
    assert_eq!(acme_run.obtained(), ["half.example"], "the failing name is left out");
    let is_there = read_json(&storage)["Certificates"][0]["Domain"]["Main"] == "good.example";
    assert!(is_there, "the good name has no certificate yet");
    let (names, ..) = acme_run.failed();
    assert_eq!(names, ["bad.example"]);
    authority.web.blocked.lock().unwrap().clear();
    assert_eq!(acme_run.obtained(), ["bad.example"]);
    assert!(authority.web.table.load().is_empty());
    acme_run.stop().unwrap();
}

#[test]
fn unknown_account_is_registered_again() {
    let Some(mut authority) = Authority::start() else { return };
    let storage = authority.path("acme.json");
    let acme_run = RunningAcme::start(authority.settings(&storage), want(&[&["a.example"]]), &authority.web.table);
    assert_eq!(acme_run.obtained(), ["a.example"]);
    let account = read_json(&storage)["RingwayAccount"].clone();
    authority.restart();
    acme_run.wants(want(&[&["b.example"]]));
    assert_eq!(acme_run.failed().0, ["b.example"]);
    assert_eq!(acme_run.obtained(), ["b.example"]);
    assert_ne!(read_json(&storage)["RingwayAccount"], account);
    acme_run.stop().unwrap();
}

#[test]
fn untrusted_acme_server_is_refused() {
    let Some(authority) = Authority::start() else { return };
    let settings = AcmeSettings { trust: AcmeRoots::System, ..authority.settings(&authority.path("acme.json")) };
    let acme_run = RunningAcme::start(settings, want(&[&["a.example"]]), &authority.web.table);
    let (_, reason, ..) = acme_run.failed();
    assert!(reason.contains("certificate"), "{reason}");
    assert_eq!(authority.orders(), 0);
    acme_run.stop().unwrap();
}

#[test]
fn acme_json_open_to_others_disables_acme() {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("acme.json");
    fs::write(&storage, "{}").unwrap();
    fs::set_permissions(&storage, fs::Permissions::from_mode(0o644)).unwrap();
    let acme_run = RunningAcme::start(without_authority(storage), want(&[&["a.example"]]), &Arc::default());
    let message = acme_run.stop().unwrap_err();
    assert!(message.starts_with("permissions 644 for ") && message.ends_with("too open, please use 600"), "{message}");
}

/// The name of the test that runs itself again inside its own mount namespace.
const MOUNTED: &str = "mounted_acme_json_is_written_in_place";

#[test]
fn mounted_acme_json_is_written_in_place() {
    if let Some(storage) = std::env::var_os("RINGWAY_TEST_MOUNTED") {
        return inside_the_mount(Path::new(&storage));
    }
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("acme.json");
    write_private(&storage, &traefiks_file(&[ending_soon("old.example", 10)]));
    let script = r#"mount --bind "$RINGWAY_TEST_MOUNTED" "$RINGWAY_TEST_MOUNTED" || exit 77; exec "$0" "$@""#;
    let child = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", MOUNTED, "--nocapture"])
        .env("RINGWAY_TEST_MOUNTED", &storage)
        .output();
    let refused = match &child {
        Ok(output) => output.status.code() == Some(77) || String::from_utf8_lossy(&output.stderr).contains("unshare"),
        Err(_) => true,
    };
    if refused {
        assert!(std::env::var_os("RINGWAY_REQUIRE_PEBBLE").is_none(), "a mount namespace is required: {child:?}");
        println!("skipped: this machine allows no mount namespaces");
        return;
    }
    let output = child.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("written through the mount"));
    let mains: Vec<String> = Store::open(&storage).unwrap().certificates().into_iter().map(|c| c.main).collect();
    assert_eq!(mains, ["old.example", "new.example"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
}

fn inside_the_mount(storage: &Path) {
    let mut store = Store::open(storage).unwrap();
    assert_eq!(store.put(&ending_soon("new.example", 60)).unwrap(), Saved::InPlace);
    println!("written through the mount");
}

//! Orders against pebble: external accounts, refused nonces, names that fail, an authority that goes away, restarts, many names.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringway::control::acme::{AcmeEvent, AcmeSettings, ExternalAccount, KeyType};
use serde_json::json;

use crate::authority::Authority;
use crate::running::*;
use crate::support::{run, stdout_of};

/// The base64url of a key that pebble knows by the identifier `kid-1`.
const EAB_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

#[test]
fn account_is_bound_to_the_external_account() {
    let config = json!({ "externalAccountBindingRequired": true, "externalAccountMACKeys": { "kid-1": EAB_KEY } });
    let Some(authority) = Authority::start_with_options(config, &[]) else { return };
    let settings = authority.settings(&authority.path("acme.json"));
    let acme_run = RunningAcme::start(settings.clone(), want(&[&["a.example"]]), &authority.web.table);
    let (_, reason, ..) = acme_run.failed();
    assert!(reason.contains("externalAccountRequired"), "{reason}");
    acme_run.stop().unwrap();
    let external_account = Some(ExternalAccount::from_texts("kid-1", EAB_KEY).unwrap());
    let settings = AcmeSettings { external_account, ..settings };
    let acme_run = RunningAcme::start(settings, want(&[&["a.example"]]), &authority.web.table);
    assert_eq!(acme_run.obtained(), ["a.example"]);
    acme_run.stop().unwrap();
}

#[test]
fn refused_nonces_cost_no_order() {
    let Some(authority) = Authority::start_with_options(json!({}), &[("PEBBLE_WFE_NONCEREJECT", "40")]) else { return };
    let settings = authority.settings(&authority.path("acme.json"));
    let wanted: Vec<[&str; 1]> = vec![["a.example"], ["b.example"], ["c.example"]];
    let wanted: Vec<&[&str]> = wanted.iter().map(|names| &names[..]).collect();
    let acme_run = RunningAcme::start(settings, want(&wanted), &authority.web.table);
    let obtained: BTreeSet<String> = (0..3).flat_map(|_| acme_run.obtained()).collect();
    assert_eq!(obtained.len(), 3);
    assert_eq!(authority.orders(), 3, "an order was placed twice");
    acme_run.stop().unwrap();
}

#[test]
fn name_that_the_authority_refuses_costs_the_others_no_certificate() {
    let config = json!({ "domainBlocklist": ["blocked.example"] });
    let Some(authority) = Authority::start_with_options(config, &[]) else { return };
    let settings = authority.settings(&authority.path("acme.json"));
    let wanted = want(&[&["good.example", "blocked.example", "fine.example"]]);
    let acme_run = RunningAcme::start(settings, wanted, &authority.web.table);
    for failures in 1..=2 {
        let (names, reason, count, _) = acme_run.failed();
        assert_eq!((names.len(), count), (3, failures));
        assert!(reason.contains("blocked.example"), "{reason}");
    }
    assert_eq!(acme_run.obtained(), ["good.example", "fine.example"]);
    assert_eq!(acme_run.failed().0, ["blocked.example"]);
    acme_run.stop().unwrap();
}

#[test]
fn authority_that_is_down_at_the_start_is_asked_again() {
    let Some(mut authority) = Authority::start() else { return };
    authority.stop_pebble();
    let settings = authority.settings(&authority.path("acme.json"));
    let acme_run = RunningAcme::start(settings, want(&[&["a.example", "b.example"]]), &authority.web.table);
    let (names, reason, _, retry_in) = acme_run.failed();
    assert_eq!(names, ["a.example", "b.example"], "nothing is split");
    assert!(retry_in.unwrap() <= Duration::from_secs(2), "{reason}");
    authority.spawn_pebble();
    assert_eq!(acme_run.obtained(), ["a.example", "b.example"]);
    acme_run.stop().unwrap();
}

#[test]
fn authority_that_goes_away_in_mid_order_is_asked_again() {
    let Some(mut authority) = Authority::start() else { return };
    authority.web.delay(Duration::from_secs(5));
    let settings = authority.settings(&authority.path("acme.json"));
    let acme_run = RunningAcme::start(settings, want(&[&["a.example"]]), &authority.web.table);
    authority.await_orders(1);
    authority.stop_pebble();
    authority.web.delay(Duration::ZERO);
    std::thread::sleep(Duration::from_secs(1));
    authority.spawn_pebble();
    // The new pebble knows neither account nor order.
    assert_eq!(acme_run.obtained(), ["a.example"]);
    acme_run.stop().unwrap();
}

#[test]
fn restart_in_mid_order_continues_the_order() {
    let Some(authority) = Authority::start() else { return };
    let storage = authority.path("acme.json");
    authority.web.delay(Duration::from_secs(3));
    let wanted = want(&[&["a.example", "b.example"]]);
    let acme_run = RunningAcme::start(authority.settings(&storage), wanted.clone(), &authority.web.table);
    authority.await_orders(1);
    authority.await_pending(&storage);
    acme_run.stop().unwrap();
    assert!(read_json(&storage)["RingwayOrders"][0]["url"].is_string());
    let acme_run = RunningAcme::start(authority.settings(&storage), wanted, &authority.web.table);
    assert_eq!(acme_run.obtained(), ["a.example", "b.example"]);
    acme_run.stop().unwrap();
    assert_eq!(authority.orders(), 1, "{}", authority.read_log());
    assert!(read_json(&storage)["RingwayOrders"].is_null(), "a finished order stays in the file");
}

#[test]
fn fifty_names_have_their_certificates_at_once() {
    let Some(authority) = Authority::start() else { return };
    let storage = authority.path("acme.json");
    let names: Vec<String> = (0..50).map(|number| format!("n{number}.example")).collect();
    let many: Vec<String> = (0..50).map(|number| format!("m{number}.example")).collect();
    let mut wanted: Vec<Vec<&str>> = names.iter().map(|name| vec![name.as_str()]).collect();
    wanted.push(many.iter().map(String::as_str).collect());
    let wanted: Vec<&[&str]> = wanted.iter().map(Vec::as_slice).collect();
    let started = Instant::now();
    let acme_run = RunningAcme::start(authority.settings(&storage), want(&wanted), &authority.web.table);
    let mut obtained = BTreeSet::new();
    while obtained.len() < 100 {
        obtained.extend(acme_run.obtained());
    }
    println!("51 certificates for 100 names in {:?}", started.elapsed());
    acme_run.stop().unwrap();
    assert_eq!(authority.orders(), 51);
    assert_eq!(read_json(&storage)["Certificates"].as_array().unwrap().len(), 51);
}

#[test]
fn keys_of_every_type_are_read_by_openssl() {
    let Some(authority) = Authority::start() else { return };
    for (key_type, kind, shown) in [
        (KeyType::Ec256, "EC PRIVATE KEY", "ASN1 OID: prime256v1"),
        (KeyType::Ec384, "EC PRIVATE KEY", "ASN1 OID: secp384r1"),
        (KeyType::Rsa2048, "RSA PRIVATE KEY", "Private-Key: (2048 bit"),
        (KeyType::Rsa4096, "RSA PRIVATE KEY", "Private-Key: (4096 bit"),
    ] {
        let storage = authority.path(&format!("{key_type:?}.json"));
        let settings = AcmeSettings { key_type, ..authority.settings(&storage) };
        let acme_run = RunningAcme::start(settings, want(&[&["a.example"]]), &authority.web.table);
        assert_eq!(acme_run.obtained(), ["a.example"]);
        acme_run.stop().unwrap();
        let (certificate, key) = (authority.write_pem(&storage, "Certificate"), authority.write_pem(&storage, "Key"));
        assert!(std::fs::read_to_string(&key).unwrap().contains(&format!("BEGIN {kind}")), "{key_type:?}");
        let text = stdout_of("openssl", &["pkey", "-in", &key, "-noout", "-text"]);
        assert!(text.contains(shown), "{key_type:?}: {text}");
        let of_certificate = stdout_of("openssl", &["x509", "-in", &certificate, "-noout", "-pubkey"]);
        assert_eq!(of_certificate, stdout_of("openssl", &["pkey", "-in", &key, "-pubout"]));
    }
}

#[test]
fn chain_of_the_preferred_root_is_stored() {
    let Some(authority) = Authority::start_with_options(json!({}), &[("PEBBLE_ALTERNATE_ROOTS", "2")]) else { return };
    for number in [2, 0] {
        let root = authority.path("root.pem").display().to_string();
        let url = format!("https://127.0.0.1:{}/roots/{number}", authority.management_port);
        assert!(run("curl", &["-sSfk", "-o", &root, &url]).status.success());
        let subject = stdout_of("openssl", &["x509", "-in", &root, "-noout", "-subject", "-nameopt", "multiline"]);
        let name =
            subject.split("commonName").nth(1).and_then(|rest| rest.split('=').nth(1)).unwrap().trim().to_owned();
        let storage = authority.path(&format!("{number}.json"));
        let settings = AcmeSettings { preferred_chain: name.clone(), ..authority.settings(&storage) };
        let acme_run = RunningAcme::start(settings, want(&[&["a.example"]]), &authority.web.table);
        assert_eq!(acme_run.obtained(), ["a.example"]);
        acme_run.stop().unwrap();
        let chain = std::fs::read_to_string(authority.write_pem(&storage, "Certificate")).unwrap();
        let last = chain.rfind("-----BEGIN").unwrap();
        let topmost = authority.path("topmost.pem");
        std::fs::write(&topmost, &chain[last..]).unwrap();
        let issuer = stdout_of("openssl", &["x509", "-in", &topmost.display().to_string(), "-noout", "-issuer"]);
        assert!(issuer.contains(&name), "root {number}: {issuer} instead of {name}");
    }
}

#[test]
fn address_has_a_certificate_with_the_short_profile() {
    let Some(authority) = Authority::start() else { return };
    let storage = authority.path("acme.json");
    let settings = AcmeSettings { profile: "shortlived".to_owned(), ..authority.settings(&storage) };
    let acme_run = RunningAcme::start(settings, want(&[&["127.0.0.1"]]), &authority.web.table);
    assert_eq!(acme_run.obtained(), ["127.0.0.1"]);
    acme_run.stop().unwrap();
    let certificate = authority.write_pem(&storage, "Certificate");
    let text = stdout_of("openssl", &["x509", "-in", &certificate, "-noout", "-ext", "subjectAltName"]);
    assert!(text.contains("IP Address:127.0.0.1"), "{text}");
    let acme_run = RunningAcme::start(
        authority.settings(&authority.path("b.json")),
        want(&[&["127.0.0.1"]]),
        &authority.web.table,
    );
    assert!(acme_run.failed().1.contains("shortlived"), "without the profile an address is not ordered");
    acme_run.stop().unwrap();
}

#[test]
fn second_process_serves_and_waits_for_the_file() {
    let Some(authority) = Authority::start() else { return };
    let storage = authority.path("acme.json");
    let first = RunningAcme::start(authority.settings(&storage), want(&[&["a.example"]]), &authority.web.table);
    assert_eq!(first.obtained(), ["a.example"]);
    let second = RunningAcme::start(authority.settings(&storage), want(&[&["b.example"]]), &authority.web.table);
    assert!(second.certificates().iter().any(|certificate| certificate.covers("a.example")));
    second.assert_quiet();
    first.stop().unwrap();
    assert_eq!(second.obtained(), ["b.example"]);
    second.stop().unwrap();
    assert_eq!(read_json(&storage)["Certificates"].as_array().unwrap().len(), 2);
}

#[test]
fn certificates_that_live_for_seconds_never_lapse() {
    // As a certificate of six days renewed after four: 45 s, renewed after 30.
    let Some(authority) = Authority::start_with_options(json!({ "certificateValidityPeriod": 45 }), &[]) else {
        return;
    };
    let storage = authority.path("acme.json");
    let mut settings = authority.settings(&storage);
    settings.pacing.check_every = Duration::from_secs(3600);
    let acme_run = RunningAcme::start(settings, want(&[&["a.example", "b.example"]]), &authority.web.table);
    let mut ends: Vec<i64> = Vec::new();
    while ends.len() < 3 {
        let end = acme_run.wait("a certificate", |event| match event {
            AcmeEvent::Certificates(list) => list.first().map(|certificate| certificate.not_after_secs),
            _ => None,
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        if let Some(before) = ends.last() {
            assert!(*before > now, "the certificate before lapsed {} s ago", now - before);
        }
        ends.push(end);
    }
    assert_eq!(ends.len(), 3);
    acme_run.stop().unwrap();
    assert_eq!(read_json(&storage)["Certificates"].as_array().unwrap().len(), 1, "each replaces the one before");
}

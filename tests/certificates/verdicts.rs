//! Kinds of certificates and the verdict on each, as Go's verifier gives it.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringway::tls::pem;
use ringway::tls::verifier::{ClientVerifier, ServerVerifier};
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;

use crate::base::project;
use crate::openssl::{Certificates, EC, RSA, RSA_1024};

const DAY_SECS: i64 = 86_400;
const SAN: &str = "-addext subjectAltName=DNS:a.test,IP:127.0.0.1";
const NAMES: &str = "subjectAltName=DNS:a.test,IP:127.0.0.1";

/// A row: authorities and chain by the names of their certificates, days from now, server's name, and whether a server and a client with it
/// are accepted.
struct Row(&'static [&'static str], &'static [&'static str], i64, &'static str, bool, bool);

const ROWS: &[Row] = &[
    // A configured certificate is an anchor for itself.
    Row(&["plain"], &["plain"], 0, "127.0.0.1", true, true),
    Row(&["plain"], &["plain"], 0, "a.test", true, true),
    Row(&["plain"], &["plain"], 0, "b.test", false, true),
    Row(&["plain"], &["plain"], 40, "a.test", false, false),
    Row(&["plain"], &["plain"], -2, "a.test", false, false),
    Row(&["leaf-only"], &["leaf-only"], 0, "a.test", true, true),
    Row(&["self-v1"], &["self-v1"], 0, "self-v1", false, true),
    Row(&["sha1"], &["sha1"], 0, "a.test", true, true),
    Row(&["other"], &["plain"], 0, "a.test", false, false),
    Row(&["other", "plain"], &["plain"], 0, "a.test", true, true),
    // Its own anchor only: it issues nothing for others.
    Row(&["leaf-only"], &["of-leaf-only"], 0, "a.test", false, false),
    Row(&["no-sign"], &["of-no-sign"], 0, "a.test", false, false),
    // Version 1.
    Row(&["ca"], &["v1"], 0, "v1", false, true),
    Row(&["ca"], &["v1"], 25, "v1", false, false),
    Row(&["other"], &["v1"], 0, "v1", false, false),
    Row(&["self-v1"], &["of-v1-root"], 0, "a.test", true, true),
    Row(&["ca"], &["of-v1-middle", "v1"], 0, "a.test", false, false),
    // Chains.
    Row(&["ca"], &["leaf"], 0, "a.test", true, true),
    Row(&["ca"], &["leaf"], 0, "A.TEST", true, true),
    Row(&["ca"], &["leaf"], 40, "a.test", false, false),
    Row(&["ca"], &["wildcard"], 0, "x.b.test", true, true),
    Row(&["ca"], &["wildcard"], 0, "x.y.b.test", false, true),
    Row(&["ca"], &["deep", "middle"], 0, "a.test", true, true),
    Row(&["ca"], &["deep", "plain", "middle"], 0, "a.test", true, true),
    Row(&["ca"], &["deep"], 0, "a.test", false, false),
    Row(&["middle"], &["deep"], 0, "a.test", true, true),
    Row(&["ca-path-0"], &["deep-path-0", "middle-path-0"], 0, "a.test", false, false),
    Row(&["ca-path-1"], &["deep-path-1", "middle-path-1"], 0, "a.test", true, true),
    Row(&["ca"], &["of-no-sign-middle", "no-sign-middle"], 0, "a.test", false, false),
    Row(&["forged"], &["leaf"], 0, "a.test", false, false),
    // An authority that has expired while the leaf has not.
    Row(&["short-ca"], &["of-short-ca"], 10, "a.test", false, false),
    Row(&["short-ca"], &["of-short-ca"], 0, "a.test", true, true),
    // Usages.
    Row(&["ca"], &["for-server"], 0, "a.test", true, false),
    Row(&["ca"], &["for-client"], 0, "a.test", false, true),
    Row(&["ca"], &["for-any"], 0, "a.test", true, true),
    Row(&["ca"], &["for-mail"], 0, "a.test", false, false),
    Row(&["for-mail"], &["for-mail"], 0, "a.test", false, false),
    Row(&["ca"], &["of-client-middle", "client-middle"], 0, "a.test", false, true),
    Row(&["client-ca"], &["of-client-ca"], 0, "a.test", false, true),
    // Constraints.
    Row(&["named-ca"], &["inside"], 0, "x.a.test", true, true),
    Row(&["named-ca"], &["outside"], 0, "b.test", false, false),
    Row(&["named-ca"], &["by-common-name"], 0, "b.test", false, true),
    // Extensions, encodings, algorithms.
    Row(&["ca"], &["critical"], 0, "a.test", false, false),
    Row(&["ca"], &["unknown"], 0, "a.test", true, true),
    Row(&["ca"], &["long-serial"], 0, "a.test", true, true),
    Row(&["ca"], &["p521"], 0, "a.test", true, true),
    Row(&["ca"], &["ed25519"], 0, "a.test", true, true),
    Row(&["ca"], &["of-sha1"], 0, "a.test", false, false),
    Row(&["rsa"], &["of-rsa-pss"], 0, "a.test", true, true),
    Row(&["rsa-1024"], &["of-rsa-1024"], 0, "a.test", true, true),
    Row(&["rsa-1024"], &["of-rsa-1024-sha384"], 0, "a.test", true, true),
    Row(&["rsa-1024-forged"], &["of-rsa-1024"], 0, "a.test", false, false),
];

fn make(made: &Certificates) {
    let san = |key: &str| format!("{key} {SAN}");
    let leaf = |issuer: &str, name: &str, extensions: &str| {
        made.issued(issuer, name, EC, &format!("{NAMES};{extensions}"), "");
    };
    let authority = "basicConstraints=critical,CA:TRUE;keyUsage=keyCertSign";
    made.self_signed("plain", &san(RSA)).self_signed("other", &san(EC));
    made.self_signed("leaf-only", &format!("{EC} {SAN} -addext basicConstraints=critical,CA:FALSE"));
    made.self_signed("sha1", &format!("{RSA} {SAN} -sha1"));
    made.self_signed_v1("self-v1", EC);
    made.self_signed("ca", RSA).self_signed("forged", &format!("{EC} -subj /CN=ca"));
    made.self_signed("no-sign", &format!("{EC} -addext keyUsage=digitalSignature"));
    for (issuer, name) in
        [("leaf-only", "of-leaf-only"), ("no-sign", "of-no-sign"), ("self-v1", "of-v1-root"), ("ca", "leaf")]
    {
        leaf(issuer, name, "");
    }
    made.issued("ca", "v1", EC, "", "");
    leaf("v1", "of-v1-middle", "");
    made.issued("ca", "wildcard", EC, "subjectAltName=DNS:*.b.test", "");
    made.issued("ca", "middle", EC, authority, "");
    leaf("middle", "deep", "");
    made.issued("ca", "no-sign-middle", EC, "basicConstraints=critical,CA:TRUE;keyUsage=digitalSignature", "");
    leaf("no-sign-middle", "of-no-sign-middle", "");
    for path in ["0", "1"] {
        let [ca, middle, deep] = ["ca", "middle", "deep"].map(|name| format!("{name}-path-{path}"));
        made.self_signed(&ca, &format!("{EC} -addext basicConstraints=critical,CA:TRUE,pathlen:{path}"));
        made.issued(&ca, &middle, EC, authority, "");
        leaf(&middle, &deep, "");
    }
    made.self_signed("short-ca", &format!("{EC} -days 5"));
    leaf("short-ca", "of-short-ca", "");
    for (name, usage) in [
        ("server", "serverAuth"),
        ("client", "clientAuth"),
        ("any", "anyExtendedKeyUsage"),
        ("mail", "emailProtection"),
    ] {
        leaf("ca", &format!("for-{name}"), &format!("extendedKeyUsage={usage}"));
    }
    made.issued("ca", "client-middle", EC, &format!("{authority};extendedKeyUsage=clientAuth"), "");
    leaf("client-middle", "of-client-middle", "");
    made.self_signed("client-ca", &format!("{EC} -addext extendedKeyUsage=clientAuth"));
    leaf("client-ca", "of-client-ca", "");
    made.self_signed("named-ca", &format!("{EC} -addext nameConstraints=critical,permitted;DNS:a.test"));
    made.issued("named-ca", "inside", EC, "subjectAltName=DNS:x.a.test", "");
    made.issued("named-ca", "outside", EC, "subjectAltName=DNS:b.test", "");
    made.issued("named-ca", "by-common-name", EC, "keyUsage=digitalSignature", "");
    leaf("ca", "critical", "1.2.3.4=critical,DER:0500");
    leaf("ca", "unknown", "1.2.3.4=DER:0500");
    made.issued("ca", "long-serial", EC, NAMES, &format!("-set_serial 0x7f{}", "ab".repeat(29)));
    made.issued("ca", "p521", "-newkey ec -pkeyopt ec_paramgen_curve:P-521", NAMES, "");
    made.issued("ca", "ed25519", "-newkey ed25519", NAMES, "");
    made.issued("ca", "of-sha1", EC, NAMES, "-sha1");
    made.self_signed("rsa", RSA);
    made.issued("rsa", "of-rsa-pss", EC, NAMES, "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -sha256");
    made.self_signed("rsa-1024", RSA_1024).self_signed("rsa-1024-forged", &format!("{RSA_1024} -subj /CN=rsa-1024"));
    made.issued("rsa-1024", "of-rsa-1024", RSA_1024, NAMES, "");
    made.issued("rsa-1024", "of-rsa-1024-sha384", RSA_1024, NAMES, "-sha384");
}

fn now_secs() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()).expect("a time")
}

/// Ringway's verdicts on a row: as a server, as a client.
fn verdicts(made: &Certificates, row: &Row) -> [Result<(), String>; 2] {
    let read = |names: &[&str]| {
        let texts = names.iter().map(|name| pem::certificates(made.text(&format!("{name}.pem")).as_bytes()).0);
        texts.flatten().collect::<Vec<_>>()
    };
    let (roots, chain) = (read(row.0), read(row.1));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let now = Duration::from_secs(u64::try_from(now_secs() + row.2 * DAY_SECS).expect("a time"));
    let (now, server) = (UnixTime::since_unix_epoch(now), ServerName::try_from(row.3).expect("a name"));
    let (leaf, rest) = chain.split_first().expect("a chain");
    let of_server = ServerVerifier::new(roots.clone(), &provider, "rootCAs");
    let of_client = ClientVerifier::new(roots, &provider, true);
    let server = of_server.verify_server_cert(leaf, rest, &server, &[], now).map(drop);
    let client = of_client.verify_client_cert(leaf, rest, now).map(drop);
    [server.map_err(|e| e.to_string()), client.map_err(|e| e.to_string())]
}

#[test]
fn certificates_get_the_verdicts_of_the_table() {
    let made = Certificates::new();
    make(&made);
    let mut wrong = Vec::new();
    for row in ROWS {
        let [server, client] = verdicts(&made, row);
        if (server.is_ok(), client.is_ok()) != (row.4, row.5) {
            wrong.push(format!(
                "{:?} with {:?}, day {}, {}: server {server:?}, client {client:?}",
                row.1, row.0, row.2, row.3
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn verdicts_of_the_table_are_those_of_go() {
    // Go's compiler is large, and the table has its verdicts: the test suite does not install it.
    if !crate::base::installed("go") {
        println!("skipped: go is missing");
        return;
    }
    let made = Certificates::new();
    make(&made);
    let mut input = String::new();
    for (at, Row(roots, chain, days, name, ..)) in ROWS.iter().enumerate() {
        let roots = made.joined(&format!("roots-{at}"), roots);
        let chain = made.joined(&format!("chain-{at}"), chain);
        let now = now_secs() + days * DAY_SECS;
        input += &format!("server\t{now}\t{name}\t{roots}\t{chain}\nclient\t{now}\t-\t{roots}\t{chain}\n");
    }
    let input = made.write("input", input);
    let program = project().join("tests/certificates/verify.go").display().to_string();
    let mut go = Command::new("go");
    go.args(["run", &program]).stdin(std::fs::File::open(input).expect("the input")).stderr(Stdio::inherit());
    go.envs([("GOCACHE", made.file("cache")), ("GOPATH", made.file("path"))]);
    let output = String::from_utf8(go.output().expect("go").stdout).expect("text");
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.len(), 2 * ROWS.len(), "{output}");
    let mut wrong = Vec::new();
    for (row, verdict) in ROWS.iter().zip(lines.chunks(2)) {
        if [row.4, row.5] != [verdict[0] == "accepted", verdict[1] == "accepted"] {
            wrong.push(format!("{:?} with {:?}, day {}, {}: {verdict:?}", row.1, row.0, row.2, row.3));
        }
    }
    assert!(wrong.is_empty(), "Go judges differently:\n{}", wrong.join("\n"));
}

#[test]
fn refusals_name_subject_reason_and_remedy() {
    let made = Certificates::new();
    make(&made);
    let texts = |roots, chain, days, name| verdicts(&made, &Row(roots, chain, days, name, false, false));
    let rows: [(_, &[&str]); 8] = [
        (texts(&["ca"], &["leaf"], 25, "a.test"), &["CN=leaf", "expired on", "renew it"]),
        (texts(&["ca"], &["leaf"], -2, "a.test"), &["CN=leaf", "not valid before", "clock"]),
        (
            texts(&["ca"], &["leaf"], 0, "b.test"),
            &["CN=leaf", "it is for a.test, 127.0.0.1, not for b.test", "subject alternative name"],
        ),
        (texts(&["ca"], &["v1"], 0, "v1"), &["CN=v1", "no name", "common name does not count"]),
        (
            texts(&["other"], &["leaf"], 0, "a.test"),
            &["CN=leaf", "its issuer is CN=ca", "add that authority to rootCAs"],
        ),
        (
            texts(&["other"], &["plain"], 0, "a.test"),
            &["CN=plain", "self-signed", "add the certificate itself to rootCAs"],
        ),
        (texts(&["short-ca"], &["of-short-ca"], 10, "a.test"), &["CN=of-short-ca", "CN=short-ca in its chain expired"]),
        (texts(&["ca"], &["of-sha1"], 0, "a.test"), &["CN=of-sha1", "SHA-1", "SHA-256"]),
    ];
    for ([server, _], parts) in rows {
        let text = server.expect_err("refused");
        for part in parts {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
    }
}

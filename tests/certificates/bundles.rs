//! PEM files as people have them: damaged blocks, files that were glued together, comments in another encoding.

use crate::base::ringway::{DRIVERS, ringway};
use crate::openssl::{Certificates, EC, Server};
use crate::proxy::{count_lines, start, status, status_with};

const SAN: &str = "-addext subjectAltName=IP:127.0.0.1";
const BROKEN: &str = "-----BEGIN CERTIFICATE-----\nMIIBroken\n-----END CERTIFICATE-----\n";

struct Case {
    made: Certificates,
    server: Server,
}

impl Case {
    fn new() -> Case {
        let made = Certificates::new();
        made.self_signed("plain", &format!("{EC} {SAN}")).self_signed("ca", EC).issued("ca", "client", EC, "", "");
        let server = made.server("plain", "");
        Case { made, server }
    }
}

#[test]
fn bundle_with_a_damaged_block_counts_without_it() {
    let Case { made, server } = Case::new();
    // The comment is in Latin-1.
    let bundle = |name: &str| {
        let text = [b"subject: M\xfcller\n", BROKEN.as_bytes(), made.text(&format!("{name}.pem")).as_bytes()].concat();
        made.write(&format!("{name}-bundle.pem"), text)
    };
    let (roots, clients) = (bundle("plain"), bundle("ca"));
    let [certificate, key] = ["pem", "key"].map(|suffix| made.file(&format!("client.{suffix}")));
    for driver in DRIVERS {
        let client = format!("[entryPoints.https.tls.clientCA]\nfiles = [{clients:?}]");
        let auth = format!("[F.auth.forward]\naddress={:?}\n[F.auth.forward.tls]\nca={roots:?}", server.url());
        let routes = [("a.test", server.url(), String::new()), ("auth.test", server.url(), auth)];
        let proxy = start(driver, &format!("rootCAs = [{roots:?}]"), &client, &routes);
        assert_eq!([status(&proxy, "a.test"), status(&proxy, "auth.test")], ["200", "200"], "{}", proxy.log());
        assert_eq!(status_with(&proxy, "a.test", Some((&certificate, &key))), "200", "{}", proxy.log());
        let lines = [
            format!("rootCAs: {roots}, line 2: "),
            format!("entryPoints.https.tls.clientCA.files: {clients}, line 2: "),
            format!("auth.forward.tls.ca: {roots}, line 2: "),
        ];
        for line in &lines {
            assert_eq!(count_lines(&proxy, line, |own| own.contains(line)), 1, "{driver}: {}", proxy.log());
        }
        let check = ringway(&["check", &format!("--configFile={}", proxy.config_file().display())]);
        let said = String::from_utf8_lossy(&check.stdout);
        assert!(check.status.success() && lines[..2].iter().all(|line| said.contains(line)), "{said}");
    }
}

#[test]
fn bundle_without_a_usable_certificate_ends_start_and_check() {
    let Case { made, server } = Case::new();
    let broken = made.write("broken.pem", BROKEN);
    let client = format!("[entryPoints.https.tls.clientCA]\nfiles = [{broken:?}]");
    let good = start("auto", "", "", &[("a.test", server.url(), String::new())]);
    let config = std::fs::read_to_string(good.config_file()).unwrap();
    let config = made
        .write("bad.toml", config.replace("[entryPoints.https.tls]", &format!("[entryPoints.https.tls]\n{client}")));
    drop(good);
    for arguments in [&["check"][..], &[]] {
        let output = ringway(&[arguments, &[&format!("--configFile={config}")]].concat());
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains(&format!("clientCA.files: {broken}: ")) && said.contains("line 1"), "{said}");
    }
}

/// The certificates that the proxy sends to a client.
fn chain_sent(port: u16) -> usize {
    let address = format!("127.0.0.1:{port}");
    let arguments = ["s_client", "-connect", &address, "-servername", "a.test", "-showcerts"];
    let output = crate::base::run("openssl", &arguments);
    String::from_utf8_lossy(&output.stdout).matches("-----BEGIN CERTIFICATE-----").count()
}

#[test]
fn glued_certificate_file_serves_its_whole_chain() {
    let Case { made, server } = Case::new();
    made.issued("ca", "middle", EC, "basicConstraints=critical,CA:TRUE", "");
    made.issued("middle", "leaf", EC, "subjectAltName=DNS:a.test", "");
    let glued = made.text("leaf.pem").trim_end().to_owned() + &made.text("middle.pem");
    assert!(glued.contains("-----END CERTIFICATE----------BEGIN CERTIFICATE-----"));
    let line = glued.lines().position(|line| line.contains("----------")).unwrap() + 1;
    let file = made.write("glued.pem", &glued);
    let cut = made.write("cut.pem", glued.replace("----------BEGIN CERTIFICATE-----", "-----"));
    let key = made.file("leaf.key");
    for driver in DRIVERS {
        let tls =
            |file: &str| format!("[[entryPoints.https.tls.certificates]]\ncertFile = {file:?}\nkeyFile = {key:?}");
        let proxy = start(driver, "", &tls(&file), &[("a.test", server.url(), String::new())]);
        assert_eq!(chain_sent(proxy.https), 2, "{driver}: {}", proxy.log());
        // A chain that is not whole is refused, by start and check alike, with its line.
        let proxy = start(driver, "", &tls(&cut), &[("a.test", server.url(), String::new())]);
        let check = ringway(&["check", &format!("--configFile={}", proxy.config_file().display())]);
        for said in [proxy.log(), String::from_utf8_lossy(&check.stdout).into_owned()] {
            assert!(said.contains(&format!("{cut}: ")) && said.contains("END CERTIFICATE without its BEGIN"), "{said}");
            assert!(!said.contains(&format!("line {line}:")), "the first block is whole: {said}");
        }
    }
}

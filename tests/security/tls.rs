//! TLS versions and suites, certificates by server name, close_notify, and handshakes that are broken or stall.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;

use crate::client::{Client, find};
use crate::proxy::{Options, Proxy};
use crate::session::{connect, connect_as};
use crate::support::stdout_of;
use crate::{DRIVERS, Verdict};

const GET: &str = "GET /tls HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Alerts of TLS.
const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;
const TLS_1_2: u16 = 0x0303;

/// The output of openssl about a handshake with `a.test`. openssl offers weak suites only at security level 0; a suite that openssl does
/// not know fails before anything is sent to the proxy, so that there is no alert.
fn openssl_output(port: u16, arguments: &[&str]) -> String {
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address, "-servername", "a.test"]).args(arguments);
    let output = command.stdin(Stdio::null()).output().expect("openssl is installed");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The first bytes of the reply to a ClientHello for `a.test` that offers one suite, also one that openssl no longer has. The hello is
/// complete for TLS 1.2, whatever version it names.
fn reply_to_hello(port: u16, version: u16, suite: u16) -> [u8; 7] {
    let extensions = b"\0\0\0\x0b\0\x09\0\0\x06a.test\0\x0a\0\x06\0\x04\0\x1d\0\x17\0\x0b\0\x02\x01\0\
                       \0\x0d\0\x08\0\x06\x08\x04\x04\x01\x04\x03\0\x17\0\0";
    let with_len = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
    let body =
        [&version.to_be_bytes(), &[7; 32][..], b"\0\0\x02", &suite.to_be_bytes(), b"\x01\0", &with_len(extensions)]
            .concat();
    let hello = [b"\x01\0", &with_len(&body)[..]].concat();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the proxy accepts");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    stream.write_all(&[b"\x16\x03\x01", &with_len(&hello)[..]].concat()).expect("sent");
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).expect("an answer");
    answer
}

/// An RSA certificate for `a.test`, as a table of the routes file.
fn of_rsa(folder: &Path) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    let (cert, key) = (file("rsa.crt"), file("rsa.key"));
    let name = ["-subj", "/CN=a.test", "-addext", "subjectAltName=DNS:a.test"];
    let made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", &key, "-out", &cert];
    stdout_of("openssl", &[&made[..], &name].concat());
    format!("[[tls]]\nentryPoints = [\"https\"]\n[tls.certificate]\ncertFile = \"{cert}\"\nkeyFile = \"{key}\"\n")
}

/// Checks that weak suites and old versions are refused. The good suite shows that the right certificate is used, and that the others
/// do not fail for another reason.
fn check_suites(port: u16, case: &str, good: (&str, u16), weak: &[&str], oldest: &[u16]) {
    let mut verdict = Verdict::default();
    let offered = |suite: &str| openssl_output(port, &["-tls1_2", "-cipher", &format!("{suite}:@SECLEVEL=0")]);
    let reply = offered(good.0);
    verdict.check(case, reply.contains(&format!("Cipher is {}", good.0)), format!("{}: {reply}", good.0));
    let is_alert = |reply: &str, alert: u8| reply.contains(&format!("SSL alert number {alert}"));
    for suite in weak {
        let reply = offered(suite);
        verdict.check(case, is_alert(&reply, HANDSHAKE_FAILURE), format!("{suite}: {reply}"));
    }
    for version in ["-tls1", "-tls1_1"] {
        let reply = openssl_output(port, &[version, "-cipher", "ALL:@SECLEVEL=0"]);
        // Such a hello lacks more than the version: rustls chooses which alert it sends.
        let is_refused = is_alert(&reply, HANDSHAKE_FAILURE) || is_alert(&reply, PROTOCOL_VERSION);
        verdict.check(case, is_refused, format!("{version}: {reply}"));
    }
    let reply = reply_to_hello(port, TLS_1_2, good.1);
    verdict.check(case, reply[0] == 0x16, format!("{:#06x}: no handshake, {reply:02x?}", good.1));
    let old = [0x0301, 0x0302].map(|version| (version, good.1, PROTOCOL_VERSION));
    let oldest = oldest.iter().map(|&suite| (TLS_1_2, suite, HANDSHAKE_FAILURE));
    for (version, suite, alert) in oldest.chain(old) {
        let reply = reply_to_hello(port, version, suite);
        let is_refused = reply[0] == 0x15 && reply[5..] == [2, alert];
        verdict.check(case, is_refused, format!("{version:#06x}, {suite:#06x}: {reply:02x?}"));
    }
    verdict.end();
}

#[test]
fn old_tls_versions_and_weak_suites_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let rsa = of_rsa(folder.path());
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        assert!(openssl_output(proxy.tls_port, &["-tls1_3"]).contains("Cipher is TLS_"), "TLS version ({driver})");
        let weak = ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-NULL-SHA", "ADH-AES128-SHA"];
        let good = ("ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02b);
        // ECDHE_ECDSA with RC4_128_SHA and with 3DES_EDE_CBC_SHA.
        check_suites(proxy.tls_port, &format!("ECDSA ({driver})"), good, &weak, &[0xc007, 0xc008]);

        let proxy = Proxy::with(driver, &Options { frontend: rsa.clone(), ..Options::default() });
        let weak = [
            "AES128-SHA",
            "AES128-GCM-SHA256",
            "DHE-RSA-AES128-SHA",
            "ECDHE-RSA-AES128-SHA",
            "ECDHE-RSA-AES256-SHA384",
            "ECDHE-RSA-NULL-SHA",
            "NULL-SHA256",
            "AECDH-AES128-SHA",
        ];
        let good = ("ECDHE-RSA-AES128-GCM-SHA256", 0xc02f);
        // RSA and ECDHE_RSA with RC4_128_SHA and with 3DES_EDE_CBC_SHA.
        let oldest = [0x0005, 0x000a, 0xc011, 0xc012];
        check_suites(proxy.tls_port, &format!("RSA ({driver})"), good, &weak, &oldest);
    }
}

/// The certificate that the proxy presents, after a whole exchange with it.
fn shown(port: u16, name: &'static str, sends_name: bool) -> CertificateDer<'static> {
    let mut stream = connect_as(port, name, sends_name);
    stream.write_all(GET.as_bytes()).expect("sent");
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("an answer and close_notify");
    assert!(received.ends_with(b"ok"), "server name {name}: {:?}", received.escape_ascii().to_string());
    stream.conn.peer_certificates().expect("certificates")[0].clone().into_owned()
}

#[test]
fn sni_selects_certificate_or_default() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = |name: &str| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let file = |end: &str| folder.path().join(format!("{}.{end}", name.replace('*', "any")));
        std::fs::write(file("crt"), made.cert.pem()).expect("the certificate");
        std::fs::write(file("key"), made.signing_key.serialize_pem()).expect("the key");
        let table = format!(
            "[[tls]]\nentryPoints = [\"https\"]\n[tls.certificate]\ncertFile = \"{}\"\nkeyFile = \"{}\"\n",
            file("crt").display(),
            file("key").display()
        );
        (made.cert.der().clone(), table)
    };
    let ((known, first), (any, second)) = (written("known.test"), written("*.wild.test"));
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &Options { frontend: format!("{first}{second}"), ..Options::default() });
        assert_eq!(shown(proxy.tls_port, "known.test", true), known, "known ({driver})");
        assert_eq!(shown(proxy.tls_port, "KNOWN.test", true), known, "known in capitals ({driver})");
        assert_eq!(shown(proxy.tls_port, "a.wild.test", true), any, "wild card ({driver})");
        let default = shown(proxy.tls_port, "known.test", false);
        assert!(default != known && default != any, "no name ({driver})");
        for unknown in ["unknown.test", "a.b.wild.test", "known.test.evil.test"] {
            assert_eq!(shown(proxy.tls_port, unknown, true), default, "server name {unknown} ({driver})");
        }
    }
}

#[test]
fn tls_stream_ends_with_close_notify() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let mut stream = connect(proxy.tls_port);
        stream.write_all(GET.as_bytes()).expect("sent");
        let mut received = Vec::new();
        // A stream without close_notify is an error here, not an end.
        stream.read_to_end(&mut received).unwrap_or_else(|e| panic!("close_notify ({driver}): {e}"));
        assert!(received.ends_with(b"ok"), "close_notify ({driver})");
        assert_eq!(proxy.origin.seen()[0].fields("x-forwarded-proto"), ["https"]);
    }
}

#[test]
fn broken_handshakes_do_not_hurt_other_clients() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let pieces: [&[u8]; 6] = [
            b"",
            b"\x16\x03\x01",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\x16\x03\x01\xff\xff",
            b"\x80\x2e\x01\x00\x02",
            b"\x15\x03\x01\x00\x02\x02\x28",
        ];
        let mut stalled = Vec::new();
        for n in 0..300 {
            let mut client = Client::to(proxy.tls_port);
            client.send(pieces[n % pieces.len()]);
            stalled.push(client);
        }
        let start = Instant::now();
        let mut stream = connect(proxy.tls_port);
        stream.write_all(GET.as_bytes()).expect("sent");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("a response beside the stalled handshakes");
        assert!(start.elapsed() < Duration::from_secs(3), "broken handshake ({driver}): {:?}", start.elapsed());
        // Plain HTTP on the TLS port gets a 400, and a stalled handshake is closed near the limit of ten seconds.
        let mut plain = Client::to(proxy.tls_port);
        plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (words, ended) = plain.rest(Duration::from_secs(3));
        assert!(
            find(&words, b"400").is_some() && ended,
            "broken handshake ({driver}): {:?}",
            words.escape_ascii().to_string()
        );
        for client in &mut stalled {
            assert!(
                client.is_closed_within(Duration::from_secs(13)),
                "broken handshake ({driver}): a stalled handshake stays"
            );
        }
    }
}

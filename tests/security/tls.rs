//! Rows 56 to 58: versions, certificates by name, the end of the stream, and handshakes that are broken or stall.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::DRIVERS;
use crate::client::{Client, find};
use crate::proxy::{Options, Proxy};

const GET: &str = "GET /tls HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// The proxy's own certificate is signed by nobody: which one it shows is looked at, not believed.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn connect(port: u16) -> StreamOwned<ClientConnection, TcpStream> {
    connect_as(port, "a.test", true)
}

/// A session for `name`, which the proxy is told only with `says_name`.
fn connect_as(port: u16, name: &'static str, says_name: bool) -> StreamOwned<ClientConnection, TcpStream> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let mut config = config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth();
    config.enable_sni = says_name;
    let name = ServerName::try_from(name).expect("a name");
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the proxy accepts");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).expect("a session"), stream)
}

#[test]
fn row_56_old_versions_are_refused() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let try_with = |arguments: &[&str]| {
            let mut command = Command::new("openssl");
            command.args(["s_client", "-connect", &format!("127.0.0.1:{}", proxy.tls_port), "-servername", "a.test"]);
            let output = command.args(arguments).stdin(Stdio::null()).output().expect("openssl is installed");
            String::from_utf8_lossy(&output.stdout).contains("Cipher is (NONE)") || !output.status.success()
        };
        assert!(!try_with(&["-tls1_2"]) && !try_with(&["-tls1_3"]), "56 ({driver}): the versions of today work");
        for version in ["-tls1", "-tls1_1"] {
            assert!(try_with(&[version, "-cipher", "ALL:@SECLEVEL=0"]), "56 {version} ({driver})");
        }
        for cipher in ["AES128-SHA", "DES-CBC3-SHA", "RC4-SHA", "NULL", "aNULL", "ECDHE-RSA-AES128-SHA"] {
            let text = format!("{cipher}:@SECLEVEL=0");
            assert!(try_with(&["-tls1_2", "-cipher", &text]), "56 {cipher} ({driver})");
        }
    }
}

/// The certificate that the proxy shows, after a whole exchange with it.
fn shown(port: u16, name: &'static str, says_name: bool) -> CertificateDer<'static> {
    let mut stream = connect_as(port, name, says_name);
    stream.write_all(GET.as_bytes()).expect("sent");
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("an answer and close_notify");
    assert!(received.ends_with(b"ok"), "57 {name}: {:?}", received.escape_ascii().to_string());
    stream.conn.peer_certificates().expect("certificates")[0].clone().into_owned()
}

#[test]
fn row_57_each_name_gets_its_certificate_and_none_the_default() {
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
        assert_eq!(shown(proxy.tls_port, "known.test", true), known, "57 known ({driver})");
        assert_eq!(shown(proxy.tls_port, "KNOWN.test", true), known, "57 known in capitals ({driver})");
        assert_eq!(shown(proxy.tls_port, "a.wild.test", true), any, "57 wild card ({driver})");
        let default = shown(proxy.tls_port, "known.test", false);
        assert!(default != known && default != any, "57 no name ({driver})");
        for unknown in ["unknown.test", "a.b.wild.test", "known.test.evil.test"] {
            assert_eq!(shown(proxy.tls_port, unknown, true), default, "57 {unknown} ({driver})");
        }
    }
}

#[test]
fn row_57_the_end_of_the_stream_is_said() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let mut stream = connect(proxy.tls_port);
        stream.write_all(GET.as_bytes()).expect("sent");
        let mut received = Vec::new();
        // A stream without close_notify is an error here, not an end.
        stream.read_to_end(&mut received).unwrap_or_else(|e| panic!("57 ({driver}): {e}"));
        assert!(received.ends_with(b"ok"), "57 ({driver})");
        assert_eq!(proxy.origin.seen()[0].fields("x-forwarded-proto"), ["https"]);
    }
}

#[test]
fn row_58_broken_and_stalled_handshakes_cost_others_nothing() {
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
        stream.read_to_end(&mut received).expect("an answer beside them");
        assert!(start.elapsed() < Duration::from_secs(3), "58 ({driver}): {:?}", start.elapsed());
        // Plain HTTP on the port gets words, and whoever stalls is closed near the ten seconds of the contract.
        let mut plain = Client::to(proxy.tls_port);
        plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (words, ended) = plain.rest(Duration::from_secs(3));
        assert!(find(&words, b"400").is_some() && ended, "58 ({driver}): {:?}", words.escape_ascii().to_string());
        for client in &mut stalled {
            assert!(client.is_closed_within(Duration::from_secs(13)), "58 ({driver}): a stalled handshake stays");
        }
    }
}

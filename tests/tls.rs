//! Two TLS sessions connected in memory: handshakes, ends, refusals, limits.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use ringway::tls::certificate::{Certificate, CertificateError, name_covers};
use ringway::tls::resolver::{CertStore, EntryPointCerts, Resolver};
use ringway::tls::session::{Plaintext, Session, looks_like_http};
use ringway::tls::settings::{ClientSettings, ServerSettings, SettingsError, client_config, server_config};
use ringway::tls::tickets::Resumption;
use rustls::pki_types::ServerName;
use rustls::{CipherSuite, ClientConfig, ProtocolVersion, ServerConfig};

/// Plaintext that rustls buffers before it accepts no more ciphertext.
const PLAIN_BYTES_MAX: usize = 16 * 1024;

/// Alert descriptions (RFC 8446 6).
const ALERT_HANDSHAKE_FAILURE: u8 = 40;
const ALERT_ACCESS_DENIED: u8 = 49;
const ALERT_PROTOCOL_VERSION: u8 = 70;

struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pem {
    fn new(names: &[&str]) -> Pem {
        let pair = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
        let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&pair).unwrap().pem();
        Pem { certificate: certificate.into_bytes(), key: pair.serialize_pem().into_bytes() }
    }

    fn read(&self) -> Arc<Certificate> {
        Arc::new(Certificate::from_pem(&self.certificate, &self.key).unwrap())
    }
}

fn resolver(certificates: &[&Pem], strict: bool) -> Arc<Resolver> {
    let fixed = certificates.iter().map(|pem| pem.read()).collect();
    let store = CertStore::new(
        [EntryPointCerts { entry_point: "https".into(), static_certificates: fixed, ..Default::default() }],
        None,
    );
    Arc::new(Resolver::new("https", Arc::new(ArcSwap::from_pointee(store)), strict))
}

fn server(settings: ServerSettings, certificates: &[&Pem], strict: bool) -> Arc<ServerConfig> {
    let (config, warnings) =
        server_config(&settings, resolver(certificates, strict), &Resumption::new().unwrap()).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    Arc::new(config)
}

fn client(roots: &[&Pem], settings: ClientSettings) -> Arc<ClientConfig> {
    let root_cas = roots.iter().map(|pem| pem.certificate.clone()).collect();
    Arc::new(client_config(&ClientSettings { root_cas, ..settings }, &[]).unwrap())
}

fn name(text: &str) -> ServerName<'static> {
    ServerName::try_from(text.to_owned()).unwrap()
}

/// Client and server with a wire between them that carries `piece` bytes at a time.
struct Pair {
    client: Session,
    server: Session,
    piece: usize,
    at_client: Vec<u8>,
    at_server: Vec<u8>,
}

impl Pair {
    fn new(client_config: &Arc<ClientConfig>, server_config: &Arc<ServerConfig>, to: &str) -> Pair {
        let client = Session::client(client_config.clone(), name(to)).unwrap();
        let server = Session::server(server_config.clone()).unwrap();
        Pair { client, server, piece: usize::MAX, at_client: Vec::new(), at_server: Vec::new() }
    }

    /// Carries bytes in both directions until neither side has any left. The first failure ends it: returns the failing side, and the alert
    /// in its output.
    fn talk(&mut self) -> Result<(), (&'static str, String, Option<u8>)> {
        while self.client.wants_write() || self.server.wants_write() {
            carry(&mut self.client, &mut self.server, &mut self.at_server, self.piece)
                .map_err(|(why, alert)| ("server", why, alert))?;
            carry(&mut self.server, &mut self.client, &mut self.at_client, self.piece)
                .map_err(|(why, alert)| ("client", why, alert))?;
        }
        Ok(())
    }
}

fn carry(from: &mut Session, to: &mut Session, plain: &mut Vec<u8>, piece: usize) -> Result<(), (String, Option<u8>)> {
    let mut wire = Vec::new();
    from.take_output(&mut wire);
    for bytes in wire.chunks(piece.min(wire.len().max(1))) {
        if let Err(e) = to.receive_into(bytes, plain) {
            let mut output = Vec::new();
            to.take_output(&mut output);
            return Err((e.to_string(), last_alert(&output)));
        }
    }
    Ok(())
}

/// The description in an unencrypted alert record at the end of `output`.
fn last_alert(output: &[u8]) -> Option<u8> {
    let record = output.last_chunk::<7>()?;
    (record[0] == 21).then_some(record[6])
}

#[test]
fn application_data_passes_at_any_segmentation() {
    let pem = Pem::new(&["a.example"]);
    let alpn = vec![b"http/1.1".to_vec()];
    let server = server(ServerSettings { alpn: alpn.clone(), ..Default::default() }, &[&pem], false);
    let client = client(&[&pem], ClientSettings { alpn, ..Default::default() });
    for piece in [1, 2, 5, 6, 100, 4096, usize::MAX] {
        let mut pair = Pair { piece, ..Pair::new(&client, &server, "a.example") };
        assert!(pair.client.is_handshaking() && pair.server.is_handshaking());
        // Written before the handshake: leaves together with the client's Finished and must not be lost.
        assert_eq!(pair.client.write_plain(b"early ").unwrap(), 6);
        pair.talk().unwrap();
        assert_eq!(pair.at_server, b"early ", "pieces of {piece}");
        pair.client.write_plain(b"head ").unwrap();
        pair.client.write_plain(b"body").unwrap();
        pair.server.write_plain(b"answer").unwrap();
        pair.talk().unwrap();
        assert_eq!((&pair.at_server[..], &pair.at_client[..]), (&b"early head body"[..], &b"answer"[..]));
        assert!(!pair.client.is_handshaking() && !pair.server.is_handshaking());
        assert_eq!(pair.server.alpn(), Some(&b"http/1.1"[..]));
        assert_eq!(pair.server.server_name(), Some("a.example"));
        assert_eq!(pair.server.version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(pair.server.cipher_suite(), Some(CipherSuite::TLS13_AES_128_GCM_SHA256));
        assert_eq!(pair.client.peer_certificates().len(), 1);
    }
}

#[test]
fn quarter_mebibyte_is_encrypted_in_one_call() {
    let pem = Pem::new(&["a.example"]);
    let mut pair =
        Pair::new(&client(&[&pem], Default::default()), &server(Default::default(), &[&pem], false), "a.example");
    pair.talk().unwrap();
    let body: Vec<u8> = (0..256 * 1024u32).map(|i| (i % 251) as u8).collect();
    assert_eq!(pair.server.write_plain(&body).unwrap(), body.len());
    let mut wire = Vec::new();
    pair.server.take_output(&mut wire);
    assert!(wire.len() > body.len() && !pair.server.wants_write());
    // Without reading, only about one record is accepted: the rest waits for the reader.
    let consumed = pair.client.receive(&wire).unwrap();
    assert!(consumed < wire.len() && consumed <= 3 * PLAIN_BYTES_MAX, "{consumed}");
    assert_eq!(pair.client.receive(&wire[consumed..]).unwrap(), 0);
    let mut read = Vec::new();
    assert_eq!(pair.client.read_plain(&mut read, 10), Plaintext::Data(10));
    assert!(matches!(pair.client.read_plain(&mut read, usize::MAX), Plaintext::Data(_)));
    assert_eq!(pair.client.read_plain(&mut read, usize::MAX), Plaintext::Pending);
    pair.client.receive_into(&wire[consumed..], &mut read).unwrap();
    assert!(read == body);
}

#[test]
fn data_above_the_buffer_limit_waits_for_output() {
    let pem = Pem::new(&["a.example"]);
    let mut pair =
        Pair::new(&client(&[&pem], Default::default()), &server(Default::default(), &[&pem], false), "a.example");
    pair.talk().unwrap();
    let body = vec![7u8; 1 << 20];
    let first = pair.server.write_plain(&body).unwrap();
    assert!((256 * 1024..body.len()).contains(&first));
    let mut sent = first;
    while sent < body.len() {
        pair.talk().unwrap();
        sent += pair.server.write_plain(&body[sent..]).unwrap();
    }
    pair.talk().unwrap();
    assert!(pair.at_client == body);
}

#[test]
fn bytes_after_close_notify_are_ignored() {
    let pem = Pem::new(&["a.example"]);
    let mut pair =
        Pair::new(&client(&[&pem], Default::default()), &server(Default::default(), &[&pem], false), "a.example");
    pair.talk().unwrap();
    pair.client.write_plain(b"last").unwrap();
    pair.client.close_notify();
    let mut wire = Vec::new();
    pair.client.take_output(&mut wire);
    wire.extend_from_slice(b"garbage after the end");
    assert_eq!(pair.server.receive(&wire).unwrap(), wire.len());
    let mut read = Vec::new();
    assert_eq!(pair.server.read_plain(&mut read, 100), Plaintext::Data(4));
    assert_eq!(pair.server.read_plain(&mut read, 100), Plaintext::Closed);
    assert_eq!(pair.server.receive(b"more").unwrap(), 4);
    // The other direction is still open.
    pair.server.write_plain(b"answer").unwrap();
    pair.talk().unwrap();
    assert_eq!(pair.at_client, b"answer");
}

#[test]
fn end_without_close_notify_is_an_error() {
    let pem = Pem::new(&["a.example"]);
    let mut pair =
        Pair::new(&client(&[&pem], Default::default()), &server(Default::default(), &[&pem], false), "a.example");
    pair.talk().unwrap();
    assert_eq!(pair.server.read_plain(&mut Vec::new(), 100), Plaintext::Pending);
}

#[test]
fn sni_selects_certificate_and_strict_sni_refuses() {
    let (first, second) = (Pem::new(&["a.example"]), Pem::new(&["*.b.example"]));
    let trusting = client(&[], ClientSettings { insecure_skip_verify: true, ..Default::default() });
    let shown = |to: &str, strict: bool| {
        let mut pair = Pair::new(&trusting, &server(Default::default(), &[&first, &second], strict), to);
        pair.talk().map(|()| pair.client.peer_certificates()[0].clone())
    };
    let der = |pem: &Pem| pem.read().key.cert[0].clone();
    assert_eq!(shown("a.example", true).unwrap(), der(&first));
    assert_eq!(shown("x.b.example", true).unwrap(), der(&second));
    assert_eq!(shown("other.example", false).unwrap(), der(&first));
    assert_eq!(shown("192.0.2.7", false).unwrap(), der(&first));
    for unknown in ["other.example", "192.0.2.7"] {
        let (side, _, alert) = shown(unknown, true).unwrap_err();
        assert_eq!((side, alert), ("server", Some(ALERT_ACCESS_DENIED)));
    }
}

#[test]
fn next_handshake_uses_a_new_certificate_store() {
    let (old, new) = (Pem::new(&["a.example"]), Pem::new(&["a.example"]));
    let point = |pem: &Pem| EntryPointCerts { entry_point: "e".into(), acme: vec![pem.read()], ..Default::default() };
    let store = Arc::new(ArcSwap::from_pointee(CertStore::new([point(&old)], None)));
    let resolver = Arc::new(Resolver::new("e", store.clone(), true));
    let (config, _) = server_config(&Default::default(), resolver, &Resumption::new().unwrap()).unwrap();
    let config = Arc::new(config);
    let trust_new = client(&[&new], Default::default());
    assert_eq!(Pair::new(&trust_new, &config, "a.example").talk().unwrap_err().0, "client");
    store.store(Arc::new(CertStore::new([point(&new)], None)));
    Pair::new(&trust_new, &config, "a.example").talk().unwrap();
}

#[test]
fn sessions_resume_across_configurations() {
    let pem = Pem::new(&["a.example"]);
    let shared = Resumption::new().unwrap();
    let config = |resumption: &Resumption| {
        Arc::new(server_config(&Default::default(), resolver(&[&pem], false), resumption).unwrap().0)
    };
    let client = client(&[&pem], Default::default());
    let resumed = |config: &Arc<ServerConfig>| {
        let mut pair = Pair::new(&client, config, "a.example");
        pair.talk().unwrap();
        pair.server.is_resumed()
    };
    assert!(!resumed(&config(&shared)));
    assert!(resumed(&config(&shared)));
    // Another entry point has other keys: a ticket must not carry over.
    assert!(!resumed(&config(&Resumption::new().unwrap())));
}

#[test]
fn client_certificates_are_required_or_optional() {
    let (pem, own, stranger) = (Pem::new(&["a.example"]), Pem::new(&["client"]), Pem::new(&["stranger"]));
    let asking = |client_ca_optional| {
        let client_ca = vec![own.certificate.clone()];
        server(ServerSettings { client_ca, client_ca_optional, ..Default::default() }, &[&pem], false)
    };
    let showing = |shown: Option<&Pem>| {
        let identity = shown.map(|pem| (pem.certificate.clone(), pem.key.clone()));
        client(&[&pem], ClientSettings { identity, ..Default::default() })
    };
    let outcome = |shown: Option<&Pem>, optional| {
        let mut pair = Pair::new(&showing(shown), &asking(optional), "a.example");
        pair.talk().map(|()| pair.server.peer_certificates().len())
    };
    assert_eq!(outcome(Some(&own), false), Ok(1));
    assert_eq!(outcome(Some(&own), true), Ok(1));
    assert_eq!(outcome(None, true), Ok(0));
    assert_eq!(outcome(None, false).unwrap_err().0, "server");
    assert_eq!(outcome(Some(&stranger), false).unwrap_err().0, "server");
    assert_eq!(outcome(Some(&stranger), true).unwrap_err().0, "server");
}

#[test]
fn backends_are_verified_unless_disabled() {
    let (pem, other) = (Pem::new(&["a.example"]), Pem::new(&["a.example"]));
    let server = server(Default::default(), &[&pem], false);
    Pair::new(&client(&[&pem], Default::default()), &server, "a.example").talk().unwrap();
    assert_eq!(Pair::new(&client(&[&other], Default::default()), &server, "a.example").talk().unwrap_err().0, "client");
    assert_eq!(Pair::new(&client(&[&pem], Default::default()), &server, "b.example").talk().unwrap_err().0, "client");
    let any = ClientSettings { insecure_skip_verify: true, ..Default::default() };
    Pair::new(&client(&[&other], any), &server, "b.example").talk().unwrap();
    // On a machine without root certificates the program starts, and trusts no server.
    let none = Arc::new(client_config(&ClientSettings::default(), &[]).unwrap());
    assert_eq!(Pair::new(&none, &server, "a.example").talk().unwrap_err().0, "client");
    let system = Arc::new(client_config(&ClientSettings::default(), &[pem.read().key.cert[0].clone()]).unwrap());
    Pair::new(&system, &server, "a.example").talk().unwrap();
}

/// A client that speaks TLS 1.2 and nothing newer.
fn only_tls12(root: &Pem) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS12]);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.read().key.cert[0].clone()).unwrap();
    Arc::new(builder.unwrap().with_root_certificates(roots).with_no_client_auth())
}

/// A ClientHello that asks for TLS 1.1: one for 1.2 with the version changed, in its field (RFC 5246 7.4.1.2) and in
/// the supported_versions extension (RFC 8446 4.2.1).
fn hello_of_tls11(root: &Pem) -> Vec<u8> {
    let mut hello = Vec::new();
    Session::client(only_tls12(root), name("a.example")).unwrap().take_output(&mut hello);
    assert_eq!(hello[9..11], [3, 3]);
    hello[10] = 2;
    let extension = [0, 43, 0, 3, 2, 3, 3];
    let at = hello.windows(extension.len()).position(|window| window == extension).unwrap();
    hello[at + extension.len() - 1] = 2;
    hello
}

#[test]
fn old_versions_and_garbage_get_an_alert() {
    let pem = Pem::new(&["a.example"]);
    let config = server(Default::default(), &[&pem], false);
    let refuse = |bytes: &[u8]| {
        let mut session = Session::server(config.clone()).unwrap();
        session.receive(bytes).unwrap_err();
        // The failure stays: later calls neither succeed nor panic.
        assert!(session.write_plain(b"x").is_err());
        let mut output = Vec::new();
        session.take_output(&mut output);
        last_alert(&output)
    };
    assert_eq!(refuse(&hello_of_tls11(&pem)), Some(ALERT_PROTOCOL_VERSION));
    assert!(refuse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_some());
    assert!(
        looks_like_http(b"GET / HTTP/1.1") && looks_like_http(b"POST /x") && !looks_like_http(&hello_of_tls11(&pem))
    );
    assert!(!looks_like_http(b"GET"));
}

#[test]
fn partial_client_hello_waits_for_more() {
    let pem = Pem::new(&["a.example"]);
    let config = server(Default::default(), &[&pem], false);
    let mut hello = Vec::new();
    Session::client(client(&[&pem], Default::default()), name("a.example")).unwrap().take_output(&mut hello);
    for cut in 0..hello.len() {
        let mut session = Session::server(config.clone()).unwrap();
        assert_eq!(session.receive(&hello[..cut]).unwrap(), cut);
        assert!(session.is_handshaking() && !session.wants_write(), "cut at {cut}");
    }
}

#[test]
fn min_version_and_suites_are_honoured() {
    let pem = Pem::new(&["a.example"]);
    let build = |min_version: &str, suites: &[&str]| {
        let cipher_suites = suites.iter().map(|name| name.to_string()).collect();
        let settings = ServerSettings { min_version: min_version.into(), cipher_suites, ..Default::default() };
        server_config(&settings, resolver(&[&pem], false), &Resumption::new().unwrap())
    };
    let talk = |config| {
        let mut pair = Pair::new(&only_tls12(&pem), &Arc::new(config), "a.example");
        pair.talk().map(|()| pair.server.cipher_suite().unwrap())
    };
    let (config, warnings) = build("", &["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305"]).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(talk(config), Ok(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256));
    assert_eq!(talk(build("VersionTLS13", &[]).unwrap().0).unwrap_err().2, Some(ALERT_PROTOCOL_VERSION));
    let (config, _) = build("", &["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]).unwrap();
    assert_eq!(talk(config).unwrap_err().2, Some(ALERT_HANDSHAKE_FAILURE));
    let (_, warnings) = build("VersionTLS10", &["TLS_RSA_WITH_AES_128_CBC_SHA"]).unwrap();
    let said = warnings.join("\n");
    assert!(said.contains("VersionTLS10") && said.contains("TLS_RSA_WITH_AES_128_CBC_SHA") && said.contains("TLS 1.3"));
    assert_eq!(build("", &["XX"]).unwrap_err(), SettingsError::UnknownCipherSuite("XX".into()));
    assert_eq!(build("VersionTLS9", &[]).unwrap().1.len(), 1);
}

#[test]
fn bad_authorities_are_named_by_position() {
    let pem = Pem::new(&["a.example"]);
    let client_ca = vec![pem.certificate.clone(), b"nothing".to_vec()];
    let settings = ServerSettings { client_ca, ..Default::default() };
    let error = server_config(&settings, resolver(&[&pem], false), &Resumption::new().unwrap()).unwrap_err();
    assert!(matches!(error, SettingsError::ClientCa(1, _)) && error.to_string().contains("entry 2"));
    let settings = ClientSettings { root_cas: vec![b"nothing".to_vec()], ..Default::default() };
    assert!(matches!(client_config(&settings, &[]).unwrap_err(), SettingsError::RootCa(0, _)));
}

#[test]
fn certificate_errors_say_which_part_is_bad() {
    let (pem, other) = (Pem::new(&["a.example"]), Pem::new(&["a.example"]));
    let fail = |certificate: &[u8], key: &[u8]| Certificate::from_pem(certificate, key).unwrap_err();
    assert_eq!(fail(b"", &pem.key), CertificateError::NoCertificate);
    assert_eq!(fail(&pem.key, &pem.key), CertificateError::NoCertificate);
    assert_eq!(fail(&pem.certificate, b""), CertificateError::NoKey);
    assert_eq!(fail(&pem.certificate, &pem.certificate), CertificateError::NoKey);
    assert_eq!(fail(&pem.certificate, &other.key), CertificateError::Mismatch);
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(fail(broken, &pem.key), CertificateError::BadCertificate(_)));
    let broken = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(fail(&pem.certificate, broken), CertificateError::BadKey(_)));
    let locked = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(fail(&pem.certificate, locked).to_string().contains("encrypted with a password"));
}

#[test]
fn key_is_found_among_several_and_under_a_label_of_another_format() {
    let (pem, other) = (Pem::new(&["a.example"]), Pem::new(&["a.example"]));
    let both = [&other.key[..], &pem.key].concat();
    assert!(Certificate::from_pem(&pem.certificate, &both).is_ok());
    assert_eq!(Certificate::from_pem(&pem.certificate, &other.key).unwrap_err(), CertificateError::Mismatch);
    let relabelled = String::from_utf8(pem.key.clone()).unwrap().replace("PRIVATE KEY", "RSA PRIVATE KEY");
    assert!(Certificate::from_pem(&pem.certificate, relabelled.as_bytes()).is_ok());
    // A damaged key beside a good one costs itself alone; a damaged certificate costs the chain.
    let broken = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(Certificate::from_pem(&pem.certificate, &[&broken[..], &pem.key].concat()).is_ok());
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = Certificate::from_pem(&[&pem.certificate[..], broken].concat(), &pem.key).unwrap_err().to_string();
    let line = pem.certificate.iter().filter(|byte| **byte == b'\n').count() + 1;
    assert!(error.contains(&format!("line {line}: ")), "{error}");
}

#[test]
fn certificate_names_are_lower_case() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let names = ["B.Example", "*.c.example", "192.0.2.1", "2001:db8::1"].map(str::to_owned);
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "A.Example");
    let pem = params.self_signed(&pair).unwrap().pem();
    let certificate = Certificate::from_pem(pem.as_bytes(), pair.serialize_pem().as_bytes()).unwrap();
    assert_eq!(certificate.names, ["*.c.example", "192.0.2.1", "2001:db8::1", "a.example", "b.example"]);
    assert!(certificate.covers("x.c.example") && !certificate.covers("x.y.c.example"));
    assert!(name_covers("*.*.d", "x.y.d") && !name_covers("*.d", "d") && !name_covers("*.d", ".d"));
}

#[test]
fn generated_certificate_lasts_a_year() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let certificate = Certificate::generated([0xab; 32], now).unwrap();
    let half = "ab".repeat(16);
    assert_eq!(certificate.names, [format!("{half}.{half}.traefik.default"), "traefik default cert".to_owned()]);
    assert_eq!(certificate.not_after_secs, 1_700_000_000 + 365 * 86_400);
    assert_eq!(certificate.expiry_warning(1_700_000_000), None);
    assert!(certificate.expiry_warning(1_700_000_000 + 400 * 86_400).unwrap().contains("expired 35 days ago"));
    assert!(certificate.expiry_warning(0).unwrap().contains("not valid yet"));
}

#[test]
fn listener_address_replaces_a_missing_name() {
    let (first, own) = (Pem::new(&["a.example"]), Pem::new(&["192.0.2.1"]));
    let fixed = vec![first.read(), own.read()];
    let store = CertStore::new(
        [EntryPointCerts { entry_point: "e".into(), static_certificates: fixed, ..Default::default() }],
        None,
    );
    let local: IpAddr = "192.0.2.1".parse().unwrap();
    let resolver = Arc::new(Resolver::for_listener("e", Arc::new(ArcSwap::from_pointee(store)), true, local));
    let (config, _) = server_config(&Default::default(), resolver, &Resumption::new().unwrap()).unwrap();
    let mut pair = Pair::new(&client(&[&own], Default::default()), &Arc::new(config), "192.0.2.1");
    pair.talk().unwrap();
}

//! TLS sessions with the proxy, for HTTP/1.1 and HTTP/2.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::support::http2_client::{Http2Client, Wire};

/// Accepts every certificate: the proxy's are self-signed, and the tests compare which of them is presented.
#[derive(Debug)]
struct AcceptAnyCertificate;

impl ServerCertVerifier for AcceptAnyCertificate {
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

pub fn connect(port: u16) -> StreamOwned<ClientConnection, TcpStream> {
    connect_as(port, "a.test", true)
}

/// A connection whose session has chosen HTTP/2 (RFC 9113 3.2).
pub fn http2(port: u16, settings: &[(u16, u32)]) -> Http2Client {
    http2_behind(b"", port, settings)
}

/// As [`http2`], on a connection that begins with `header`.
pub fn http2_behind(header: &[u8], port: u16, settings: &[(u16, u32)]) -> Http2Client {
    let mut session = session(header, port, "a.test", true, &[b"h2"]);
    session.conn.complete_io(&mut session.sock).expect("a handshake");
    assert_eq!(session.conn.alpn_protocol(), Some(&b"h2"[..]), "ALPN");
    Http2Client::over(Wire::Tls(Box::new(session)), settings)
}

/// A session for `name`; the ClientHello carries the name only if `sends_name`.
pub fn connect_as(port: u16, name: &'static str, sends_name: bool) -> StreamOwned<ClientConnection, TcpStream> {
    session(b"", port, name, sends_name, &[])
}

/// A session on a connection that begins with `header`.
pub fn connect_behind(header: &[u8], port: u16) -> StreamOwned<ClientConnection, TcpStream> {
    session(header, port, "a.test", true, &[])
}

fn session(
    header: &[u8],
    port: u16,
    name: &'static str,
    sends_name: bool,
    protocols: &[&[u8]],
) -> StreamOwned<ClientConnection, TcpStream> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let mut config =
        config.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate)).with_no_client_auth();
    config.enable_sni = sends_name;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from(name).expect("a name");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the proxy accepts");
    stream.write_all(header).expect("sent");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).expect("a session"), stream)
}

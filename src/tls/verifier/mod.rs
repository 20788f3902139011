//! Verifies the certificates of servers and of clients, for all connections of the process: backends, forward authentication, Docker, ACME,
//! and clients of entry points (docs/reference/static-configuration.md#certificates-of-the-other-side).
//!
//! rustls' own verifier judges first. What that one refuses is judged again by the rules of Go's crypto/x509, which accept more: a
//! configured certificate is an anchor for itself, version 1 is allowed, and a few readings of RFC 5280 differ ([`chain`]). The signature
//! of a handshake is verified with the bare public key of the certificate ([`signature`]), so that it also works for certificates that
//! rustls' parser refuses.

pub mod chain;
pub mod der;
pub mod names;
pub mod refusal;
pub mod signature;
mod small_rsa;

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};

use chain::{Anchors, ParsedCertificate, Usage, Verification};
use refusal::Refusal;

/// The configured certificates, and what both verifiers need.
struct Trust {
    anchors: Anchors,
    /// The validity of each anchor that rustls' verifier knows, in seconds since 1970. That verifier does not check it.
    plain_validity: Vec<(i64, i64)>,
    supported: WebPkiSupportedAlgorithms,
    /// The option that names the certificates, for messages.
    option: &'static str,
}

impl Trust {
    /// Splits the certificates: the second value has those that rustls' verifier may use as anchors.
    fn new(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
        provider: &CryptoProvider,
        option: &'static str,
    ) -> (Trust, RootCertStore) {
        let anchors = Anchors::new(certificates);
        let (mut plain, mut plain_validity) = (RootCertStore::empty(), Vec::new());
        for der in anchors.certificates() {
            let Ok(certificate) = ParsedCertificate::read(der) else { continue };
            if certificate.is_plain_authority() && plain.add(der.clone()).is_ok() {
                plain_validity.push(certificate.validity_secs());
            }
        }
        let supported = provider.signature_verification_algorithms;
        (Trust { anchors, plain_validity, supported, option }, plain)
    }

    /// Whether rustls' verifier accepts no more than Go's here: its anchors are valid now, and the intermediate certificates, whose key usage
    /// it does not read, may issue others.
    fn is_plain(&self, intermediates: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.plain_validity.iter().all(|(first, last)| (*first..=*last).contains(&now))
            && intermediates.iter().all(|der| ParsedCertificate::read(der).is_ok_and(|read| read.may_issue()))
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        server: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let now_secs = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let supported = &self.supported;
        let verification = Verification { anchors: &self.anchors, intermediates, usage, server, now_secs, supported };
        let (subject, (reason, concerns)) = match ParsedCertificate::read(leaf) {
            Ok(leaf) => match chain::verify(&leaf, &verification) {
                Ok(()) => return Ok(()),
                Err(refused) => (leaf.subject(), refused),
            },
            Err(reason) => ("an unknown subject".to_owned(), (reason, None)),
        };
        Err(Refusal { subject, concerns, reason, option: self.option })
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({} certificates of {})", self.anchors.certificates().len(), self.option)
    }
}

/// The verifier for servers.
#[derive(Debug)]
pub struct ServerVerifier {
    trust: Trust,
    webpki: Option<Arc<WebPkiServerVerifier>>,
}

/// The methods of both traits that verify the signature of a handshake, with the algorithms in this field.
macro_rules! verify_handshakes {
    ($($supported:ident).+) => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            signature::verify_tls12(message, certificate, signed, &self.$($supported).+)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            signature::verify_tls13(message, certificate, signed, &self.$($supported).+)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.$($supported).+.supported_schemes()
        }
    };
}

impl ServerVerifier {
    /// `option`: the option that names the certificates, for messages. Without any certificate every server is refused.
    pub fn new(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
        option: &'static str,
    ) -> ServerVerifier {
        let (trust, plain) = Trust::new(certificates, provider, option);
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(plain), Arc::clone(provider)).build().ok();
        ServerVerifier { trust, webpki }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(webpki) = self.webpki.as_ref().filter(|_| self.trust.is_plain(intermediates, now))
            && let Ok(verified) = webpki.verify_server_cert(leaf, intermediates, server, ocsp_response, now)
        {
            return Ok(verified);
        }
        let judged = self.trust.verify(leaf, intermediates, Usage::Server, Some(server), now);
        judged.map(|()| ServerCertVerified::assertion()).map_err(Refusal::into_error)
    }

    verify_handshakes!(trust.supported);
}

/// The verifier for `insecureSkipVerify`: any certificate is accepted. The signature of the handshake is still verified: it costs nothing to
/// require that the server has the key of the certificate that it sends.
#[derive(Debug)]
pub struct AnyServer {
    supported: WebPkiSupportedAlgorithms,
}

impl AnyServer {
    pub fn new(provider: &CryptoProvider) -> AnyServer {
        AnyServer { supported: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    verify_handshakes!(supported);
}

/// The verifier for clients of an entry point.
#[derive(Debug)]
pub struct ClientVerifier {
    trust: Trust,
    webpki: Option<Arc<dyn ClientCertVerifier>>,
    /// The subjects of all configured certificates, which tell clients which of their certificates to send.
    subjects: Vec<DistinguishedName>,
    is_mandatory: bool,
}

impl ClientVerifier {
    /// `is_mandatory`: whether a client without a certificate is refused.
    pub fn new(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
        is_mandatory: bool,
    ) -> ClientVerifier {
        let (trust, plain) = Trust::new(certificates, provider, "clientCA.files");
        let webpki = WebPkiClientVerifier::builder_with_provider(Arc::new(plain), Arc::clone(provider)).build().ok();
        let subject = |der: &CertificateDer<'_>| {
            der::CertificateParts::read(der).and_then(|parts| Some(der::element(parts.subject)?.0.content.to_vec()))
        };
        let subjects = trust.anchors.certificates().iter().filter_map(subject);
        let subjects = subjects.map(|subject| DistinguishedName::in_sequence(&subject)).collect();
        ClientVerifier { trust, webpki, subjects, is_mandatory }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if let Some(webpki) = self.webpki.as_ref().filter(|_| self.trust.is_plain(intermediates, now))
            && let Ok(verified) = webpki.verify_client_cert(leaf, intermediates, now)
        {
            return Ok(verified);
        }
        let judged = self.trust.verify(leaf, intermediates, Usage::Client, None, now);
        judged.map(|()| ClientCertVerified::assertion()).map_err(Refusal::record_for_client)
    }

    verify_handshakes!(trust.supported);
}

//! Signatures of certificates and of handshakes, verified with the bare public key of a certificate. The certificate itself is not judged.

use aws_lc_rs::digest::{self, Algorithm};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::SignatureVerificationAlgorithm;
use rustls::{CertificateError, DigitallySignedStruct, PeerMisbehaved, SignatureScheme};

use super::der::{CertificateParts, PublicKey};
use super::small_rsa::{self, Padding};

/// The reason why a signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureError {
    /// The algorithm is not supported, among them all with SHA-1 and MD5.
    Unsupported,
    /// The signature was not made with this key.
    Wrong,
}

/// Verifies that `issuer` has signed a certificate.
///
/// # Errors
/// [`SignatureError`].
pub fn verify_certificate(
    parts: &CertificateParts<'_>,
    issuer: &PublicKey<'_>,
    supported: &WebPkiSupportedAlgorithms,
) -> Result<(), SignatureError> {
    if parts.algorithm != parts.signed_algorithm {
        return Err(SignatureError::Wrong);
    }
    if let Some((_, padding, hash)) = SMALL_RSA.iter().find(|(id, _, _)| parts.algorithm.starts_with(id))
        && small_rsa::is_small(issuer)
    {
        return check(small_rsa::verify(issuer, *padding, hash(), parts.signed, parts.signature));
    }
    let of_certificate = |algorithm: &dyn SignatureVerificationAlgorithm| {
        algorithm.signature_alg_id().as_ref() == parts.algorithm
            && algorithm.public_key_alg_id().as_ref() == issuer.algorithm
    };
    let algorithm = supported.all.iter().find(|algorithm| of_certificate(**algorithm));
    let Some(algorithm) = algorithm else { return Err(SignatureError::Unsupported) };
    check(algorithm.verify_signature(issuer.bits, parts.signed, parts.signature).is_ok())
}

type Hash = fn() -> &'static Algorithm;

/// Signature algorithms of certificates whose issuer may have a small RSA key, by the object identifier with its header.
const SMALL_RSA: [([u8; 11], Padding, Hash); 3] = [
    (pkcs1_id(11), Padding::Pkcs1, || &digest::SHA256),
    (pkcs1_id(12), Padding::Pkcs1, || &digest::SHA384),
    (pkcs1_id(13), Padding::Pkcs1, || &digest::SHA512),
];

/// 1.2.840.113549.1.1.`last`
const fn pkcs1_id(last: u8) -> [u8; 11] {
    [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last]
}

/// Verifies the signature of a TLS 1.2 handshake: whether the peer has the key of its certificate.
///
/// # Errors
/// rustls' error for the alert.
pub fn verify_tls12(
    message: &[u8],
    certificate: &[u8],
    signed: &DigitallySignedStruct,
    supported: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    verify_handshake(message, certificate, signed, supported, usize::MAX)
}

/// As [`verify_tls12`], for TLS 1.3: PKCS #1 1.5 is refused, and a scheme of ECDSA is bound to its curve (RFC 8446 4.2.3).
///
/// # Errors
/// rustls' error for the alert.
pub fn verify_tls13(
    message: &[u8],
    certificate: &[u8],
    signed: &DigitallySignedStruct,
    supported: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    use SignatureScheme as Scheme;
    if matches!(
        signed.scheme,
        Scheme::RSA_PKCS1_SHA1
            | Scheme::ECDSA_SHA1_Legacy
            | Scheme::RSA_PKCS1_SHA256
            | Scheme::RSA_PKCS1_SHA384
            | Scheme::RSA_PKCS1_SHA512
    ) {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    }
    verify_handshake(message, certificate, signed, supported, 1)
}

/// `algorithms_max`: how many algorithms of the scheme may be tried.
fn verify_handshake(
    message: &[u8],
    certificate: &[u8],
    signed: &DigitallySignedStruct,
    supported: &WebPkiSupportedAlgorithms,
    algorithms_max: usize,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let parts = CertificateParts::read(certificate).ok_or(CertificateError::BadEncoding)?;
    let Some((_, algorithms)) = supported.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme) else {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    };
    let is_valid = match small_rsa_scheme(signed.scheme).filter(|_| small_rsa::is_small(&parts.key)) {
        Some((padding, hash)) => small_rsa::verify(&parts.key, padding, hash, message, signed.signature()),
        None => algorithms.iter().take(algorithms_max).any(|algorithm| {
            algorithm.public_key_alg_id().as_ref() == parts.key.algorithm
                && algorithm.verify_signature(parts.key.bits, message, signed.signature()).is_ok()
        }),
    };
    match is_valid {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(CertificateError::BadSignature.into()),
    }
}

fn small_rsa_scheme(scheme: SignatureScheme) -> Option<(Padding, &'static Algorithm)> {
    match scheme {
        SignatureScheme::RSA_PKCS1_SHA256 => Some((Padding::Pkcs1, &digest::SHA256)),
        SignatureScheme::RSA_PKCS1_SHA384 => Some((Padding::Pkcs1, &digest::SHA384)),
        SignatureScheme::RSA_PKCS1_SHA512 => Some((Padding::Pkcs1, &digest::SHA512)),
        SignatureScheme::RSA_PSS_SHA256 => Some((Padding::Pss, &digest::SHA256)),
        SignatureScheme::RSA_PSS_SHA384 => Some((Padding::Pss, &digest::SHA384)),
        SignatureScheme::RSA_PSS_SHA512 => Some((Padding::Pss, &digest::SHA512)),
        _ => None,
    }
}

fn check(is_valid: bool) -> Result<(), SignatureError> {
    if is_valid { Ok(()) } else { Err(SignatureError::Wrong) }
}

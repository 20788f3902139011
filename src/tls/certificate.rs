//! A certificate with its key and its names, made from PEM text.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::pem::{self, Block, Damage};

/// The common name of the certificate that is generated for entry points without one
/// (docs/reference/entry-points.md#generated-certificate).
pub const DEFAULT_COMMON_NAME: &str = "TRAEFIK DEFAULT CERT";

/// The suffix of that certificate's only subject alternative name (docs/reference/entry-points.md#generated-certificate).
pub const DEFAULT_NAME_SUFFIX: &str = "traefik.default";

/// The extension of must-staple (RFC 7633 6).
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";

/// The lifetime of that certificate: one year.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A certificate chain with its private key, ready for handshakes.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Chain and key in the form that rustls uses.
    pub key: Arc<CertifiedKey>,
    /// Common name, DNS names and IP addresses of the subject: lower-cased, without trailing dots, sorted, unique.
    pub names: Vec<String>,
    /// Start of validity, seconds since 1970 (may be negative).
    pub not_before_secs: i64,
    /// End of validity, seconds since 1970.
    pub not_after_secs: i64,
}

/// The reason why a [`Certificate`] cannot be made. The message says which part is bad and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateError {
    /// The certificate text holds no CERTIFICATE block.
    NoCertificate,
    /// The certificate text is not PEM, or a block in it is not a certificate, for this reason.
    BadCertificate(String),
    /// The key text holds no private key block.
    NoKey,
    /// The key is damaged, encrypted or of an unknown kind, for this reason.
    BadKey(String),
    /// Certificate and key are valid but do not belong together.
    Mismatch,
    /// The key belongs to a later certificate of the text: its number, counted from 1.
    NotFirst(usize),
    /// Generating a certificate failed for this reason.
    Generation(String),
}

impl Certificate {
    /// Reads a chain (end entity first) and its key, PKCS#8, PKCS#1 or SEC1, from PEM text. Of several keys the one that belongs to the
    /// certificate is used.
    ///
    /// An expired certificate is not an error, see [`Certificate::expiry_warning`]: Traefik serves it too, and a site with an expired
    /// certificate is better than no site.
    ///
    /// # Errors
    /// [`CertificateError`] naming the bad part.
    pub fn from_pem(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Certificate, CertificateError> {
        let chain = chain_from_pem(certificate_pem)?;
        let mut keys = signing_keys(key_pem)?;
        if let Some(at) = keys.iter().position(|key| chain.first().is_some_and(|leaf| belongs_to(&**key, leaf))) {
            keys.swap(0, at);
        } else if let Some(at) = chain.iter().position(|one| keys.iter().any(|key| belongs_to(&**key, one))) {
            return Err(CertificateError::NotFirst(at + 1));
        }
        let key = keys.into_iter().next().ok_or(CertificateError::NoKey)?;
        Certificate::from_chain(chain, key)
    }

    /// As [`Certificate::from_pem`] with parts already decoded.
    ///
    /// # Errors
    /// [`CertificateError`] naming the bad part.
    pub fn from_chain(
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn SigningKey>,
    ) -> Result<Certificate, CertificateError> {
        let Some(first) = chain.first() else { return Err(CertificateError::NoCertificate) };
        let (_, parsed) =
            X509Certificate::from_der(first).map_err(|e| CertificateError::BadCertificate(e.to_string()))?;
        // Compared here because the parser of rustls refuses X.509 v1 certificates, which Go serves.
        let matches = key.public_key().is_none_or(|public| public.as_ref() == parsed.public_key().raw);
        if !matches {
            return Err(CertificateError::Mismatch);
        }
        let names = names_of(&parsed);
        let validity = parsed.validity();
        let (not_before_secs, not_after_secs) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        Ok(Certificate { key: Arc::new(CertifiedKey::new(chain, key)), names, not_before_secs, not_after_secs })
    }

    /// Generates the self-signed certificate of an entry point that has none (docs/reference/entry-points.md#generated-certificate). Its
    /// key is ECDSA P-256 where Traefik uses RSA 2048, a documented difference: every TLS 1.2 client supports it, and it takes a tenth of
    /// the time.
    ///
    /// `random` becomes the name; the key comes from the generator of the crypto library.
    ///
    /// # Errors
    /// The crypto library failed.
    pub fn generated(random: [u8; 32], now: SystemTime) -> Result<Certificate, CertificateError> {
        let failed = |e: rcgen::Error| CertificateError::Generation(e.to_string());
        let name = format!("{}.{}.{DEFAULT_NAME_SUFFIX}", hex(&random[..16]), hex(&random[16..]));
        let mut params = rcgen::CertificateParams::new(vec![name]).map_err(failed)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, DEFAULT_COMMON_NAME);
        params.not_before = now.into();
        params.not_after = (now + DEFAULT_LIFETIME).into();
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let certificate = params.self_signed(&pair).map_err(failed)?;
        Certificate::from_rcgen(&certificate, &pair)
    }

    /// Generates the challenge certificate of TLS-ALPN-01 (RFC 8737 3): self-signed for `name` alone, with the SHA-256 `digest` of the key
    /// authorisation.
    ///
    /// # Errors
    /// `name` is not valid in a certificate.
    pub fn alpn_challenge(name: &str, digest: &[u8; 32]) -> Result<Certificate, CertificateError> {
        let failed = |e: rcgen::Error| CertificateError::Generation(e.to_string());
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).map_err(failed)?;
        params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(digest)];
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let certificate = params.self_signed(&pair).map_err(failed)?;
        Certificate::from_rcgen(&certificate, &pair)
    }

    fn from_rcgen(certificate: &rcgen::Certificate, pair: &rcgen::KeyPair) -> Result<Certificate, CertificateError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let key = any_supported_type(&key).map_err(|e| CertificateError::Generation(e.to_string()))?;
        Certificate::from_chain(vec![certificate.der().clone()], key)
    }

    /// A message for the log if the certificate is not valid at `now_secs` (seconds since 1970).
    pub fn expiry_warning(&self, now_secs: i64) -> Option<String> {
        let names = self.names.join(", ");
        if now_secs > self.not_after_secs {
            let days = (now_secs - self.not_after_secs) / 86_400;
            return Some(format!(
                "the certificate for {names} expired {days} days ago: clients will refuse it, replace it"
            ));
        }
        if now_secs < self.not_before_secs {
            return Some(format!(
                "the certificate for {names} is not valid yet: clients will refuse it, check the clock"
            ));
        }
        None
    }

    /// A message if a certificate of the chain was not signed by the next one: by their names, without checking signatures.
    pub fn order_warning(&self) -> Option<String> {
        let chain = &self.key.cert;
        let parsed: Vec<_> = chain.iter().filter_map(|der| X509Certificate::from_der(der).ok()).collect();
        let is_signed_by_next = |pair: &[(&[u8], X509Certificate<'_>)]| match pair {
            [(_, one), (_, next)] => one.issuer().as_raw() == next.subject().as_raw(),
            _ => true,
        };
        let at = parsed.windows(2).position(|pair| !is_signed_by_next(pair))?;
        Some(format!(
            "the chain of the certificate for {} is out of order: its certificate {} is not followed by its issuer, write that one next",
            self.names.join(", "),
            at + 1
        ))
    }

    /// A message for the log if clients expect a stapled OCSP response with the certificate (RFC 7633), which this proxy does not send.
    pub fn staple_warning(&self) -> Option<String> {
        let (_, parsed) = X509Certificate::from_der(self.key.cert.first()?).ok()?;
        let asks = parsed.extensions().iter().any(|extension| extension.oid.to_id_string() == TLS_FEATURE);
        asks.then(|| {
            format!(
                "the certificate for {} asks for OCSP stapling (must-staple), which is not done: some clients refuse it, \
                 obtain one without",
                self.names.join(", ")
            )
        })
    }

    /// Whether one of the certificate's names covers `name`: see [`name_covers`].
    pub fn covers(&self, name: &str) -> bool {
        self.names.iter().any(|own| name_covers(own, name))
    }
}

/// Whether the certificate name `pattern` covers `name`: the two are equal, or `pattern` has one `*` for each of one or more leading labels
/// of `name` (`*.c.d`, `*.*.d`). Both must be lower-case (docs/reference/entry-points.md#certificate-selection).
pub fn name_covers(pattern: &str, name: &str) -> bool {
    let pattern = pattern.trim_end_matches('.');
    let (mut pattern_rest, mut name_rest) = (pattern, name);
    while let Some(after_star) = pattern_rest.strip_prefix("*.") {
        let Some((label, after_label)) = name_rest.split_once('.') else { return false };
        if label.is_empty() {
            return false;
        }
        (pattern_rest, name_rest) = (after_star, after_label);
    }
    pattern_rest == name_rest
}

/// All certificates of a PEM text, in order: a chain, in which none may be missing.
///
/// # Errors
/// [`CertificateError::NoCertificate`] for a text without certificates, [`CertificateError::BadCertificate`] for a damaged one.
pub fn chain_from_pem(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    match pem::certificates(text) {
        (_, damaged) if !damaged.is_empty() => Err(bad_certificate(&damaged)),
        (chain, _) if chain.is_empty() => Err(CertificateError::NoCertificate),
        (chain, _) => Ok(chain),
    }
}

/// All certificates of a bundle of authorities. Damaged ones are skipped, unless all are; [`pem::authorities`] lists them.
///
/// # Errors
/// As [`chain_from_pem`].
pub fn authorities_from_pem(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    match pem::authorities(text) {
        (good, unused) if good.is_empty() && !unused.is_empty() => Err(bad_certificate(&unused)),
        (good, _) if good.is_empty() => Err(CertificateError::NoCertificate),
        (good, _) => Ok(good),
    }
}

fn bad_certificate(damaged: &[Damage]) -> CertificateError {
    CertificateError::BadCertificate(damaged.iter().map(Damage::to_string).collect::<Vec<_>>().join("; "))
}

/// Whether `key` is the key of a certificate.
fn belongs_to(key: &dyn SigningKey, certificate: &[u8]) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
    key.public_key().is_some_and(|public| public.as_ref() == parsed.public_key().raw)
}

/// All usable keys of a text, in order.
fn signing_keys(text: &[u8]) -> Result<Vec<Arc<dyn SigningKey>>, CertificateError> {
    let (mut keys, mut failed) = (Vec::new(), None);
    for block in pem::keys(text) {
        let line = block.line;
        match signing_key(block, is_encrypted(text)) {
            Ok(key) => keys.push(key),
            Err(reason) => {
                failed.get_or_insert(CertificateError::BadKey(format!("line {line}: {reason}")));
            }
        }
    }
    match (keys.is_empty(), failed) {
        (false, _) => Ok(keys),
        (true, Some(error)) => Err(error),
        (true, None) => Err(CertificateError::NoKey),
    }
}

/// Makes a key of a block. Some tools write a key under the label of another format, so all formats are tried, that of the label first.
fn signing_key(block: Block, is_encrypted: bool) -> Result<Arc<dyn SigningKey>, String> {
    if block.label.starts_with("ENCRYPTED") || is_encrypted {
        return Err("it is encrypted with a password".to_owned());
    }
    let der = block.content?;
    let pkcs8 = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.as_slice()));
    let pkcs1 = PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der.as_slice()));
    let sec1 = PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der.as_slice()));
    let formats = match block.label.as_str() {
        "RSA PRIVATE KEY" => [pkcs1, pkcs8, sec1],
        "EC PRIVATE KEY" => [sec1, pkcs8, pkcs1],
        _ => [pkcs8, pkcs1, sec1],
    };
    let mut failed = None;
    for format in &formats {
        match any_supported_type(format) {
            Ok(key) => return Ok(key),
            Err(error) => failed.get_or_insert(error.to_string()),
        };
    }
    Err(failed.unwrap_or_default())
}

fn is_encrypted(pem: &[u8]) -> bool {
    memchr::memmem::find(pem, b"Proc-Type: 4,ENCRYPTED").is_some()
}

fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut names = BTreeSet::new();
    for common_name in certificate.subject().iter_common_name() {
        names.extend(common_name.as_str().ok().map(canonical));
    }
    // A certificate whose names cannot be parsed has no names: it can still be the default certificate.
    if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
        for name in &alternatives.value.general_names {
            match name {
                GeneralName::DNSName(dns) => names.extend([canonical(dns)]),
                GeneralName::IPAddress(bytes) => names.extend(ip_text(bytes)),
                _ => {}
            }
        }
    }
    names.remove("");
    names.into_iter().collect()
}

fn canonical(name: &str) -> String {
    name.trim().trim_end_matches('.').to_lowercase()
}

fn ip_text(bytes: &[u8]) -> Option<String> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|b| IpAddr::from(b).to_string()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|b| IpAddr::from(b).to_string()),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateError::NoCertificate => {
                f.write_str("the certificate text holds no CERTIFICATE block: give the PEM chain, end entity first")
            }
            CertificateError::BadCertificate(why) => {
                write!(f, "the certificate cannot be read ({why}): give the PEM chain, end entity first")
            }
            CertificateError::NoKey => {
                f.write_str("the key text holds no PRIVATE KEY block: give the PEM key of the certificate")
            }
            CertificateError::BadKey(why) => {
                write!(f, "the private key cannot be used ({why}): give an unencrypted RSA or ECDSA key in PEM")
            }
            CertificateError::Mismatch => {
                f.write_str("the private key does not belong to the certificate: check that both come from one request")
            }
            CertificateError::NotFirst(at) => write!(
                f,
                "the private key belongs to certificate {at} of the file, and not to the first one: write the server's certificate first"
            ),
            CertificateError::Generation(why) => write!(f, "cannot generate a certificate ({why})"),
        }
    }
}

impl std::error::Error for CertificateError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn must_staple_certificate_is_warned_about() {
        let pair = rcgen::KeyPair::generate().expect("a key");
        let certificate = |extensions: Vec<rcgen::CustomExtension>| {
            let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("parameters");
            params.custom_extensions = extensions;
            let pem = params.self_signed(&pair).expect("a certificate").pem();
            Certificate::from_pem(pem.as_bytes(), pair.serialize_pem().as_bytes()).expect("readable")
        };
        // SEQUENCE { INTEGER 5 }: status_request.
        let feature = vec![0x30, 0x03, 0x02, 0x01, 0x05];
        let extension = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], feature);
        assert!(certificate(vec![extension]).staple_warning().is_some_and(|warning| warning.contains("a.example")));
        assert_eq!(certificate(Vec::new()).staple_warning(), None);
    }
}

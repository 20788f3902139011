//! Generates the keys of certificates, and their PEM text in the forms that Traefik writes and reads.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::PrivatePkcs8KeyDer;

/// `acme.keyType` (docs/reference/acme.md#keys).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyType {
    /// `EC256`.
    Ec256,
    /// `EC384`.
    Ec384,
    /// `RSA2048`.
    Rsa2048,
    /// `RSA4096`, also for an unknown value.
    #[default]
    Rsa4096,
    /// `RSA8192`.
    Rsa8192,
}

/// A new private key and its PEM text.
pub struct NewKey {
    /// The key pair that signs the certificate request.
    pub pair: rcgen::KeyPair,
    /// An `RSA PRIVATE KEY` or `EC PRIVATE KEY`, the two kinds that Traefik's ACME library reads for a renewal.
    pub pem: String,
}

impl KeyType {
    /// Parses the configured value. An unknown value means RSA4096, as in Traefik.
    pub fn parse(text: &str) -> KeyType {
        match text {
            "EC256" => KeyType::Ec256,
            "EC384" => KeyType::Ec384,
            "RSA2048" => KeyType::Rsa2048,
            "RSA8192" => KeyType::Rsa8192,
            _ => KeyType::Rsa4096,
        }
    }

    /// Generates a key. RSA takes up to seconds (RSA8192: a minute), so this must run on a blocking thread.
    ///
    /// # Errors
    /// The reason if the crypto library fails.
    pub fn generate(self) -> Result<NewKey, String> {
        let (pkcs8, pem) = match self {
            KeyType::Ec256 => generate_ec(&ECDSA_P256_SHA256_ASN1_SIGNING)?,
            KeyType::Ec384 => generate_ec(&ECDSA_P384_SHA384_ASN1_SIGNING)?,
            KeyType::Rsa2048 => generate_rsa(KeySize::Rsa2048)?,
            KeyType::Rsa4096 => generate_rsa(KeySize::Rsa4096)?,
            KeyType::Rsa8192 => generate_rsa(KeySize::Rsa8192)?,
        };
        let pair = rcgen::KeyPair::try_from(&PrivatePkcs8KeyDer::from(pkcs8)).map_err(|e| e.to_string())?;
        Ok(NewKey { pair, pem })
    }
}

/// Generates an elliptic-curve key: PKCS#8 DER and PEM text.
fn generate_ec(curve: &'static aws_lc_rs::signature::EcdsaSigningAlgorithm) -> Result<(Vec<u8>, String), String> {
    let pair = EcdsaKeyPair::generate(curve).map_err(|e| e.to_string())?;
    let pkcs8 = pair.to_pkcs8v1().map_err(|e| e.to_string())?;
    let sec1 = pair.private_key().as_der().map_err(|e| e.to_string())?;
    Ok((pkcs8.as_ref().to_vec(), pem("EC PRIVATE KEY", sec1.as_ref())))
}

/// Generates an RSA key: PKCS#8 DER and PEM text.
fn generate_rsa(size: KeySize) -> Result<(Vec<u8>, String), String> {
    let pair = RsaKeyPair::generate(size).map_err(|e| e.to_string())?;
    let pkcs8: Pkcs8V1Der<'static> = pair.as_der().map_err(|e| e.to_string())?;
    let pkcs8 = pkcs8.as_ref().to_vec();
    let pkcs1 = pkcs1_of(&pkcs8).ok_or("the new RSA key has an unexpected form")?;
    let text = pem("RSA PRIVATE KEY", pkcs1);
    Ok((pkcs8, text))
}

/// The PKCS#1 key inside a PKCS#8 key: SEQUENCE { version, algorithm, OCTET STRING } (RFC 5208 5).
fn pkcs1_of(pkcs8: &[u8]) -> Option<&[u8]> {
    let (_, sequence, _) = element(pkcs8)?;
    let (_, _, rest) = element(sequence)?;
    let (_, _, rest) = element(rest)?;
    let (tag, key, _) = element(rest)?;
    (tag == 0x04).then_some(key)
}

/// Splits off the first DER element: tag, content, remaining bytes (X.690 8.1).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..0x80 => (usize::from(first), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if digits.len() > size_of::<usize>() {
                return None;
            }
            (digits.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        // Base64 is ASCII, so every chunk ends at a character boundary.
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::certificate::Certificate;

    #[test]
    fn pem_of_a_generated_key_matches_its_certificate() {
        for (kind, label) in [
            (KeyType::Ec256, "EC PRIVATE KEY"),
            (KeyType::Ec384, "EC PRIVATE KEY"),
            (KeyType::Rsa2048, "RSA PRIVATE KEY"),
        ] {
            let key = kind.generate().unwrap();
            assert!(key.pem.starts_with(&format!("-----BEGIN {label}-----\n")));
            let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            let certificate = params.self_signed(&key.pair).unwrap().pem();
            let read = Certificate::from_pem(certificate.as_bytes(), key.pem.as_bytes()).unwrap();
            assert!(read.names.contains(&"a.example".to_owned()));
        }
    }

    #[test]
    fn pem_of_an_ec_key_contains_the_curve() {
        // Go's reader of EC PRIVATE KEY needs the curve's object identifier in the key itself.
        let key = KeyType::Ec256.generate().unwrap();
        let body: String = key.pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = BASE64_STANDARD.decode(body).unwrap();
        let prime256v1 = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        assert!(der.windows(prime256v1.len()).any(|window| window == prime256v1));
    }

    #[test]
    fn key_type_is_parsed_with_rsa4096_as_default() {
        assert_eq!(KeyType::parse("EC384"), KeyType::Ec384);
        assert_eq!(KeyType::parse(""), KeyType::Rsa4096);
        assert_eq!(KeyType::parse("ec256"), KeyType::Rsa4096);
    }

    #[test]
    fn damaged_der_yields_no_key() {
        assert_eq!(pkcs1_of(&[0x30, 0x84, 0xff]), None);
        assert_eq!(pkcs1_of(&[0x30, 0x89, 1, 2, 3, 4, 5, 6, 7, 8, 9]), None);
        assert_eq!(pkcs1_of(&[]), None);
    }
}

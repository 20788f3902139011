//! The parts of a certificate that signatures need, read without judging the rest: version, extensions and odd encodings do not matter.

/// An element: its tag, its content, and all its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    pub whole: &'a [u8],
}

/// A public key: the content of its AlgorithmIdentifier, and the bits of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey<'a> {
    pub algorithm: &'a [u8],
    pub bits: &'a [u8],
}

/// The parts of a certificate (RFC 5280 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateParts<'a> {
    /// The bytes that are signed.
    pub signed: &'a [u8],
    /// The content of the AlgorithmIdentifier outside of the signed bytes.
    pub algorithm: &'a [u8],
    /// The content of the AlgorithmIdentifier inside the signed bytes.
    pub signed_algorithm: &'a [u8],
    pub signature: &'a [u8],
    /// The names as bytes, with their headers.
    pub issuer: &'a [u8],
    pub subject: &'a [u8],
    pub key: PublicKey<'a>,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
/// The tag of the version, which certificates of version 1 do not have.
const VERSION: u8 = 0xa0;

/// The first element of `input`, and the bytes behind it. Lengths that are longer than needed are accepted.
pub fn element(input: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((Element { tag, content, whole: &input[..input.len() - after.len()] }, after))
}

fn tagged(input: &[u8], tag: u8) -> Option<(Element<'_>, &[u8])> {
    element(input).filter(|(element, _)| element.tag == tag)
}

/// The content of a bit string of whole bytes.
fn bits(input: &[u8]) -> Option<&[u8]> {
    tagged(input, BIT_STRING)?.0.content.split_first().filter(|(unused, _)| **unused == 0).map(|(_, bits)| bits)
}

impl<'a> CertificateParts<'a> {
    /// Reads the parts; `None` if the bytes are no certificate.
    pub fn read(certificate: &'a [u8]) -> Option<CertificateParts<'a>> {
        let (certificate, _) = tagged(certificate, SEQUENCE)?;
        let (signed, rest) = tagged(certificate.content, SEQUENCE)?;
        let (algorithm, rest) = tagged(rest, SEQUENCE)?;
        let signature = bits(rest)?;
        let mut fields = signed.content;
        if let Some((_, rest)) = tagged(fields, VERSION) {
            fields = rest;
        }
        let (_serial, fields) = tagged(fields, INTEGER)?;
        let (signed_algorithm, fields) = tagged(fields, SEQUENCE)?;
        let (issuer, fields) = tagged(fields, SEQUENCE)?;
        let (_validity, fields) = tagged(fields, SEQUENCE)?;
        let (subject, fields) = tagged(fields, SEQUENCE)?;
        let (key, _) = tagged(fields, SEQUENCE)?;
        Some(CertificateParts {
            signed: signed.whole,
            algorithm: algorithm.content,
            signed_algorithm: signed_algorithm.content,
            signature,
            issuer: issuer.whole,
            subject: subject.whole,
            key: PublicKey::read(key.content)?,
        })
    }
}

impl<'a> PublicKey<'a> {
    /// Reads the content of a SubjectPublicKeyInfo.
    fn read(content: &'a [u8]) -> Option<PublicKey<'a>> {
        let (algorithm, rest) = tagged(content, SEQUENCE)?;
        Some(PublicKey { algorithm: algorithm.content, bits: bits(rest)? })
    }

    /// Modulus and exponent of an RSA key, without leading zeros; `None` for other keys.
    pub fn rsa(&self) -> Option<(&'a [u8], &'a [u8])> {
        let is_rsa = self.algorithm.starts_with(&RSA_ENCRYPTION);
        let (numbers, _) = tagged(self.bits, SEQUENCE).filter(|_| is_rsa)?;
        let (modulus, rest) = tagged(numbers.content, INTEGER)?;
        let (exponent, _) = tagged(rest, INTEGER)?;
        Some((without_zeros(modulus.content), without_zeros(exponent.content)))
    }
}

/// The object identifier 1.2.840.113549.1.1.1 with its header.
const RSA_ENCRYPTION: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

fn without_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_certificate_agree_with_the_parser() {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let der = made.cert.der();
        let parts = CertificateParts::read(der).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(der).unwrap();
        assert_eq!(parts.signed, parsed.tbs_certificate.as_ref());
        assert_eq!(parts.issuer, parsed.issuer().as_raw());
        assert_eq!(parts.subject, parsed.subject().as_raw());
        assert_eq!(parts.signature, &*parsed.signature_value.data);
        assert_eq!(parts.key.bits, &*parsed.public_key().subject_public_key.data);
        assert_eq!(parts.algorithm, parts.signed_algorithm);
        for cut in 0..der.len() {
            assert_eq!(CertificateParts::read(&der[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn long_lengths_are_read_and_impossible_ones_refused() {
        let read = |bytes: &'static [u8]| element(bytes).map(|(element, rest)| (element.content, rest));
        assert_eq!(read(&[4, 1, 7, 8]), Some((&[7][..], &[8][..])));
        assert_eq!(read(&[4, 0x82, 0, 1, 7]), Some((&[7][..], &[][..])));
        for bytes in
            [&[4, 2, 7][..], &[4, 0x80, 0, 0], &[4, 0x85, 0, 0, 0, 0, 1, 7], &[4, 0x84, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_eq!(element(bytes), None, "{bytes:?}");
        }
    }
}

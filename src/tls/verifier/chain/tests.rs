//! Chains of certificates: their search, its bounds, and damaged bytes. `tests/certificates` has the verdicts on certificates of openssl.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;

use super::*;

/// An authority with its name, and the certificates that it issues.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

fn params(name: &str, is_ca: bool) -> CertificateParams {
    let mut params = CertificateParams::new(["a.test".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
    params
}

impl Authority {
    fn new(name: &str) -> Authority {
        let (params, key) = (params(name, true), KeyPair::generate().unwrap());
        let der = params.self_signed(&key).unwrap().der().clone();
        Authority { issuer: Issuer::new(params, key), der }
    }

    fn below(&self, name: &str) -> Authority {
        let (params, key) = (params(name, true), KeyPair::generate().unwrap());
        let der = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Authority { issuer: Issuer::new(params, key), der }
    }

    fn leaf(&self) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        params("leaf", false).signed_by(&key, &self.issuer).unwrap().der().clone()
    }
}

fn judge(
    anchors: &[&Authority],
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Result<(), Reason> {
    let anchors = Anchors::new(anchors.iter().map(|authority| authority.der.clone()));
    let provider = aws_lc_rs::default_provider();
    let verification = Verification {
        anchors: &anchors,
        intermediates,
        usage: Usage::Client,
        server: None,
        now_secs: 1_800_000_000,
        supported: &provider.signature_verification_algorithms,
    };
    verify(&ParsedCertificate::read(leaf).unwrap(), &verification).map_err(|(reason, _)| reason)
}

#[test]
fn chain_is_found_among_intermediates_in_any_order() {
    let (root, stranger) = (Authority::new("root"), Authority::new("stranger"));
    let (middle, cross) = (root.below("middle"), stranger.below("middle"));
    let low = middle.below("low");
    let leaf = low.leaf();
    assert_eq!(judge(&[&root], &leaf, &[middle.der.clone(), low.der.clone()]), Ok(()));
    assert_eq!(
        judge(&[&root], &leaf, &[low.der.clone(), cross.der.clone(), root.der.clone(), middle.der.clone()]),
        Ok(())
    );
    assert_eq!(judge(&[&low], &leaf, &[]), Ok(()));
    assert_eq!(judge(&[&root], &leaf, std::slice::from_ref(&low.der)), Err(Reason::UnknownIssuer("CN=low".to_owned())));
    assert_eq!(judge(&[], &leaf, &[]), Err(Reason::NoAuthorities));
}

#[test]
fn same_name_with_another_key_is_a_bad_signature() {
    let (root, same_name) = (Authority::new("root"), Authority::new("root"));
    assert_eq!(judge(&[&same_name], &root.leaf(), &[]), Err(Reason::BadSignature));
    assert_eq!(judge(&[&same_name, &root], &root.leaf(), &[]), Ok(()));
}

#[test]
fn many_intermediates_of_one_name_cost_a_bounded_number_of_signatures() {
    let root = Authority::new("root");
    let same_name: Vec<_> = (0..2 * SIGNATURE_CHECKS_MAX).map(|_| Authority::new("middle").der).collect();
    let leaf = root.below("middle").leaf();
    assert_eq!(judge(&[&root], &leaf, &same_name), Err(Reason::TooManyCandidates));
}

#[test]
fn two_authorities_that_issue_each_other_end_the_search() {
    let (a, b) = (Authority::new("a"), Authority::new("b"));
    let cross = |of: &Authority, name: &str, key: &Authority| {
        params(name, true).signed_by(key.issuer.key(), &of.issuer).unwrap().der().clone()
    };
    let loops = [cross(&a, "b", &b), cross(&b, "a", &a)];
    assert!(matches!(judge(&[&Authority::new("root")], &b.leaf(), &loops), Err(Reason::UnknownIssuer(_))));
}

#[test]
fn damaged_certificates_are_refused_without_a_panic() {
    let root = Authority::new("root");
    let leaf = root.leaf();
    for at in 0..leaf.len() {
        let mut bytes = leaf.to_vec();
        bytes[at] ^= 0xff;
        let damaged = CertificateDer::from(bytes);
        if ParsedCertificate::read(&damaged).is_ok() {
            assert!(judge(&[&root], &damaged, &[]).is_err(), "byte {at}");
        }
    }
}

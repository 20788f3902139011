//! Judges a certificate chain as Go's crypto/x509 does (`Certificate.Verify`). rustls' own verifier is asked first; this one judges what
//! that one refuses: configured certificates as anchors for themselves, certificates of version 1, and readings of RFC 5280 that differ.

use std::collections::HashMap;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::asn1_rs::oid;
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Version};

use super::der::CertificateParts;
use super::names;
use super::refusal::{Reason, printable};
use super::signature::{self, SignatureError};

/// Signatures that one chain may cost, as in Go: a peer chooses the intermediate certificates.
const SIGNATURE_CHECKS_MAX: usize = 100;

/// The purpose of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    Server,
    Client,
}

/// The configured certificates, by subject.
#[derive(Debug, Default)]
pub struct Anchors {
    certificates: Vec<CertificateDer<'static>>,
    by_subject: HashMap<Vec<u8>, Vec<usize>>,
}

/// A certificate that is refused: the reason, and the subject that it concerns if that is not the peer's own certificate.
pub type RefusedChain = (Reason, Option<String>);

impl Anchors {
    /// Certificates that cannot be parsed are skipped.
    pub fn new(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Anchors {
        let mut anchors = Anchors::default();
        for der in certificates {
            let Some(certificate) = ParsedCertificate::read(&der).ok() else { continue };
            anchors.by_subject.entry(certificate.parts.subject.to_vec()).or_default().push(anchors.certificates.len());
            drop(certificate);
            anchors.certificates.push(der);
        }
        anchors
    }

    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    fn of_subject<'s>(&'s self, subject: &[u8]) -> impl Iterator<Item = &'s CertificateDer<'static>> + use<'s> {
        self.by_subject.get(subject).into_iter().flatten().map(|at| &self.certificates[*at])
    }
}

/// A certificate with the parts that signatures need.
pub struct ParsedCertificate<'a> {
    der: &'a [u8],
    parts: CertificateParts<'a>,
    x509: X509Certificate<'a>,
}

/// The inputs of a verification.
pub struct Verification<'a> {
    pub anchors: &'a Anchors,
    pub intermediates: &'a [CertificateDer<'a>],
    pub usage: Usage,
    /// The server's name; `None` for a client.
    pub server: Option<&'a ServerName<'a>>,
    /// Seconds since 1970.
    pub now_secs: i64,
    pub supported: &'a WebPkiSupportedAlgorithms,
}

impl<'a> ParsedCertificate<'a> {
    pub fn read(der: &'a [u8]) -> Result<Self, Reason> {
        let parts = CertificateParts::read(der).ok_or(Reason::Malformed("its structure"))?;
        match X509Certificate::from_der(der) {
            Ok(([], x509)) if x509.version().0 <= X509Version::V3.0 => Ok(ParsedCertificate { der, parts, x509 }),
            _ => Err(Reason::Malformed("a field")),
        }
    }

    /// The subject for messages. Without a subject the alternative names are shown.
    pub fn subject(&self) -> String {
        let subject = self.x509.subject().to_string();
        let names = || names::alternative_names(&self.x509).iter().map(names::shown).collect::<Vec<_>>().join(", ");
        match subject.is_empty() {
            true => printable(&names()),
            false => printable(&subject),
        }
    }

    /// The parsed extensions; those of versions 1 and 2 do not count.
    fn extensions(&self) -> impl Iterator<Item = &ParsedExtension<'a>> {
        let counts = self.x509.version() == X509Version::V3;
        self.x509.extensions().iter().filter(move |_| counts).map(|extension| extension.parsed_extension())
    }

    fn names(&self) -> &[GeneralName<'a>] {
        if self.x509.version() == X509Version::V3 { names::alternative_names(&self.x509) } else { &[] }
    }

    /// Whether rustls' verifier judges chains to this anchor as Go does. It reads nothing of an anchor but name, key and name constraints.
    pub fn is_plain_authority(&self) -> bool {
        let is_plain = self.extensions().all(|extension| match extension {
            ParsedExtension::BasicConstraints(basic) => basic.path_len_constraint.is_none(),
            ParsedExtension::ExtendedKeyUsage(_) | ParsedExtension::NameConstraints(_) => false,
            _ => true,
        });
        is_plain && self.may_issue() && self.check_extensions().is_ok()
    }

    /// The first and the last second of the validity.
    pub fn validity_secs(&self) -> (i64, i64) {
        (self.x509.validity().not_before.timestamp(), self.x509.validity().not_after.timestamp())
    }

    /// Whether certificates that are signed by this one count. Version 1 knows no basic constraints; an intermediate certificate needs them
    /// nevertheless (see [`Search::check_authority`]).
    pub fn may_issue(&self) -> bool {
        let is_v3 = self.x509.version() == X509Version::V3;
        let basic = self.extensions().find_map(|extension| match extension {
            ParsedExtension::BasicConstraints(basic) => Some(basic.ca),
            _ => None,
        });
        let may_sign = self.extensions().all(|extension| match extension {
            ParsedExtension::KeyUsage(usage) => usage.flags == 0 || usage.key_cert_sign(),
            _ => true,
        });
        basic.unwrap_or(!is_v3) && may_sign
    }

    /// Refuses critical extensions that are not supported, known ones that are damaged, and duplicates.
    fn check_extensions(&self) -> Result<(), Reason> {
        if self.x509.version() != X509Version::V3 {
            return Ok(());
        }
        let all = self.x509.extensions();
        for (at, extension) in all.iter().enumerate() {
            if all[..at].iter().any(|other| other.oid == extension.oid) {
                return Err(Reason::Malformed("an extension twice"));
            }
            let is_handled = match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => names.general_names.iter().any(is_read),
                ParsedExtension::NameConstraints(constraints) => !names::has_other_kinds(constraints),
                ParsedExtension::KeyUsage(_)
                | ParsedExtension::BasicConstraints(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::CRLDistributionPoints(_)
                | ParsedExtension::AuthorityKeyIdentifier(_)
                | ParsedExtension::SubjectKeyIdentifier(_)
                | ParsedExtension::CertificatePolicies(_)
                | ParsedExtension::PolicyMappings(_)
                | ParsedExtension::PolicyConstraints(_)
                | ParsedExtension::InhibitAnyPolicy(_)
                | ParsedExtension::AuthorityInfoAccess(_) => true,
                ParsedExtension::ParseError { .. } if decides(extension) => {
                    return Err(Reason::Malformed("an extension"));
                }
                _ => false,
            };
            if extension.critical && !is_handled {
                return Err(Reason::CriticalExtension(extension.oid.to_id_string()));
            }
        }
        Ok(())
    }

    fn check_validity(&self, now_secs: i64) -> Result<(), Reason> {
        let validity = self.x509.validity();
        match now_secs {
            now if now < validity.not_before.timestamp() => Err(Reason::NotYetValid(date(validity.not_before))),
            now if now > validity.not_after.timestamp() => Err(Reason::Expired(date(validity.not_after))),
            _ => Ok(()),
        }
    }

    /// Whether the extended key usage allows a usage: no extension allows all.
    fn allows(&self, usage: Usage) -> bool {
        self.extensions().all(|extension| match extension {
            ParsedExtension::ExtendedKeyUsage(keys) => {
                keys.any
                    || match usage {
                        Usage::Server => keys.server_auth,
                        Usage::Client => keys.client_auth,
                    }
            }
            _ => true,
        })
    }

    /// Whether two certificates stand for the same authority: subject, key and names are equal.
    fn is_same_authority(&self, other: &ParsedCertificate<'_>) -> bool {
        self.parts.subject == other.parts.subject && self.parts.key == other.parts.key && self.names() == other.names()
    }
}

/// Whether an extension decides about the verdict, so that a damaged one cannot be skipped.
fn decides(extension: &x509_parser::extensions::X509Extension<'_>) -> bool {
    extension.critical
        || [oid!(2.5.29.15), oid!(2.5.29.17), oid!(2.5.29.19), oid!(2.5.29.30), oid!(2.5.29.37)]
            .contains(&extension.oid)
}

/// Whether an alternative name is of a kind that is compared with anything.
fn is_read(name: &GeneralName<'_>) -> bool {
    matches!(
        name,
        GeneralName::DNSName(_) | GeneralName::IPAddress(_) | GeneralName::RFC822Name(_) | GeneralName::URI(_)
    )
}

fn date(time: ASN1Time) -> String {
    time.to_rfc2822().unwrap_or_else(|_| time.to_string())
}

/// Verifies the certificate that a peer sent for itself.
///
/// # Errors
/// The reason, and which certificate of the chain it concerns.
pub fn verify(leaf: &ParsedCertificate<'_>, verification: &Verification<'_>) -> Result<(), RefusedChain> {
    let own = |reason| (reason, None);
    leaf.check_extensions().map_err(own)?;
    leaf.check_validity(verification.now_secs).map_err(own)?;
    if let Some(server) = verification.server
        && !names::covers(leaf.names(), server)
    {
        return Err(own(wrong_name(leaf, server)));
    }
    if verification.anchors.is_empty() {
        return Err(own(Reason::NoAuthorities));
    }
    let usage = verification.usage;
    if verification.anchors.of_subject(leaf.parts.subject).any(|anchor| anchor.as_ref() == leaf.der) {
        return if leaf.allows(usage) { Ok(()) } else { Err(own(wrong_usage(usage))) };
    }
    let mut search = Search { verification, checks_left: SIGNATURE_CHECKS_MAX, hint: None };
    match search.find(&[leaf]) {
        true => Ok(()),
        false => Err(search.hint.take().unwrap_or_else(|| own(unknown_issuer(leaf)))),
    }
}

fn wrong_name(leaf: &ParsedCertificate<'_>, server: &ServerName<'_>) -> Reason {
    let names: Vec<String> = leaf.names().iter().map(names::shown).collect();
    let own = match names.is_empty() {
        true => "no name (it has no subject alternative names, and the common name does not count)".to_owned(),
        false => printable(&names.join(", ")),
    };
    Reason::WrongName(server.to_str().into_owned(), own)
}

fn wrong_usage(usage: Usage) -> Reason {
    Reason::WrongUsage(match usage {
        Usage::Server => "serverAuth",
        Usage::Client => "clientAuth",
    })
}

fn unknown_issuer(certificate: &ParsedCertificate<'_>) -> Reason {
    match certificate.parts.issuer == certificate.parts.subject {
        true => Reason::SelfSigned,
        false => Reason::UnknownIssuer(printable(&certificate.x509.issuer().to_string())),
    }
}

/// The search for a chain from the peer's certificate to an anchor.
struct Search<'v> {
    verification: &'v Verification<'v>,
    checks_left: usize,
    /// The first reason why a certificate with the right name was not accepted as an issuer.
    hint: Option<RefusedChain>,
}

impl Search<'_> {
    /// Whether a chain exists that continues `chain`, in which each certificate is issued by the next one.
    fn find(&mut self, chain: &[&ParsedCertificate<'_>]) -> bool {
        let Some(last) = chain.last() else { return false };
        let verification = self.verification;
        for der in verification.anchors.of_subject(last.parts.issuer) {
            if let Some(anchor) = self.issuer(der, chain, false)
                && self.is_usable(chain, &anchor)
            {
                return true;
            }
        }
        for der in verification.intermediates {
            if CertificateParts::read(der).is_none_or(|parts| parts.subject != last.parts.issuer) {
                continue;
            }
            if let Some(issuer) = self.issuer(der, chain, true) {
                let longer: Vec<&ParsedCertificate<'_>> = chain.iter().copied().chain([&issuer]).collect();
                if self.find(&longer) {
                    return true;
                }
            }
        }
        false
    }

    /// Reads a candidate and checks it as the issuer of the chain's last certificate.
    fn issuer<'d>(
        &mut self,
        der: &'d [u8],
        chain: &[&ParsedCertificate<'_>],
        is_intermediate: bool,
    ) -> Option<ParsedCertificate<'d>> {
        let candidate = match ParsedCertificate::read(der) {
            Ok(candidate) if chain.iter().any(|other| other.is_same_authority(&candidate)) => return None,
            Ok(candidate) => candidate,
            Err(_) => return None,
        };
        if self.checks_left == 0 {
            self.hint = Some((Reason::TooManyCandidates, None));
            return None;
        }
        self.checks_left -= 1;
        match self.check_issuer(&candidate, chain, is_intermediate) {
            Ok(()) => Some(candidate),
            Err(reason) => {
                self.hint.get_or_insert(reason);
                None
            }
        }
    }

    fn check_issuer(
        &self,
        candidate: &ParsedCertificate<'_>,
        chain: &[&ParsedCertificate<'_>],
        is_intermediate: bool,
    ) -> Result<(), RefusedChain> {
        let concerns = |reason| (reason, Some(candidate.subject()));
        if !candidate.may_issue() {
            return Err(concerns(Reason::NotAnAuthority));
        }
        if let Some((at, child)) = chain.iter().enumerate().next_back() {
            let child_subject = (at > 0).then(|| child.subject());
            let verified =
                signature::verify_certificate(&child.parts, &candidate.parts.key, self.verification.supported);
            verified.map_err(|error| match error {
                SignatureError::Wrong => (Reason::BadSignature, child_subject),
                SignatureError::Unsupported => (Reason::UnsupportedSignature, child_subject),
            })?;
        }
        self.check_authority(candidate, chain, is_intermediate).map_err(concerns)
    }

    fn check_authority(
        &self,
        candidate: &ParsedCertificate<'_>,
        chain: &[&ParsedCertificate<'_>],
        is_intermediate: bool,
    ) -> Result<(), Reason> {
        candidate.check_extensions()?;
        candidate.check_validity(self.verification.now_secs)?;
        let mut has_basic_constraints = false;
        for extension in candidate.extensions() {
            match extension {
                ParsedExtension::NameConstraints(constraints) => {
                    for below in chain {
                        names::check_constraints(below.names(), constraints).map_err(Reason::NameNotAllowed)?;
                    }
                }
                ParsedExtension::BasicConstraints(basic) => {
                    has_basic_constraints = true;
                    let intermediates = chain.len() - 1;
                    if basic.path_len_constraint.is_some_and(|max| intermediates > max as usize) {
                        return Err(Reason::PathTooLong);
                    }
                }
                _ => {}
            }
        }
        match is_intermediate && !has_basic_constraints {
            true => Err(Reason::NotAnAuthority),
            false => Ok(()),
        }
    }

    /// Whether the complete chain allows the usage.
    fn is_usable(&mut self, chain: &[&ParsedCertificate<'_>], anchor: &ParsedCertificate<'_>) -> bool {
        let usage = self.verification.usage;
        let is_usable = chain.iter().copied().chain([anchor]).all(|certificate| certificate.allows(usage));
        if !is_usable {
            self.hint.get_or_insert((wrong_usage(usage), None));
        }
        is_usable
    }
}

#[cfg(test)]
mod tests;

//! The reasons why a certificate is refused, in plain words with what to do, and what a failed handshake means.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, InvalidMessage, OtherError};

/// Characters of a peer's names that a message shows.
const SHOWN_CHARS_MAX: usize = 200;

/// The reason for a refusal, without the certificate that it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The bytes are no certificate, for this reason.
    Malformed(&'static str),
    /// The validity ended at this time.
    Expired(String),
    /// The validity begins at this time.
    NotYetValid(String),
    /// The certificate is not for the server's name: the name, and those that it has.
    WrongName(String, String),
    /// No configured authority has issued it: the issuer's name.
    UnknownIssuer(String),
    /// The certificate is its own issuer and is not configured.
    SelfSigned,
    /// The signature of the certificate was not made by its issuer.
    BadSignature,
    /// The certificate is signed with an algorithm that is not supported.
    UnsupportedSignature,
    /// The extended key usages of the chain exclude this usage.
    WrongUsage(&'static str),
    /// The certificate has issued another one and may not issue any.
    NotAnAuthority,
    /// More intermediate certificates than an authority of the chain allows.
    PathTooLong,
    /// The constraints of an authority do not allow this name.
    NameNotAllowed(String),
    /// A critical extension is not supported: its object identifier.
    CriticalExtension(String),
    /// Too many combinations of intermediate certificates.
    TooManyCandidates,
    /// There is no authority at all.
    NoAuthorities,
}

/// A refused certificate: which, why, and what to do.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The subject of the certificate that the peer sent for itself.
    pub subject: String,
    /// The subject of the certificate that the reason concerns, if that is another one of the chain.
    pub concerns: Option<String>,
    pub reason: Reason,
    /// The option that names the authorities.
    pub option: &'static str,
}

impl Refusal {
    /// The error for a handshake with a server: its text is the whole message.
    pub fn into_error(self) -> rustls::Error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(self))))
    }

    /// The error that gives a client the most exact alert, as Go's servers do. The refusal itself is kept for [`take_recorded`].
    pub fn record_for_client(self) -> rustls::Error {
        let error = match self.reason {
            Reason::Expired(_) => CertificateError::Expired,
            Reason::NotYetValid(_) => CertificateError::NotValidYet,
            Reason::UnknownIssuer(_) | Reason::SelfSigned | Reason::NoAuthorities => CertificateError::UnknownIssuer,
            _ => CertificateError::BadEncoding,
        };
        RECORDED.with(|recorded| recorded.replace(Some(self)));
        error.into()
    }
}

thread_local! {
    /// The refusal of the client certificate that this thread verified last. rustls chooses the alert by the error that a verifier returns,
    /// and such an error has no place for a text.
    static RECORDED: RefCell<Option<Refusal>> = const { RefCell::new(None) };
}

/// The refusal that has led to this error, if the verifier recorded one: called right after the handshake has failed, on the same thread.
pub fn take_recorded(error: &rustls::Error) -> Option<Refusal> {
    let recorded = RECORDED.with(RefCell::take);
    recorded.filter(|_| matches!(error, rustls::Error::InvalidCertificate(_)))
}

/// A name of a peer for a message: control characters are replaced, and the length is bounded.
pub fn printable(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().count() > SHOWN_CHARS_MAX {
        shown.push_str("...");
    }
    shown
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate of {} is refused: ", self.subject)?;
        let it = match &self.concerns {
            Some(other) => format!("the certificate of {other} in its chain"),
            None => "it".to_owned(),
        };
        let option = self.option;
        match &self.reason {
            Reason::Malformed(part) => write!(f, "{it} is damaged ({part}): replace it"),
            Reason::Expired(when) => write!(f, "{it} expired on {when}: renew it, or correct this machine's clock"),
            Reason::NotYetValid(when) => {
                write!(f, "{it} is not valid before {when}: correct the clock of this machine or of its issuer")
            }
            Reason::WrongName(wanted, own) => write!(
                f,
                "it is for {own}, not for {wanted}: use one of its names in the URL, or give it a subject alternative \
                 name for {wanted}"
            ),
            Reason::UnknownIssuer(issuer) => write!(
                f,
                "no authority in {option} has issued it; its issuer is {issuer}: add that authority to {option}, or \
                 have the peer send its intermediate certificates"
            ),
            Reason::SelfSigned => {
                write!(f, "it is self-signed and not in {option}: add the certificate itself to {option}")
            }
            Reason::BadSignature => write!(
                f,
                "the signature of {it} is not by the authority that it names: {it} was forged, or {option} has an older certificate of the authority"
            ),
            Reason::UnsupportedSignature => write!(
                f,
                "{it} is signed with an algorithm that is not accepted (SHA-1 and MD5 are not): issue it again with SHA-256"
            ),
            Reason::WrongUsage(usage) => {
                write!(f, "the extended key usage of its chain does not allow {usage}: issue it again with {usage}")
            }
            Reason::NotAnAuthority => write!(
                f,
                "{it} has issued another certificate and may not: issue that one again by an authority (CA:TRUE, keyCertSign)"
            ),
            Reason::PathTooLong => write!(
                f,
                "more intermediate certificates than the path length of {it} allows: issue it again by a higher authority"
            ),
            Reason::NameNotAllowed(name) => {
                write!(f, "the name constraints of {it} do not allow {name}: issue it again without that name")
            }
            Reason::CriticalExtension(id) => {
                write!(f, "{it} has the critical extension {id}, which is not supported: issue it again without it")
            }
            Reason::TooManyCandidates => f.write_str(
                "its chain has too many combinations: send only the intermediate certificates that it needs",
            ),
            Reason::NoAuthorities => write!(
                f,
                "there is no authority to verify it with: name a PEM file in {option}, or install ca-certificates"
            ),
        }
    }
}

// rustls prints the error inside its own with Debug.
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Refusal {}

/// The text of an error of a handshake with a server: in plain words where rustls' text is none.
pub fn explain(error: &rustls::Error) -> String {
    use AlertDescription as Alert;
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(refusal))) => refusal.to_string(),
        rustls::Error::AlertReceived(
            Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity,
        )
        | rustls::Error::PeerIncompatible(_) => format!(
            "{error}: the server has no TLS version or cipher suite in common with Ringway, which has TLS 1.3 and TLS \
             1.2 with ECDHE and AES-GCM or ChaCha20-Poly1305 (no RSA key exchange, no CBC, no TLS 1.0 or 1.1), or it \
             requires a client certificate: enable such a suite on the server, use http:// if the network between is \
             trusted, or put a proxy in front that speaks the old version"
        ),
        rustls::Error::AlertReceived(Alert::UnrecognisedName) => {
            format!("{error}: the server does not serve the host name of the URL: use one that it serves")
        }
        rustls::Error::AlertReceived(
            Alert::CertificateRequired | Alert::BadCertificate | Alert::UnknownCA | Alert::CertificateUnknown,
        ) => format!("{error}: the server requires a client certificate that it trusts"),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            format!("{error}: the server does not speak TLS on this port: correct the port, or write http://")
        }
        other => other.to_string(),
    }
}

/// The text of the TLS error among the causes of `error`, if there is one.
pub fn explain_cause(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Some(explain(tls));
        }
        // The source of an I/O error is the source of the error that it wraps: the wrapped error itself has to be asked for.
        if let Some(inner) = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(text) = explain_cause(inner)
        {
            return Some(text);
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(reason: Reason) -> Refusal {
        Refusal { subject: "CN=a".to_owned(), concerns: None, reason, option: "rootCAs" }
    }

    #[test]
    fn tls_error_inside_other_errors_is_explained() {
        let error = io::Error::new(io::ErrorKind::InvalidData, refusal(Reason::SelfSigned).into_error());
        let outer = io::Error::other(error);
        let text = explain_cause(&outer).unwrap();
        assert_eq!(
            text,
            "the certificate of CN=a is refused: it is self-signed and not in rootCAs: add the certificate itself to rootCAs"
        );
        assert_eq!(explain_cause(&io::Error::other("no TLS")), None);
        let alert = rustls::Error::AlertReceived(AlertDescription::HandshakeFailure);
        assert!(explain(&alert).contains("no RSA key exchange, no CBC"), "{}", explain(&alert));
    }

    #[test]
    fn recorded_refusal_is_taken_once_and_only_for_a_certificate_error() {
        let error = refusal(Reason::SelfSigned).record_for_client();
        assert_eq!(error, CertificateError::UnknownIssuer.into());
        assert_eq!(take_recorded(&error).map(|refusal| refusal.reason), Some(Reason::SelfSigned));
        assert_eq!(take_recorded(&error), None);
        refusal(Reason::SelfSigned).record_for_client();
        assert_eq!(take_recorded(&rustls::Error::DecryptError), None);
    }

    #[test]
    fn names_of_peers_are_bounded_and_without_control_characters() {
        assert_eq!(printable("a\nb\u{1b}[2J"), "a?b?[2J");
        assert!(printable(&"x".repeat(5000)).len() < 300);
    }
}

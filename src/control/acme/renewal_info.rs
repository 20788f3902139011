//! Asks the authority when a certificate should be renewed (ACME Renewal Information, RFC 9773). No account is needed for that.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper::StatusCode;
use instant_acme::CertificateIdentifier;
use serde_json::Value;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;

use crate::tls::certificate::Certificate;

use super::http::{AuthorityClient, retry_after};
use super::time_text;

/// The pause before the next request if the authority names none (RFC 9773 4.3.2: six hours after a failure).
const PAUSE_DEFAULT: Duration = Duration::from_secs(6 * 3600);
/// The maximum pause (RFC 9773 4.3.2).
const PAUSE_MAX: Duration = Duration::from_secs(24 * 3600);

/// The identifier of a certificate for its authority (RFC 9773 4.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateId {
    pub authority_key: String,
    pub serial: String,
}

/// The window in which a certificate should be renewed, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalWindow {
    pub start_secs: i64,
    pub end_secs: i64,
}

/// The authority's answer for one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalAnswer {
    /// `None` if the authority gives no window: it does not support that, or the certificate is another authority's.
    pub window: Option<RenewalWindow>,
    /// The pause before the next request.
    pub pause: Duration,
}

impl CertificateId {
    /// The identifier of a certificate; `None` for one without the key identifier of its authority.
    pub fn of(certificate: &Certificate) -> Option<CertificateId> {
        let (_, parsed) = X509Certificate::from_der(certificate.key.cert.first()?).ok()?;
        let key_identifier = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref(),
            _ => None,
        })?;
        Some(CertificateId {
            authority_key: BASE64_URL_SAFE_NO_PAD.encode(key_identifier.0),
            serial: BASE64_URL_SAFE_NO_PAD.encode(parsed.tbs_certificate.raw_serial()),
        })
    }

    /// The value of `replaces` in an order.
    pub fn to_replaced(&self) -> CertificateIdentifier<'static> {
        CertificateIdentifier {
            authority_key_identifier: self.authority_key.clone().into(),
            serial: self.serial.clone().into(),
        }
    }
}

impl RenewalWindow {
    /// A moment of the window, at random, so that not all clients come at once (RFC 9773 4.2).
    pub fn choose(&self, random: u32) -> i64 {
        let length = self.end_secs.saturating_sub(self.start_secs).max(0);
        self.start_secs.saturating_add((length as f64 * (f64::from(random) / f64::from(u32::MAX))) as i64)
    }
}

/// The address of the authority's renewal information; `None` if its directory has none.
///
/// # Errors
/// A sentence for the log.
pub async fn endpoint(client: &AuthorityClient, directory: &str) -> Result<Option<String>, String> {
    let response = client.get(directory).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("{directory} answered {}", response.status()));
    }
    let value: Value = serde_json::from_slice(response.body()).map_err(|e| format!("{directory}: {e}"))?;
    Ok(value.get("renewalInfo").and_then(Value::as_str).map(|url| url.trim_end_matches('/').to_owned()))
}

/// Asks for the window of one certificate.
///
/// # Errors
/// A sentence for the log, after which the certificate is renewed by its lifetime.
pub async fn ask(client: &AuthorityClient, endpoint: &str, id: &CertificateId) -> Result<RenewalAnswer, String> {
    let url = format!("{endpoint}/{}.{}", id.authority_key, id.serial);
    let response = client.get(&url).await?;
    let now = SystemTime::now();
    let asked = retry_after(response.headers(), now).and_then(|at| at.duration_since(now).ok());
    let pause = asked.unwrap_or(PAUSE_DEFAULT).min(PAUSE_MAX);
    match response.status() {
        StatusCode::OK => {
            let window = window(response.body()).ok_or_else(|| format!("{url}: the answer has no window"))?;
            Ok(RenewalAnswer { window: Some(window), pause })
        }
        // The authority does not know the certificate: it is another authority's.
        status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            Ok(RenewalAnswer { window: None, pause: PAUSE_MAX })
        }
        status => Err(format!("{url} answered {status}")),
    }
}

fn window(body: &[u8]) -> Option<RenewalWindow> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let at = |name: &str| time_text::parse(value.get("suggestedWindow")?.get(name)?.as_str()?);
    let window = RenewalWindow { start_secs: at("start")?, end_secs: at("end")? };
    (window.start_secs <= window.end_secs).then_some(window)
}

/// The pause after a failed request.
pub fn pause_after_failure(pacing_min: Duration) -> Duration {
    PAUSE_DEFAULT.max(pacing_min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_of_the_rfc_is_read() {
        let body = br#"{"suggestedWindow":{"start":"2025-01-02T04:00:00Z","end":"2025-01-03T04:00:00Z"},"explanationURL":"https://acme.example.com/docs/ari"}"#;
        let window = window(body).expect("a window");
        assert_eq!(window.end_secs - window.start_secs, 86_400);
        assert_eq!(window.choose(0), window.start_secs);
        assert_eq!(window.choose(u32::MAX), window.end_secs);
        assert!((window.start_secs..=window.end_secs).contains(&window.choose(12_345_678)));
        for body in
            [&b"{}"[..], b"", br#"{"suggestedWindow":{"start":"2025-01-03T04:00:00Z","end":"2025-01-02T04:00:00Z"}}"#]
        {
            assert_eq!(super::window(body), None);
        }
    }

    #[test]
    fn identifier_is_authority_key_and_serial() {
        let ca_pair = rcgen::KeyPair::generate().expect("a key");
        let mut ca_params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        ca_params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        ca_params.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(vec![0x69, 0x88, 0x5b, 0x6b]);
        let issuer = rcgen::Issuer::new(ca_params, ca_pair);
        let pair = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("parameters");
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(rcgen::SerialNumber::from(vec![0x87, 0x65, 0x43, 0x21]));
        let pem = params.signed_by(&pair, &issuer).expect("signed").pem();
        let certificate = Certificate::from_pem(pem.as_bytes(), pair.serialize_pem().as_bytes()).expect("readable");
        let id = CertificateId::of(&certificate).expect("an identifier");
        // RFC 9773 4.1: the serial's leading zero byte, which keeps it positive, belongs to it.
        assert_eq!((id.authority_key.as_str(), id.serial.as_str()), ("aYhbaw", "AIdlQyE"));
        let generated = Certificate::generated([0; 32], SystemTime::UNIX_EPOCH).expect("a certificate");
        assert_eq!(CertificateId::of(&generated), None);
    }
}

//! Passes the client's TLS certificates and their data to the backend in two fields (docs/reference/middlewares.md#client-certificate).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};
use x509_parser::x509::X509Name;

use super::{Request, RequestInfo, Verdict};

const CERT_FIELD: &str = "X-Forwarded-Tls-Client-Cert";
const INFOS_FIELD: &str = "X-Forwarded-Tls-Client-Cert-Infos";

/// Which of the two fields are sent. Fields of these names that the client sent are always removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientCert {
    pub pem: bool,
    pub infos: Option<CertInfos>,
}

/// The data of each certificate that `X-Forwarded-Tls-Client-Cert-Infos` contains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertInfos {
    pub not_after: bool,
    pub not_before: bool,
    pub sans: bool,
    pub subject: Option<NameInfos>,
    pub issuer: Option<NameInfos>,
}

/// The attributes of a distinguished name that `X-Forwarded-Tls-Client-Cert-Infos` contains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NameInfos {
    pub domain_component: bool,
    pub country: bool,
    pub province: bool,
    pub locality: bool,
    pub organization: bool,
    pub serial_number: bool,
    pub common_name: bool,
}

impl ClientCert {
    pub fn on_request(&self, request: &mut Request, info: &RequestInfo) -> Verdict {
        let (cert, infos) = self.values(info.client_certs);
        for (name, value) in [(CERT_FIELD, cert), (INFOS_FIELD, infos)] {
            match value {
                Some(value) => request.edits.set(name.as_bytes(), value.as_bytes()),
                None => request.edits.remove(name.as_bytes()),
            }
        }
        Verdict::Next
    }

    /// The values of the two fields for a certificate chain in DER: the certificates, and their data.
    pub fn values<C: AsRef<[u8]>>(&self, chain: &[C]) -> (Option<String>, Option<String>) {
        if chain.is_empty() {
            return (None, None);
        }
        // Base64 of the DER is the PEM text without its markers and line ends.
        let cert =
            || chain.iter().map(|der| query_escape(&STANDARD.encode(der.as_ref()))).collect::<Vec<_>>().join(",");
        let infos = |wanted: &CertInfos| {
            let parsed = chain.iter().filter_map(|der| X509Certificate::from_der(der.as_ref()).ok());
            query_escape(&parsed.map(|(_, cert)| wanted.text(&cert)).collect::<Vec<_>>().join(";"))
        };
        (self.pem.then(cert), self.infos.as_ref().map(infos))
    }
}

impl CertInfos {
    fn text(&self, cert: &X509Certificate) -> String {
        let mut parts = Vec::new();
        for (label, wanted, name) in [("Subject", self.subject, cert.subject()), ("Issuer", self.issuer, cert.issuer())]
        {
            let text = wanted.map(|wanted| wanted.text(name)).unwrap_or_default();
            if !text.is_empty() {
                parts.push(format!("{label}=\"{text}\""));
            }
        }
        if self.not_before {
            parts.push(format!("NB={}", cert.validity().not_before.timestamp()));
        }
        if self.not_after {
            parts.push(format!("NA={}", cert.validity().not_after.timestamp()));
        }
        if self.sans {
            parts.push(format!("SAN={}", sans(cert).join(",")));
        }
        parts.join(",")
    }
}

impl NameInfos {
    fn text(&self, name: &X509Name) -> String {
        let mut parts = Vec::new();
        // Go keeps only the last of several serial numbers or common names.
        let kinds: [(bool, &str, &str, bool); 7] = [
            (self.domain_component, "DC", "0.9.2342.19200300.100.1.25", false),
            (self.country, "C", "2.5.4.6", false),
            (self.province, "ST", "2.5.4.8", false),
            (self.locality, "L", "2.5.4.7", false),
            (self.organization, "O", "2.5.4.10", false),
            (self.serial_number, "SN", "2.5.4.5", true),
            (self.common_name, "CN", "2.5.4.3", true),
        ];
        for (wanted, label, oid, only_last) in kinds {
            if wanted {
                let mut values = values_of(name, oid);
                if only_last && values.len() > 1 {
                    values.drain(..values.len() - 1);
                }
                parts.extend(values.into_iter().map(|value| format!("{label}={value}")));
            }
        }
        parts.join(",")
    }
}

fn values_of(name: &X509Name, oid: &str) -> Vec<String> {
    let of_kind = name.iter_attributes().filter(|attribute| attribute.attr_type().to_id_string() == oid);
    of_kind.filter_map(|attribute| attribute.as_str().ok().map(str::to_owned)).collect()
}

/// Subject alternative names in Go's order: DNS names, mail addresses, IP addresses, URIs.
fn sans(cert: &X509Certificate) -> Vec<String> {
    let mut kinds: [Vec<String>; 4] = Default::default();
    for extension in cert.extensions() {
        let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else { continue };
        for name in &names.general_names {
            match name {
                GeneralName::DNSName(text) => kinds[0].push((*text).to_owned()),
                GeneralName::RFC822Name(text) => kinds[1].push((*text).to_owned()),
                GeneralName::IPAddress(bytes) => kinds[2].extend(address_text(bytes)),
                GeneralName::URI(text) => kinds[3].push((*text).to_owned()),
                _ => {}
            }
        }
    }
    kinds.concat()
}

fn address_text(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    let v6 = <[u8; 16]>::try_from(bytes).ok()?;
    Some(std::net::IpAddr::from(v6).to_canonical().to_string())
}

/// Percent-encodes as Go's `url.QueryEscape` does: a blank becomes `+`.
fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            _ if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

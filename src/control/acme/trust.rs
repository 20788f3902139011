//! The root certificates that verify the authority's server, and the texts of failed connections.

use std::ffi::OsStr;
use std::path::PathBuf;

use rustls_pki_types::CertificateDer;

use crate::config::pem;
use crate::control::watched_files::read_text;
use crate::tls::verifier::refusal;

/// The root certificates that verify the authority's server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AcmeRoots {
    /// The roots of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR` if they are set.
    #[default]
    System,
    /// The certificates in these PEM files instead.
    Files(Vec<PathBuf>),
}

impl AcmeRoots {
    /// Parses the value of `LEGO_CA_CERTIFICATES`, a list of paths separated as in `PATH`, which Traefik reads too.
    pub fn from_variable(lego_ca_certificates: Option<&OsStr>) -> AcmeRoots {
        match lego_ca_certificates {
            Some(list) if !list.is_empty() => AcmeRoots::Files(std::env::split_paths(list).collect()),
            _ => AcmeRoots::System,
        }
    }
}

/// Loads the root certificates of the system. Returns them and a sentence for each file that cannot be read. Unreadable files are not an
/// error, because an image without root certificates must start if no client needs them.
pub fn system_roots() -> (Vec<CertificateDer<'static>>, Vec<String>) {
    let found = rustls_native_certs::load_native_certs();
    (found.certs, found.errors.iter().map(ToString::to_string).collect())
}

/// The text of an error and of all its causes, in one sentence. An error of TLS is explained instead.
pub fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(tls) = refusal::explain_cause(error) {
        return format!("the connection to the certificate authority (acme.caServer): {tls}");
    }
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// Reads the files of `LEGO_CA_CERTIFICATES`. Each must hold a certificate that can be used; damaged ones among them are logged.
pub fn read_root_files(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, String> {
    let mut texts = Vec::new();
    for path in paths {
        let bundle = pem::authorities(&path.to_string_lossy(), &read_text);
        let bundle = bundle.map_err(|e| format!("LEGO_CA_CERTIFICATES: {e}"))?;
        bundle.unused.iter().for_each(|unused| tracing::error!("LEGO_CA_CERTIFICATES: {unused}"));
        texts.push(bundle.text);
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lego_ca_certificates_is_a_list_of_paths() {
        assert_eq!(AcmeRoots::from_variable(None), AcmeRoots::System);
        assert_eq!(AcmeRoots::from_variable(Some(OsStr::new(""))), AcmeRoots::System);
        let both = AcmeRoots::from_variable(Some(OsStr::new("/a.pem:/b.pem")));
        assert_eq!(both, AcmeRoots::Files(vec!["/a.pem".into(), "/b.pem".into()]));
    }

    #[test]
    fn missing_root_file_is_named_in_the_error() {
        let message = read_root_files(&["/nowhere/ca.pem".into()]).unwrap_err();
        assert!(message.contains("/nowhere/ca.pem") && message.contains("LEGO_CA_CERTIFICATES"), "{message}");
    }
}

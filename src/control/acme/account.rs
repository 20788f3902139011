//! The account with the certificate authority, and the root certificates that verify the authority's server.

use std::ffi::OsStr;
use std::path::PathBuf;

use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{Account, AccountBuilder, AccountCredentials, BodyWrapper, NewAccount};
use rustls_pki_types::CertificateDer;

use crate::config::pem;
use crate::control::watched_files::read_text;
use crate::tls::settings::{ClientSettings, client_config};
use crate::tls::verifier::refusal;

/// The default of `acme.caServer`, as in Traefik (docs/reference/acme.md#keys).
pub const DEFAULT_CA_SERVER: &str = "https://acme-v02.api.letsencrypt.org/directory";

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

/// The directory URL to use for the configured `acme.caServer`. The retired ACME v1 URLs of Let's Encrypt, which old configurations still
/// have, are replaced; the second value is true then.
pub fn current_ca_server(configured: &str) -> (String, bool) {
    let replacements = [
        ("https://acme-v01.api.letsencrypt.org", DEFAULT_CA_SERVER),
        ("https://acme-staging.api.letsencrypt.org", "https://acme-staging-v02.api.letsencrypt.org/directory"),
    ];
    if configured.is_empty() {
        return (DEFAULT_CA_SERVER.into(), false);
    }
    match replacements.iter().find(|(old, _)| configured.starts_with(old)) {
        Some((_, new)) => (new.to_string(), true),
        None => (configured.to_owned(), false),
    }
}

/// Restores a registered account from its credentials.
///
/// # Errors
/// A sentence for the log.
pub async fn restore(trust: &AcmeRoots, credentials: AccountCredentials) -> Result<Account, String> {
    builder(trust)?.from_credentials(credentials).await.map_err(|e| explain(&e))
}

/// Registers a new account, agreeing to the authority's terms as Traefik does.
///
/// # Errors
/// A sentence for the log.
pub async fn register(
    trust: &AcmeRoots,
    ca_server: &str,
    email: &str,
) -> Result<(Account, AccountCredentials), String> {
    let contact = format!("mailto:{email}");
    let contact: &[&str] = if email.is_empty() { &[] } else { &[&contact] };
    let new = NewAccount { contact, terms_of_service_agreed: true, only_return_existing: false };
    let created = builder(trust)?.create(&new, ca_server.to_owned(), None).await;
    created.map_err(|e| format!("{ca_server}: {}", explain(&e)))
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

/// A builder for accounts whose HTTP client verifies the authority's server with `trust`.
fn builder(trust: &AcmeRoots) -> Result<AccountBuilder, String> {
    let (settings, roots) = match trust {
        AcmeRoots::System => {
            let authorities_option = "the system's authorities or LEGO_CA_CERTIFICATES";
            (ClientSettings { authorities_option, ..Default::default() }, system_roots().0)
        }
        AcmeRoots::Files(paths) => {
            let authorities_option = "LEGO_CA_CERTIFICATES";
            (ClientSettings { root_cas: read_root_files(paths)?, authorities_option, ..Default::default() }, Vec::new())
        }
    };
    if settings.root_cas.is_empty() && roots.is_empty() {
        return Err("there are no root certificates to check the certificate authority's server with: install \
            ca-certificates, or name a PEM file in SSL_CERT_FILE or LEGO_CA_CERTIFICATES"
            .into());
    }
    let tls = client_config(&settings, &roots).map_err(|e| e.to_string())?;
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    let client: Client<_, BodyWrapper<hyper::body::Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    Ok(Account::builder_with_http(Box::new(client)))
}

/// Reads the files of `LEGO_CA_CERTIFICATES`. Each must hold a certificate that can be used; damaged ones among them are logged.
fn read_root_files(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, String> {
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
    fn retired_directory_urls_are_replaced() {
        assert_eq!(current_ca_server(""), (DEFAULT_CA_SERVER.into(), false));
        assert_eq!(
            current_ca_server("https://acme-v01.api.letsencrypt.org/directory"),
            (DEFAULT_CA_SERVER.into(), true)
        );
        let staging = current_ca_server("https://acme-staging.api.letsencrypt.org/directory");
        assert_eq!(staging, ("https://acme-staging-v02.api.letsencrypt.org/directory".into(), true));
        assert_eq!(current_ca_server("https://ca.example/dir"), ("https://ca.example/dir".into(), false));
    }

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

//! The account with the certificate authority, and whom to trust when talking to it.

use std::ffi::OsStr;
use std::path::PathBuf;

use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{Account, AccountBuilder, AccountCredentials, BodyWrapper, NewAccount};
use rustls_pki_types::CertificateDer;

use crate::tls::certificate::chain_from_pem;
use crate::tls::settings::{ClientSettings, client_config};

/// Where Traefik's default `caServer` points (docs/reference/acme.md#keys).
pub const DEFAULT_CA_SERVER: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Whose certificates the authority's server may show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AcmeRoots {
    /// The system's roots, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    #[default]
    System,
    /// These PEM files instead.
    Files(Vec<PathBuf>),
}

impl AcmeRoots {
    /// From the value of `LEGO_CA_CERTIFICATES`, a list of paths as in `PATH`, which Traefik honours too.
    pub fn from_variable(lego_ca_certificates: Option<&OsStr>) -> AcmeRoots {
        match lego_ca_certificates {
            Some(list) if !list.is_empty() => AcmeRoots::Files(std::env::split_paths(list).collect()),
            _ => AcmeRoots::System,
        }
    }
}

/// The system's trust anchors. A file that cannot be read is no error but a sentence among the second: an image
/// without any roots must start, as long as nobody needs them.
pub fn system_roots() -> (Vec<CertificateDer<'static>>, Vec<String>) {
    let found = rustls_native_certs::load_native_certs();
    (found.certs, found.errors.iter().map(ToString::to_string).collect())
}

/// Rewrites the addresses of Let's Encrypt's retired first version, which old configurations still name.
/// The second value says that it happened.
pub fn current_ca_server(configured: &str) -> (String, bool) {
    let hosts = [
        ("https://acme-v01.api.letsencrypt.org", DEFAULT_CA_SERVER),
        ("https://acme-staging.api.letsencrypt.org", "https://acme-staging-v02.api.letsencrypt.org/directory"),
    ];
    if configured.is_empty() {
        return (DEFAULT_CA_SERVER.into(), false);
    }
    match hosts.iter().find(|(old, _)| configured.starts_with(old)) {
        Some((_, new)) => (new.to_string(), true),
        None => (configured.to_owned(), false),
    }
}

/// Uses a registered account again.
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
    builder(trust)?.create(&new, ca_server.to_owned(), None).await.map_err(|e| explain(&e))
}

/// An error with all its causes in one sentence.
pub fn explain(error: &dyn std::error::Error) -> String {
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

fn builder(trust: &AcmeRoots) -> Result<AccountBuilder, String> {
    let (settings, roots) = match trust {
        AcmeRoots::System => (ClientSettings::default(), system_roots().0),
        AcmeRoots::Files(paths) => (ClientSettings { root_cas: read_all(paths)?, ..Default::default() }, Vec::new()),
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

fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, String> {
    let mut texts = Vec::new();
    for path in paths {
        let shown = path.display();
        let text = std::fs::read(path).map_err(|e| format!("LEGO_CA_CERTIFICATES: {shown} cannot be read: {e}"))?;
        chain_from_pem(&text).map_err(|e| format!("LEGO_CA_CERTIFICATES: {shown}: {e}"))?;
        texts.push(text);
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_addresses_are_rewritten() {
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
    fn the_variable_is_a_list_of_paths() {
        assert_eq!(AcmeRoots::from_variable(None), AcmeRoots::System);
        assert_eq!(AcmeRoots::from_variable(Some(OsStr::new(""))), AcmeRoots::System);
        let both = AcmeRoots::from_variable(Some(OsStr::new("/a.pem:/b.pem")));
        assert_eq!(both, AcmeRoots::Files(vec!["/a.pem".into(), "/b.pem".into()]));
    }

    #[test]
    fn a_missing_file_of_roots_is_named() {
        let message = read_all(&["/nowhere/ca.pem".into()]).unwrap_err();
        assert!(message.contains("/nowhere/ca.pem") && message.contains("LEGO_CA_CERTIFICATES"), "{message}");
    }
}

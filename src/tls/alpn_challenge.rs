//! The server's side of TLS-ALPN-01: recognises an authority's validation and answers it with the challenge certificate (RFC 8737).
//!
//! A validation gets a configuration of its own: no client certificate is requested, and `acme-tls/1` is offered for a pending name only.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::Acceptor;
use rustls::sign::SingleCertAndKey;

use super::certificate::{Certificate, CertificateError};
use super::challenge::{ALPN_PROTOCOL, ChallengeTable};

/// Which configuration a connection gets.
#[derive(Debug, Clone)]
pub enum Selection {
    /// More bytes of the ClientHello are needed.
    Undecided,
    /// The entry point's own configuration.
    Ordinary,
    /// The configuration of a pending challenge.
    Challenge(Arc<ServerConfig>),
}

/// Makes the configuration that answers the validation of `name`. `digest` is the SHA-256 of the key authorisation.
///
/// # Errors
/// `name` is not valid in a certificate.
pub fn config(name: &str, digest: &[u8; 32]) -> Result<Arc<ServerConfig>, CertificateError> {
    let certificate = Certificate::alpn_challenge(name, digest)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| CertificateError::Generation(e.to_string()))?;
    let resolver = Arc::new(SingleCertAndKey::from((*certificate.key).clone()));
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![ALPN_PROTOCOL.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Selects the configuration of a connection from the bytes with which it starts. Bytes that are no ClientHello are left to the ordinary
/// configuration, which refuses them as always.
pub fn select(table: &ChallengeTable, start: &[u8]) -> Selection {
    let mut acceptor = Acceptor::default();
    let mut rest = start;
    while !rest.is_empty() {
        if !matches!(acceptor.read_tls(&mut rest), Ok(1..)) {
            return Selection::Ordinary;
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let offered = hello.alpn().into_iter().flatten();
                return match table.alpn_config(hello.server_name(), offered) {
                    Some(config) => Selection::Challenge(config),
                    None => Selection::Ordinary,
                };
            }
            Err(_) => return Selection::Ordinary,
        }
    }
    Selection::Undecided
}

#[cfg(test)]
mod tests {
    use rustls::ClientConfig;
    use rustls::pki_types::ServerName;

    use super::*;
    use crate::tls::session::Session;
    use crate::tls::settings::{ClientSettings, client_config};

    fn hello(name: &str, alpn: &[&[u8]]) -> Vec<u8> {
        let settings = ClientSettings { insecure_skip_verify: true, ..ClientSettings::default() };
        let mut config: ClientConfig = client_config(&settings, &[]).expect("a configuration");
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut client = Session::client(Arc::new(config), name).expect("a client");
        let mut bytes = Vec::new();
        client.take_output(&mut bytes);
        bytes
    }

    #[test]
    fn validation_is_selected_when_the_hello_is_complete() {
        let table = ChallengeTable::default();
        let challenge = config("a.example", &[1; 32]).expect("a configuration");
        let table = table.with_alpn("a.example", &challenge);
        let bytes = hello("a.example", &[ALPN_PROTOCOL]);
        for end in 1..bytes.len() {
            assert!(matches!(select(&table, &bytes[..end]), Selection::Undecided), "{end} bytes");
        }
        assert!(matches!(select(&table, &bytes), Selection::Challenge(found) if Arc::ptr_eq(&found, &challenge)));
        assert!(matches!(select(&table, &hello("b.example", &[ALPN_PROTOCOL])), Selection::Ordinary));
        assert!(matches!(select(&table, &hello("a.example", &[b"h2"])), Selection::Ordinary));
        assert!(matches!(select(&table, &hello("a.example", &[])), Selection::Ordinary));
        assert!(matches!(select(&table, b"GET / HTTP/1.1\r\n\r\n"), Selection::Ordinary));
    }
}

//! TLS client configurations: for https backends and for forward-auth servers.

use std::io;
use std::sync::Arc;

use aws_lc_rs::digest::{self, Digest, SHA256};
use rustls::pki_types::CertificateDer;

use crate::config::compile::{AuthTls, AuthTlsConfig, ReadFile};
use crate::config::dynamic::ClientTls;
use crate::config::pem;
use crate::config::static_config::StaticConfig;
use crate::control::acme;
use crate::tls::settings::{ClientSettings, client_config};

/// The TLS configuration for https backends. `rootCAs` replace the system's roots. Missing system roots are no error here: they fail only
/// connections that need them.
pub fn of_backends(config: &StaticConfig) -> Result<Arc<rustls::ClientConfig>, String> {
    let read = |path: &str| std::fs::read_to_string(path);
    let mut root_cas = Vec::new();
    for text in &config.root_cas {
        match pem::content(text, &read) {
            Ok(pem) => root_cas.push(pem.into_bytes()),
            Err(e) => tracing::error!("rootCAs: {e}; entry rejected: correct it"),
        }
    }
    let settings = ClientSettings {
        root_cas,
        insecure_skip_verify: config.insecure_skip_verify,
        identity: None,
        alpn: vec![b"http/1.1".to_vec()],
    };
    let (system_roots, notes) =
        if config.root_cas.is_empty() { acme::system_roots() } else { (Vec::new(), Vec::new()) };
    notes.iter().for_each(|note| tracing::debug!("system root certificates: {note}"));
    client_config(&settings, &system_roots).map(Arc::new).map_err(|e| e.to_string())
}

/// The TLS configuration of a forward-auth server: the CA of its table, else the system's roots and nothing else
/// (docs/reference/entry-points.md#authentication).
pub fn of_auth(read: ReadFile) -> AuthTls {
    Box::new(move |table| auth_config(table, &*read))
}

fn auth_config(table: Option<&ClientTls>, read: &dyn Fn(&str) -> io::Result<String>) -> Result<AuthTlsConfig, String> {
    let table = table.cloned().unwrap_or_default();
    let pem =
        |text: &str, name: &str| pem::content(text, read).map(String::into_bytes).map_err(|e| format!("{name}: {e}"));
    let identity = match (table.cert.is_empty(), table.key.is_empty()) {
        (true, true) => None,
        (false, false) => Some((pem(&table.cert, "cert")?, pem(&table.key, "key")?)),
        _ => return Err("cert and key belong together: set both or none".to_owned()),
    };
    let root_cas = if table.ca.is_empty() { Vec::new() } else { vec![pem(&table.ca, "ca")?] };
    let (system_roots, _) = if root_cas.is_empty() { acme::system_roots() } else { (Vec::new(), Vec::new()) };
    let settings = ClientSettings {
        root_cas,
        insecure_skip_verify: table.insecure_skip_verify,
        identity,
        alpn: vec![b"http/1.1".to_vec()],
    };
    let config = client_config(&settings, &system_roots).map_err(|e| e.to_string())?;
    Ok(AuthTlsConfig { config: Arc::new(config), digest: digest_of(&settings, &system_roots) })
}

/// A digest of everything that decides which servers are trusted and which client certificate is shown. Connections are pooled by it. The
/// private key is not part of it: the certificate identifies the key.
fn digest_of(settings: &ClientSettings, system_roots: &[CertificateDer<'_>]) -> Digest {
    let mut context = digest::Context::new(&SHA256);
    context.update(&[u8::from(settings.insecure_skip_verify), u8::from(settings.identity.is_some())]);
    let own_certificate = settings.identity.iter().map(|(certificate, _)| certificate.as_slice());
    let trusted = settings.root_cas.iter().map(Vec::as_slice).chain(system_roots.iter().map(|der| der.as_ref()));
    for part in own_certificate.chain(trusted) {
        // Each part is preceded by its length, so that two different lists never give the same bytes.
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    context.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::bootstrap;
    use crate::config::compile::{self, EndpointInterner};
    use crate::config::dynamic::{Auth, ForwardAuth};
    use crate::config::static_config;

    /// An entry point whose `auth.forward.tls` names certificates in `folder`.
    fn entry_point(folder: &std::path::Path) -> static_config::EntryPoint {
        let file = |name: &str| folder.join(name).display().to_string();
        let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
        let tls = Some(ClientTls { ca, cert, key, ..ClientTls::default() });
        let address = "https://auth.test/".to_owned();
        let forward = Some(ForwardAuth { address, tls, ..ForwardAuth::default() });
        static_config::EntryPoint {
            auth: Some(Auth { forward, ..Auth::default() }),
            ..static_config::EntryPoint::default()
        }
    }

    #[test]
    fn renewed_certificate_gets_its_own_pool() {
        let folder = tempfile::tempdir().expect("a folder");
        let renew = |names: [&str; 2]| {
            let made = rcgen::generate_simple_self_signed(["auth.test".to_owned()]).expect("a certificate");
            let texts = [made.cert.pem(), made.signing_key.serialize_pem()];
            for (name, text) in names.iter().zip(texts).filter(|(name, _)| !name.is_empty()) {
                std::fs::write(folder.path().join(name), text).expect("written");
            }
        };
        let components = bootstrap::build(&StaticConfig::default()).unwrap_or_else(|e| panic!("{e}"));
        let (entry_point, mut endpoints) = (entry_point(folder.path()), EndpointInterner::default());
        let mut pool = || {
            let compiled = compile::entry_point(&components.compile_context, "http", &entry_point, &mut endpoints)
                .map_err(|e| e.reason);
            compiled.expect("readable").auth.expect("a server").pool
        };
        renew(["ca.pem", ""]);
        renew(["cert.pem", "key.pem"]);
        let first = pool();
        assert_eq!(pool(), first, "nothing has changed");
        renew(["ca.pem", ""]);
        let second = pool();
        renew(["cert.pem", "key.pem"]);
        let third = pool();
        assert!(first != second && second != third && third != first, "{first} {second} {third}");
    }
}

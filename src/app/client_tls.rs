//! TLS client configurations: for https backends and for forward-auth servers.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{self, Digest, SHA256};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;

use crate::config::compile::{AuthTls, AuthTlsConfig, ReadFile};
use crate::config::dynamic::ClientTls;
use crate::config::pem;
use crate::config::snapshot::TlsConfigs;
use crate::config::static_config::StaticConfig;
use crate::control::acme;
use crate::control::watched_files::read_text;
use crate::tls::settings::{ClientSettings, client_config};

/// The TLS configurations for https backends. `rootCAs` replace the system's roots. Missing system roots are no error here: they fail only
/// connections that need them. The check of the static configuration has logged what is wrong with each entry
/// (docs/reference/static-configuration.md#errors).
///
/// # Errors
/// Entries could be read, but none of them has a certificate that can be used.
pub fn of_backends(config: &StaticConfig) -> Result<TlsConfigs, String> {
    let readable = config.root_cas.iter().filter(|text| pem::content(text, &read_text).is_ok());
    let bundles: Vec<_> = readable.map(|text| pem::authorities(text, &read_text)).collect();
    let has_none = !bundles.is_empty() && bundles.iter().all(Result::is_err);
    let mut root_cas = Vec::new();
    for bundle in bundles {
        match bundle {
            Ok(bundle) => root_cas.push(bundle.text),
            Err(reason) if has_none => return Err(format!("rootCAs: {reason}")),
            Err(_) => {}
        }
    }
    let settings = ClientSettings {
        root_cas,
        authorities_option: if config.root_cas.is_empty() { "the system's authorities or rootCAs" } else { "rootCAs" },
        insecure_skip_verify: config.insecure_skip_verify,
        identity: None,
        alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    let (system_roots, notes) =
        if config.root_cas.is_empty() { acme::system_roots() } else { (Vec::new(), Vec::new()) };
    notes.iter().for_each(|note| tracing::debug!("system root certificates: {note}"));
    let any = client_config(&settings, &system_roots).map_err(|e| e.to_string())?;
    let mut http1 = any.clone();
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A clone shares the store of sessions: one that agreed on HTTP/2 must not be resumed for HTTP/1.1.
    http1.resumption = Resumption::default();
    Ok(TlsConfigs { any: Arc::new(any), http1: Arc::new(http1) })
}

/// The TLS configuration of a forward-auth server: the CA of its table, else the system's roots and nothing else
/// (docs/reference/entry-points.md#authentication). A damaged block of a bundle is logged once; those of entry points in `config` are
/// logged by the check of the static configuration.
pub fn of_auth(config: &StaticConfig, read: ReadFile) -> AuthTls {
    let tables = config.entry_points.values().filter_map(|entry| entry.auth.as_ref()?.forward.as_ref()?.tls.as_ref());
    let bundles = tables.filter_map(|tls| pem::authorities(&tls.ca, &read_text).ok());
    let logged: Mutex<BTreeSet<String>> = Mutex::new(bundles.flat_map(|bundle| bundle.unused).collect());
    Box::new(move |table| {
        auth_config(table, &*read, &|unused| {
            let mut logged = logged.lock().unwrap_or_else(PoisonError::into_inner);
            if logged.len() < LOGGED_MAX && logged.insert(unused.to_owned()) {
                tracing::error!("auth.forward.tls.ca: {unused}");
            }
        })
    })
}

/// The number of damaged blocks that are logged: labels of containers can name bundles.
const LOGGED_MAX: usize = 256;

fn auth_config(
    table: Option<&ClientTls>,
    read: &dyn Fn(&str) -> io::Result<String>,
    on_unused: &dyn Fn(&str),
) -> Result<AuthTlsConfig, String> {
    let table = table.cloned().unwrap_or_default();
    let pem =
        |text: &str, name: &str| pem::content(text, read).map(String::into_bytes).map_err(|e| format!("{name}: {e}"));
    let identity = match (table.cert.is_empty(), table.key.is_empty()) {
        (true, true) => None,
        (false, false) => Some((pem(&table.cert, "cert")?, pem(&table.key, "key")?)),
        _ => return Err("cert and key belong together: set both or none".to_owned()),
    };
    let mut root_cas = Vec::new();
    if !table.ca.is_empty() {
        let bundle = pem::authorities(&table.ca, read).map_err(|e| format!("ca: {e}"))?;
        bundle.unused.iter().for_each(|unused| on_unused(unused));
        root_cas.push(bundle.text);
    }
    let (system_roots, _) = if root_cas.is_empty() { acme::system_roots() } else { (Vec::new(), Vec::new()) };
    let settings = ClientSettings {
        root_cas,
        authorities_option: "auth.forward.tls.ca",
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
    use crate::config::compile::{self, EndpointInterner, EntryPointInfo};
    use crate::config::dynamic::{Auth, Backend, DynamicConfig, ForwardAuth, Frontend, Route, Server};
    use crate::config::snapshot::{ServerProtocol, Snapshot};
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
    fn servers_offer_the_versions_of_their_scheme_and_share_no_connections() {
        let urls = ["http://a.test:1", "https://a.test:1", "h2c://a.test:1"];
        let server = |url: &str| (url.to_owned(), Server { url: url.to_owned(), weight: 1 });
        let backend = Backend { servers: urls.iter().map(|url| server(url)).collect(), ..Backend::default() };
        let routes = [("r".to_owned(), Route { rule: "Path:/".to_owned() })].into();
        let frontend = Frontend { backend: "b".to_owned(), routes, ..Frontend::default() };
        let document = DynamicConfig {
            backends: [("b".to_owned(), backend)].into(),
            frontends: [("f".to_owned(), frontend)].into(),
            ..DynamicConfig::default()
        };
        let mut context = bootstrap::build(&StaticConfig::default()).unwrap_or_else(|e| panic!("{e}")).compile_context;
        let entry = EntryPointInfo {
            name: "http".to_owned(),
            port: 80,
            is_local: true,
            has_tls: false,
            is_udp: false,
            white_list: Vec::new(),
            has_auth: false,
            sanitize_path: false,
        };
        (context.entry_points, context.default_entry_points) = (vec![entry], vec!["http".to_owned()]);
        let documents = [("file".to_owned(), document.into())].into();
        let mut interner = EndpointInterner::default();
        let snapshot = compile::compile(&context, &documents, &[], &Snapshot::empty(1), &mut interner);
        let endpoints = &snapshot.backends[0].endpoints;
        let of = |scheme: &str| endpoints.iter().find(|e| e.url.starts_with(scheme)).expect("a server");
        let (http, https, h2c) = (of("http:"), of("https:"), of("h2c:"));
        assert_eq!(
            [http, https, h2c].map(|endpoint| endpoint.speaks),
            [ServerProtocol::Http1, ServerProtocol::Negotiated, ServerProtocol::Http2]
        );
        let tls = https.tls.as_ref().expect("TLS");
        assert!(http.tls.is_none() && h2c.tls.is_none());
        assert_eq!(tls.configs.any.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
        assert_eq!(tls.configs.http1.alpn_protocols, [b"http/1.1"]);
        let pools = BTreeSet::from([http.pool, https.pool, h2c.pool, tls.http1_pool]);
        assert_eq!(pools.len(), 4, "{pools:?}");
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

//! TLS from the control plane to the Docker Engine and to key-value stores, from a `tls` table (docs/reference/providers.md#docker-tls).

use rustls::ClientConfig;

use super::acme::system_roots;
use super::watched_files::read_text;
use crate::config::dynamic::ClientTls;
use crate::config::pem;
use crate::tls::settings::{self, ClientSettings};

/// Builds the TLS configuration of a client. Each certificate and key is given as a file's path or as the PEM text itself. The error names
/// the key of the table; `ca_option` is the name of its `ca`, as `etcd.tls.ca`.
pub fn client_config(tls: &ClientTls, ca_option: &'static str, alpn: &[&str]) -> Result<ClientConfig, String> {
    let option = ca_option.trim_end_matches(".ca");
    let content = |key: &str, source: &str| {
        let text = pem::content(source, &read_text);
        text.map(String::into_bytes).map_err(|error| format!("{option}.{key}: {error}"))
    };
    let root_cas = match tls.ca.as_str() {
        "" => Vec::new(),
        ca => vec![content("ca", ca)?],
    };
    let (system, _) =
        if root_cas.is_empty() && !tls.insecure_skip_verify { system_roots() } else { Default::default() };
    if root_cas.is_empty() && system.is_empty() && !tls.insecure_skip_verify {
        return Err(format!("{ca_option}: the system has no certificate authorities: name a PEM file"));
    }
    let identity = match (tls.cert.as_str(), tls.key.as_str()) {
        ("", "") => None,
        ("", _) | (_, "") => return Err(format!("{option}: cert and key belong together: set both or none")),
        (cert, key) => Some((content("cert", cert)?, content("key", key)?)),
    };
    let settings = ClientSettings {
        root_cas,
        authorities_option: ca_option,
        insecure_skip_verify: tls.insecure_skip_verify,
        identity,
        alpn: alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
    };
    settings::client_config(&settings, &system).map_err(|error| format!("{option}: {error}"))
}

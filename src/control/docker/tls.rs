//! TLS to the Engine (docs/reference/providers.md#docker-tls, `tls.*`).

use rustls::ClientConfig;

use crate::config::dynamic::ClientTls;
use crate::config::pem;
use crate::control::acme::system_roots;
use crate::control::watched_files::read_text;
use crate::tls::settings::{self, ClientSettings};

/// Builds the TLS configuration of the client. Each certificate and key is given as a file's path or as the PEM text itself. The error
/// names the key of `[docker.tls]`.
pub fn client_config(tls: &ClientTls) -> Result<ClientConfig, String> {
    let content = |key: &str, source: &str| {
        let text = pem::content(source, &read_text);
        text.map(String::into_bytes).map_err(|error| format!("docker.tls.{key}: {error}"))
    };
    let identity = match (tls.cert.is_empty(), tls.key.is_empty()) {
        (true, true) if tls.insecure_skip_verify => None,
        (false, false) => Some((tls.cert.as_str(), tls.key.as_str())),
        _ => {
            return Err(
                "docker.tls: cert and key are both needed, unless insecureSkipVerify is set and neither is".to_owned()
            );
        }
    };
    let root_cas = match tls.ca.as_str() {
        "" => Vec::new(),
        ca => vec![content("ca", ca)?],
    };
    let (system, _) =
        if root_cas.is_empty() && !tls.insecure_skip_verify { system_roots() } else { Default::default() };
    if root_cas.is_empty() && system.is_empty() && !tls.insecure_skip_verify {
        return Err("docker.tls.ca: the system has no certificate authorities: name a PEM file".to_owned());
    }
    let identity = match identity {
        Some((cert, key)) => Some((content("cert", cert)?, content("key", key)?)),
        None => None,
    };
    let settings = ClientSettings {
        root_cas,
        authorities_option: "docker.tls.ca",
        insecure_skip_verify: tls.insecure_skip_verify,
        identity,
        alpn: Vec::new(),
    };
    settings::client_config(&settings, &system).map_err(|error| format!("docker.tls: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_tls_settings_fail_naming_the_key() {
        let tls = |ca: &str, cert: &str, key: &str, skip| ClientTls {
            ca: ca.into(),
            cert: cert.into(),
            key: key.into(),
            insecure_skip_verify: skip,
            ..ClientTls::default()
        };
        let pem = "-----BEGIN NOTHING-----";
        for (tls, part) in [
            (tls("/nowhere/ca.pem", "c", "k", false), "docker.tls.ca: /nowhere/ca.pem cannot be read"),
            (tls("-----BEGIN NOTHING-----", pem, pem, false), "certificate authority, entry 1"),
            (tls("", "c", "", true), "both needed"),
            (tls("", pem, "/nowhere/key.pem", true), "docker.tls.key: /nowhere/key.pem cannot be read"),
        ] {
            let error = client_config(&tls).unwrap_err();
            assert!(error.contains(part), "{part:?} is missing in {error}");
        }
        assert!(client_config(&tls("", "", "", true)).is_ok());
    }
}

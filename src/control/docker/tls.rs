//! TLS to the Engine (docs/reference/providers.md#docker-tls, `tls.*`).

use rustls::ClientConfig;

use crate::config::dynamic::ClientTls;
use crate::control::client_tls;

/// Builds the TLS configuration of the client. Each certificate and key is given as a file's path or as the PEM text itself. The error
/// names the key of `[docker.tls]`.
pub fn client_config(tls: &ClientTls) -> Result<ClientConfig, String> {
    let has_none = tls.cert.is_empty() && tls.key.is_empty() && tls.insecure_skip_verify;
    if !has_none && (tls.cert.is_empty() || tls.key.is_empty()) {
        return Err(
            "docker.tls: cert and key are both needed, unless insecureSkipVerify is set and neither is".to_owned()
        );
    }
    client_tls::client_config(tls, "docker.tls.ca", &[])
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

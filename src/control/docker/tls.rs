//! TLS towards the Engine (dynamic.md 1.1, `tls.*`).

use std::fs;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::config::dynamic::ClientTls;

/// Reads certificates and key; each is a file's path or the PEM text itself. The error names the key of `[docker.tls]`.
pub fn client_config(tls: &ClientTls) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let builder = match tls.insecure_skip_verify {
        true => builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnyone(provider))),
        false => builder.with_root_certificates(roots(&tls.ca)?),
    };
    match (tls.cert.is_empty(), tls.key.is_empty()) {
        (true, true) if tls.insecure_skip_verify => Ok(builder.with_no_client_auth()),
        (false, false) => {
            let key = pem("key", &tls.key)?;
            let key = PrivateKeyDer::from_pem_slice(&key)
                .map_err(|error| format!("docker.tls.key: {error:?}: write a PEM private key"))?;
            let chain = certificates("cert", &tls.cert)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| format!("docker.tls.cert and key: {error}"))
        }
        _ => {
            Err("docker.tls: cert and key are both needed, unless insecureSkipVerify is set and neither is".to_owned())
        }
    }
}

/// The given authority alone, or those of the system.
fn roots(ca: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let trusted = match ca.is_empty() {
        true => rustls_native_certs::load_native_certs().certs,
        false => certificates("ca", ca)?,
    };
    roots.add_parsable_certificates(trusted);
    if roots.is_empty() {
        return Err("docker.tls.ca: no usable certificate authority: write the path of a PEM file".to_owned());
    }
    Ok(roots)
}

fn certificates(key: &str, source: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem(key, source)?).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(format!("docker.tls.{key}: there is no certificate in it: write PEM")),
        Err(error) => Err(format!("docker.tls.{key}: {error:?}: write PEM")),
    }
}

fn pem(key: &str, source: &str) -> Result<Vec<u8>, String> {
    if source.contains("-----BEGIN") {
        return Ok(source.as_bytes().to_vec());
    }
    fs::read(source).map_err(|error| format!("docker.tls.{key}: cannot read {source}: {error}"))
}

/// What `insecureSkipVerify` asks for: any certificate will do, but its owner must have signed the handshake.
#[derive(Debug)]
struct TrustAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_settings_are_refused_with_their_key() {
        let tls = |ca: &str, cert: &str, key: &str, skip| ClientTls {
            ca: ca.into(),
            cert: cert.into(),
            key: key.into(),
            insecure_skip_verify: skip,
            ..ClientTls::default()
        };
        for (tls, part) in [
            (tls("/nowhere/ca.pem", "", "", false), "docker.tls.ca: cannot read /nowhere/ca.pem"),
            (tls("-----BEGIN NOTHING-----", "c", "k", false), "docker.tls.ca"),
            (tls("", "c", "", true), "both needed"),
            (tls("", "c", "/nowhere/key.pem", true), "docker.tls.key: cannot read /nowhere/key.pem"),
        ] {
            let error = client_config(&tls).unwrap_err();
            assert!(error.contains(part), "{part:?} is missing in {error}");
        }
        assert!(client_config(&tls("", "", "", true)).is_ok());
    }
}

//! Makes rustls configurations from the TLS options as written in the configuration. PEM text is passed as bytes.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

use super::certificate::{Certificate, authorities_from_pem};
use super::suites;
use super::tickets::Resumption;
use super::verifier::{AnyServer, ClientVerifier, ServerVerifier};

/// All versions that rustls supports: TLS 1.0 and 1.1 are not among them (RFC 8996).
static TLS12_AND_13: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
static TLS13_ONLY: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

/// Tickets that are sent after a TLS 1.3 handshake: the same number as Go sends.
const TICKETS_SENT: usize = 1;

/// The `tls` table of an entry point, without its certificates (docs/reference/entry-points.md#tls).
#[derive(Debug, Clone, Default)]
pub struct ServerSettings {
    /// `minVersion` as written; empty when absent.
    pub min_version: String,
    /// `cipherSuites` as written; empty when absent.
    pub cipher_suites: Vec<String>,
    /// Contents of `clientCA.files`, one PEM text each; if empty, no client certificate is requested.
    pub client_ca: Vec<Vec<u8>>,
    /// `clientCA.optional`: a client may connect without a certificate; a certificate that it sends is verified.
    pub client_ca_optional: bool,
    /// Application protocols to offer, in order of preference, for example `http/1.1`.
    pub alpn: Vec<Vec<u8>>,
}

/// TLS options for connections to https servers: backends, forward authentication and the like.
#[derive(Debug, Clone, Default)]
pub struct ClientSettings {
    /// Contents of `rootCAs`; if not empty, they replace the system's roots.
    pub root_cas: Vec<Vec<u8>>,
    /// The option that names `root_cas`, for messages; empty if there is none.
    pub authorities_option: &'static str,
    /// `insecureSkipVerify`: any certificate is accepted, whatever `root_cas` says.
    pub insecure_skip_verify: bool,
    /// PEM texts of the client certificate and its key, for servers that request one.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Application protocols to offer; if empty, none are offered.
    pub alpn: Vec<Vec<u8>>,
}

/// An error of the options with which Traefik refuses to start too (docs/reference/static-configuration.md#errors).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsError {
    /// No cipher suite has this name.
    UnknownCipherSuite(String),
    /// A text of `clientCA.files` contains no usable certificate: its position from 0, and the reason.
    ClientCa(usize, String),
    /// A text of `rootCAs` contains no usable certificate: its position from 0, and the reason.
    RootCa(usize, String),
    /// The client certificate or its key is unusable, for this reason.
    Identity(String),
    /// rustls refuses the combination of options, for this reason.
    Refused(String),
}

/// Makes the configuration of an entry point. The warnings are messages for the log, without the entry point's name.
///
/// Early data is always off, because its requests can be replayed, and half-RTT data too, because the client is not verified yet.
///
/// # Errors
/// [`SettingsError`]; each is fatal at start (docs/reference/static-configuration.md#errors).
pub fn server_config(
    settings: &ServerSettings,
    resolver: Arc<dyn ResolvesServerCert>,
    resumption: &Resumption,
) -> Result<(ServerConfig, Vec<String>), SettingsError> {
    let mut warnings = Vec::new();
    let suites = suites::choose(&settings.cipher_suites).map_err(|e| SettingsError::UnknownCipherSuite(e.0))?;
    if !suites.ignored.is_empty() {
        let names = suites.ignored.join(", ");
        warnings.push(format!("cipherSuites: ignored because they are weak: {names}; remove them from the list"));
    }
    let mut versions = versions(&settings.min_version, &mut warnings);
    let has_tls12 = suites.chosen.iter().any(|suite| suite.tls13().is_none());
    if !has_tls12 && versions.len() > 1 {
        versions = &TLS13_ONLY;
        warnings.push("cipherSuites: no suite for TLS 1.2 is left, only TLS 1.3 clients can connect: add one".into());
    }
    let provider = Arc::new(CryptoProvider { cipher_suites: suites.chosen, ..aws_lc_rs::default_provider() });
    let verifier = client_verifier(settings, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(refused)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    config.ignore_client_order = true;
    config.alpn_protocols.clone_from(&settings.alpn);
    config.ticketer = resumption.ticketer.clone();
    config.session_storage = resumption.sessions.clone();
    config.send_tls13_tickets = TICKETS_SENT;
    config.max_early_data_size = 0;
    config.send_half_rtt_data = false;
    Ok((config, warnings))
}

/// Makes a client configuration. `system_roots` are the trust anchors of the machine, which the caller reads. Damaged trust anchors are
/// skipped: the caller reports them ([`super::pem::authorities`]). Without any, every verification fails, but the configuration is valid.
///
/// # Errors
/// [`SettingsError::RootCa`] or [`SettingsError::Identity`] for bad PEM.
pub fn client_config(
    settings: &ClientSettings,
    system_roots: &[CertificateDer<'static>],
) -> Result<ClientConfig, SettingsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(refused)?;
    let roots = match settings.root_cas.is_empty() {
        true => system_roots.to_vec(),
        false => roots_of(&settings.root_cas).map_err(|(at, why)| SettingsError::RootCa(at, why))?,
    };
    let option =
        if settings.authorities_option.is_empty() { "the trusted authorities" } else { settings.authorities_option };
    let verifier: Arc<dyn ServerCertVerifier> = match settings.insecure_skip_verify {
        true => Arc::new(AnyServer::new(&provider)),
        false => Arc::new(ServerVerifier::new(roots, &provider, option)),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let own = Certificate::from_pem(certificate, key).map_err(|e| SettingsError::Identity(e.to_string()))?;
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from((*own.key).clone())))
        }
    };
    config.alpn_protocols.clone_from(&settings.alpn);
    Ok(config)
}

fn versions(minimum: &str, warnings: &mut Vec<String>) -> &'static [&'static SupportedProtocolVersion] {
    match minimum {
        "" | "VersionTLS12" => {}
        "VersionTLS13" => return &TLS13_ONLY,
        "VersionTLS10" | "VersionTLS11" => warnings.push(format!(
            "minVersion {minimum}: TLS 1.0 and 1.1 are not supported (RFC 8996), clients need TLS 1.2; set VersionTLS12"
        )),
        unknown => warnings.push(format!("minVersion {unknown:?} is unknown and ignored: TLS 1.2 is the minimum")),
    }
    &TLS12_AND_13
}

fn client_verifier(
    settings: &ServerSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, SettingsError> {
    if settings.client_ca.is_empty() {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let roots = roots_of(&settings.client_ca).map_err(|(at, why)| SettingsError::ClientCa(at, why))?;
    Ok(Arc::new(ClientVerifier::new(roots, provider, !settings.client_ca_optional)))
}

fn roots_of(texts: &[Vec<u8>]) -> Result<Vec<CertificateDer<'static>>, (usize, String)> {
    let mut roots = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        roots.extend(authorities_from_pem(text).map_err(|e| (at, e.to_string()))?);
    }
    Ok(roots)
}

fn refused(error: rustls::Error) -> SettingsError {
    SettingsError::Refused(error.to_string())
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingsError::UnknownCipherSuite(name) => {
                write!(f, "invalid CipherSuite: {name}: use names like TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
            }
            SettingsError::ClientCa(at, why) => write!(f, "clientCA.files, entry {}: {why}", at + 1),
            SettingsError::RootCa(at, why) => write!(f, "certificate authority, entry {}: {why}", at + 1),
            SettingsError::Identity(why) => write!(f, "client certificate: {why}"),
            SettingsError::Refused(why) => write!(f, "these TLS options do not work together: {why}"),
        }
    }
}

impl std::error::Error for SettingsError {}

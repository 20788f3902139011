//! The ACME options as written (docs/reference/acme.md#keys).

use serde::{Deserialize, Serialize};

use crate::config::duration::GoDuration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Acme {
    pub email: String,
    /// The JSON file of account and certificates.
    pub storage: String,
    /// Deprecated for `storage`; empty once resolved.
    pub storage_file: String,
    pub entry_point: String,
    /// The directory URL.
    pub ca_server: String,
    /// `EC256`, `EC384`, `RSA2048`, `RSA4096` or `RSA8192`.
    pub key_type: String,
    pub on_host_rule: bool,
    /// Deprecated: requests certificates for names that clients ask for, if they have a route.
    pub on_demand: bool,
    pub acme_logging: bool,
    pub override_certificates: bool,
    /// The common name of the issuer of the topmost certificate of the chain to use, if the authority offers several.
    pub preferred_chain: String,
    /// The authority's profile to order by, Ringway's own key.
    pub profile: String,
    /// A program and its arguments, run after each issued certificate, Ringway's own key.
    pub on_issued: String,
    /// External account binding, Ringway's own table.
    pub eab: Option<ExternalAccount>,
    pub domains: Vec<AcmeDomain>,
    pub http_challenge: Option<HttpChallenge>,
    pub tls_challenge: Option<TlsChallenge>,
    pub dns_challenge: Option<DnsChallenge>,
    /// Deprecated for `dnsChallenge.provider`; empty once resolved.
    pub dns_provider: String,
    /// Deprecated for `dnsChallenge.delayBeforeCheck`; zero once resolved.
    #[serde(rename = "delayDontCheckDNS")]
    pub delay_dont_check_dns: GoDuration,
}

/// The names of one certificate to request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AcmeDomain {
    pub main: String,
    pub sans: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpChallenge {
    pub entry_point: String,
}

/// A table without keys: its presence selects the challenge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsChallenge {}

/// The customer account with the authority to which the new ACME account belongs (RFC 8555 7.3.4).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalAccount {
    /// The identifier of the key.
    pub kid: String,
    /// The key in base64url.
    pub hmac_encoded: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DnsChallenge {
    pub provider: String,
    pub delay_before_check: GoDuration,
    pub resolvers: Vec<String>,
    pub disable_propagation_check: bool,
}

impl Default for Acme {
    fn default() -> Self {
        Acme {
            email: String::new(),
            storage: String::new(),
            storage_file: String::new(),
            entry_point: String::new(),
            ca_server: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            key_type: "RSA4096".to_owned(),
            on_host_rule: false,
            on_demand: false,
            acme_logging: false,
            override_certificates: false,
            preferred_chain: String::new(),
            profile: String::new(),
            on_issued: String::new(),
            eab: None,
            domains: Vec::new(),
            http_challenge: None,
            tls_challenge: None,
            dns_challenge: None,
            dns_provider: String::new(),
            delay_dont_check_dns: GoDuration(0),
        }
    }
}

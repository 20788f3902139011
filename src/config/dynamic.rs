//! The dynamic configuration as providers write it: backends, frontends and certificates, 1:1 with Traefik v1's toml, labels and API JSON
//! (docs/reference/labels.md#labels and docs/reference/providers.md#file-schema). The order of fields is the order of
//! docs/reference/api.md#configuration-json.
//!
//! The toml loader reads names case-insensitively; serializing gives the API's JSON, without user lists and keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::duration::GoDuration;
use super::small_map::SmallMap;

/// The documents of all providers by the provider's name; the control plane and the snapshot share them.
pub type Documents = BTreeMap<String, Arc<DynamicConfig>>;

/// The complete configuration of a provider. Every update of a provider replaces the whole document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DynamicConfig {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub backends: BTreeMap<String, Backend>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub frontends: BTreeMap<String, Frontend>,
    #[serde(skip_serializing)]
    pub tls: Vec<TlsEntry>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Backend {
    #[serde(skip_serializing_if = "SmallMap::is_empty")]
    pub servers: SmallMap<Server>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_conn: Option<MaxConn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffering: Option<Buffering>,
    /// `responseForwarding` in toml; Traefik's API calls it `forwardingResponse`.
    #[serde(
        rename(serialize = "forwardingResponse", deserialize = "responseForwarding"),
        alias = "forwardingResponse",
        skip_serializing_if = "Option::is_none"
    )]
    pub response_forwarding: Option<ResponseForwarding>,
    /// Only in Ringway: `v1` or `v2`, the header with which connections to the servers begin.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub proxy_protocol: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Server {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// 0 acts as 1 unless `allowMinWeightZero` is set; a negative weight rejects every frontend of the backend.
    pub weight: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CircuitBreaker {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub expression: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadBalancer {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
    #[serde(skip_serializing_if = "is_false")]
    pub sticky: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stickiness: Option<Stickiness>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stickiness {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cookie_name: String,
    #[serde(skip_serializing_if = "is_false")]
    pub secure: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub http_only: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub same_site: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MaxConn {
    #[serde(skip_serializing_if = "is_zero")]
    pub amount: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub extractor_func: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scheme: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub port: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub interval: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Buffering {
    #[serde(skip_serializing_if = "is_zero")]
    pub max_request_body_bytes: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub mem_request_body_bytes: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_response_body_bytes: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub mem_response_body_bytes: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub retry_expression: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResponseForwarding {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub flush_interval: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Frontend {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entry_points: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub backend: String,
    #[serde(skip_serializing_if = "SmallMap::is_empty")]
    pub routes: SmallMap<Route>,
    /// False when a file omits it, true when a container does (docs/reference/providers.md#differences-from-labels).
    #[serde(skip_serializing_if = "is_false")]
    pub pass_host_header: bool,
    #[serde(rename = "passTLSCert", skip_serializing_if = "is_false")]
    pub pass_tls_cert: bool,
    #[serde(rename = "passTLSClientCert", skip_serializing_if = "Option::is_none")]
    pub pass_tls_client_cert: Option<PassTlsClientCert>,
    pub priority: i64,
    /// Deprecated list of `user:hash` lines; `null` in the API when unset, as in Traefik.
    #[serde(serialize_with = "null_when_empty")]
    pub basic_auth: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub whitelist_source_range: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub white_list: Option<WhiteList>,
    /// Boxed, as `auth` is: both are large, and most frontends have neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Box<Headers>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, ErrorPage>,
    #[serde(rename = "ratelimit", skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Box<Auth>>,
    /// Only in Ringway: the access log of the frontend's requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_log: Option<Box<FrontendAccessLog>>,
    /// Only in Ringway, for TCP: the client's TLS goes on to the server untouched.
    #[serde(skip_serializing_if = "is_false")]
    pub passthrough: bool,
    /// Only in Ringway, for TCP: the protocols that the TLS handshake may agree on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
}

/// The access log of a frontend (docs/reference/logs.md#logs-of-frontends).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendAccessLog {
    pub enabled: bool,
    /// Empty means the file of all others.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file_path: String,
    /// `common` or `json`; empty means the format of all others.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub format: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<AccessLogFields>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessLogFields {
    /// `keep` or `drop`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub default_mode: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<AccessLogHeaders>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessLogHeaders {
    /// `keep`, `drop` or `redact`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub default_mode: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
}

impl Default for FrontendAccessLog {
    fn default() -> Self {
        FrontendAccessLog { enabled: true, file_path: String::new(), format: String::new(), fields: None }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Route {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rule: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PassTlsClientCert {
    pub pem: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infos: Option<ClientCertInfos>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientCertInfos {
    pub not_after: bool,
    pub not_before: bool,
    pub sans: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<DistinguishedNameInfos>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<DistinguishedNameInfos>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DistinguishedNameInfos {
    pub country: bool,
    pub province: bool,
    pub locality: bool,
    pub organization: bool,
    pub common_name: bool,
    pub serial_number: bool,
    pub domain_component: bool,
}

/// The list of allowed client addresses; also an entry point's table (docs/reference/entry-points.md#white-list).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WhiteList {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_range: Vec<String>,
    #[serde(rename = "useXForwardedFor", skip_serializing_if = "is_false")]
    pub use_x_forwarded_for: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Headers {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_request_headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_response_headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts_proxy_headers: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub ssl_redirect: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub ssl_temporary_redirect: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ssl_host: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ssl_proxy_headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_false")]
    pub ssl_force_host: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub sts_seconds: i64,
    #[serde(skip_serializing_if = "is_false")]
    pub sts_include_subdomains: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub sts_preload: bool,
    #[serde(rename = "forceSTSHeader", skip_serializing_if = "is_false")]
    pub force_sts_header: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub frame_deny: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub custom_frame_options_value: String,
    #[serde(skip_serializing_if = "is_false")]
    pub content_type_nosniff: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub browser_xss_filter: bool,
    #[serde(rename = "customBrowserXSSValue", skip_serializing_if = "String::is_empty")]
    pub custom_browser_xss_value: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub content_security_policy: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub public_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub referrer_policy: String,
    #[serde(skip_serializing_if = "is_false")]
    pub is_development: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorPage {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub backend: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub query: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimit {
    #[serde(rename = "rateset", skip_serializing_if = "BTreeMap::is_empty")]
    pub rate_set: BTreeMap<String, Rate>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub extractor_func: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rate {
    pub period: GoDuration,
    pub average: i64,
    pub burst: i64,
}

/// A frontend's or an entry point's redirect (docs/reference/entry-points.md#redirect, docs/reference/middlewares.md#redirect).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Redirect {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub entry_point: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub regex: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub replacement: String,
    #[serde(skip_serializing_if = "is_false")]
    pub permanent: bool,
}

/// Authentication of a frontend or an entry point (docs/reference/entry-points.md#authentication,
/// docs/reference/middlewares.md#authentication).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Auth {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic: Option<UserAuth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<UserAuth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<ForwardAuth>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub header_field: String,
}

/// Users of basic and digest authentication; the user lines are never serialized.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserAuth {
    #[serde(skip_serializing)]
    pub users: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub users_file: String,
    #[serde(skip_serializing_if = "is_false")]
    pub remove_header: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwardAuth {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    #[serde(skip_serializing_if = "is_false")]
    pub trust_forward_header: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub auth_response_headers: Vec<String>,
}

/// TLS options for a connection that the proxy opens: to a forward-auth server or the Docker endpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientTls {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ca: String,
    #[serde(skip_serializing_if = "is_false")]
    pub ca_optional: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert: String,
    #[serde(skip_serializing)]
    pub key: String,
    #[serde(skip_serializing_if = "is_false")]
    pub insecure_skip_verify: bool,
}

/// A `[[tls]]` certificate of a provider.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsEntry {
    pub entry_points: Vec<String>,
    pub certificate: Option<CertificateFiles>,
}

/// A certificate and its key: each the path of a PEM file, or the PEM text itself (FileOrContent,
/// docs/reference/static-configuration.md#values).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateFiles {
    pub cert_file: String,
    pub key_file: String,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn null_when_empty<S: serde::Serializer>(list: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    if list.is_empty() { serializer.serialize_none() } else { list.serialize(serializer) }
}

//! The states of all certificates, which the control plane publishes for the API, the dashboard and the metrics.

use serde::Serialize;

/// The state of a certificate, or of one that is still to be obtained (docs/reference/api.md#certificates).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateState {
    /// The names that the certificate covers.
    pub names: Vec<String>,
    /// `acme`, `entry point NAME` or `provider NAME`.
    pub source: String,
    /// The end of validity, in seconds since 1970; `None` while there is no certificate.
    pub not_after_secs: Option<i64>,
    /// The next step: a renewal, an order, or none.
    pub next_step: String,
    /// When that happens, in seconds since 1970.
    pub next_step_secs: Option<i64>,
    /// The reason of the last failure; empty if the last attempt succeeded.
    pub last_error: String,
    /// The challenge by which the names are validated; empty for certificates from files.
    pub challenge: String,
}

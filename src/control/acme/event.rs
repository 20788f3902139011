//! What the ACME client reports to its caller.

use std::sync::Arc;
use std::time::Duration;

use crate::observe::certificates::CertificateState;
use crate::tls::certificate::Certificate;

/// An event that [`run`](super::run) reports to its caller. Events are in the log already.
#[derive(Debug, Clone)]
pub enum AcmeEvent {
    /// All usable certificates of the file, for the caller to publish. Sent once at the start and after every change.
    Certificates(Vec<Arc<Certificate>>),
    /// The states of all certificates, whenever one of them has changed.
    States(Vec<CertificateState>),
    /// A certificate was obtained or renewed.
    #[cfg_attr(
        reachability,
        expect(dead_code, reason = "tests follow the manager by its events; an operator reads them in the log")
    )]
    Obtained {
        /// The names of the certificate.
        names: Vec<String>,
    },
    /// A certificate could not be obtained.
    #[cfg_attr(
        reachability,
        expect(dead_code, reason = "tests follow the manager by its events; an operator reads them in the log")
    )]
    Failed {
        /// The names of the certificate.
        names: Vec<String>,
        /// The reason, a sentence for the log.
        reason: String,
        /// The number of failures in a row.
        failures: u32,
        /// The pause before the next attempt; `None` if no attempt can succeed.
        retry_in: Option<Duration>,
    },
}

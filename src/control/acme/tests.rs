//! Certificates for the unit tests of this module.

use std::sync::Arc;

use super::renewal::ManagedCertificate;
use super::store::Stored;
use crate::tls::certificate::Certificate;

const DAY: i64 = 86_400;

/// A certificate for `names` that has `left_days` of its `life_days` left at the second 0.
pub fn managed(names: &[&str], left_days: i64, life_days: i64) -> ManagedCertificate {
    let generated = Certificate::generated([0; 32], std::time::SystemTime::UNIX_EPOCH).unwrap();
    let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
    let stored = Stored { main: names[0].clone(), sans: names[1..].to_vec(), certificate: vec![], key: vec![] };
    let not_before_secs = (left_days - life_days) * DAY;
    let certificate = Certificate { names, not_before_secs, not_after_secs: left_days * DAY, ..generated };
    ManagedCertificate { stored, certificate: Some(Arc::new(certificate)), suggested_secs: None, id: None }
}

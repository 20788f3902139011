//! The certificates below `tls` (docs/reference/key-value-stores.md#certificates).

use std::collections::BTreeMap;

use super::node::{KeyNode, KeyProblem, read_object};
use crate::config::dynamic::TlsEntry;
use crate::config::text::shape::Shape;

/// Reads all certificates, in the order of their numbers. A certificate that cannot be used costs itself alone.
pub(super) fn certificates(
    keys: &BTreeMap<&str, &[u8]>,
    shape: &Shape,
    problems: &mut Vec<KeyProblem>,
) -> Vec<TlsEntry> {
    let mut by_name: BTreeMap<(u64, &str), BTreeMap<&str, &[u8]>> = BTreeMap::new();
    for (key, value) in keys {
        let (name, rest) = key.split_once('/').unwrap_or((key, ""));
        by_name.entry((name.parse().unwrap_or(u64::MAX), name)).or_default().insert(rest, value);
    }
    let mut certificates = Vec::new();
    for ((_, name), keys) in by_name {
        match KeyNode::new(&keys).and_then(|tree| read_object::<TlsEntry>(&tree, shape, problems)) {
            Ok(entry) if is_complete(&entry) => certificates.push(entry),
            Ok(_) => problems.push(KeyProblem {
                key: format!("{name}/certificate"),
                reason: format!("{name}/certificate needs certfile and keyfile: the certificate is not used"),
            }),
            Err(KeyProblem { key, reason }) => problems.push(KeyProblem {
                reason: format!("{name}/{key}: {reason}; the certificate is not used"),
                key: format!("{name}/{key}"),
            }),
        }
    }
    certificates
}

fn is_complete(entry: &TlsEntry) -> bool {
    entry.certificate.as_ref().is_some_and(|files| !files.cert_file.is_empty() && !files.key_file.is_empty())
}

//! Finds hosts that no certificate covers: their clients get a certificate for another name, and refuse it.

use std::collections::HashSet;

use super::certs::{AcmeDomainSources, CertificateSources};
use crate::config::compile::{CompileContext, hosts_by_frontend};
use crate::config::dynamic::Documents;
use crate::config::{Rejected, Severity};
use crate::diagnostics::{Code, Diagnostic};
use crate::tls::certificate::name_covers;

/// How many hosts a message lists.
const HOSTS_SHOWN_MAX: usize = 5;

/// ACME, as far as it decides which hosts get a certificate.
#[derive(Clone, Copy)]
pub struct AcmeCoverage<'a> {
    pub domains: &'a AcmeDomainSources,
    /// Whether the names that clients ask for get a certificate.
    pub on_demand: bool,
}

/// Lists the frontends with a host that no certificate covers, and the entry points with TLS that have no certificate at all.
pub fn uncovered_hosts(
    certs: &CertificateSources,
    documents: &Documents,
    ctx: &CompileContext,
    acme: Option<AcmeCoverage<'_>>,
) -> Vec<Rejected> {
    let mut found = Vec::new();
    for entry in ctx.entry_points.iter().filter(|entry| entry.has_tls) {
        let acme = acme.filter(|acme| acme.domains.entry_point == entry.name);
        if acme.is_some_and(|acme| acme.on_demand || acme.domains.on_host_rule) {
            continue;
        }
        let mut names = CoveredNames::default();
        certs.names_on(&entry.name).for_each(|name| names.add(name));
        let ordered = acme.into_iter().flat_map(|acme| acme.domains.domains.iter());
        ordered
            .for_each(|request| std::iter::once(&request.main).chain(&request.sans).for_each(|name| names.add(name)));
        for (provider, document) in documents {
            let mut hosts = hosts_by_frontend(document, &entry.name, &ctx.default_entry_points);
            if names.is_empty() {
                // One message for all: each host has the same problem.
                let has_hosts = hosts.next().is_some();
                found.extend(has_hosts.then(|| without_certificate(provider, &entry.name)));
                continue;
            }
            for (frontend, hosts) in hosts {
                let missing: Vec<String> = hosts.into_iter().filter(|host| !names.cover(host)).collect();
                found.extend((!missing.is_empty()).then(|| uncovered(provider, frontend, &entry.name, &missing)));
            }
        }
    }
    found
}

fn without_certificate(provider: &str, entry: &str) -> Rejected {
    let text =
        "it has TLS and no certificate: clients get a self-signed one for all hosts; add certificates, or [acme]";
    let diagnostic = Diagnostic::new(Code::UncoveredHost, format!("entryPoints.{entry}.tls"), text);
    Rejected::new(provider, format!("entry point {entry}"), Severity::Partial, diagnostic)
}

fn uncovered(provider: &str, frontend: &str, entry: &str, hosts: &[String]) -> Rejected {
    let shown = hosts.iter().take(HOSTS_SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match hosts.len().saturating_sub(HOSTS_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let text = format!("no certificate of entry point {entry} covers {shown}{more}: clients get one for another name");
    let diagnostic = Diagnostic::new(Code::UncoveredHost, "routes", text);
    Rejected::new(provider, format!("frontend {frontend}"), Severity::Partial, diagnostic)
}

/// The names of certificates: there may be thousands of them, and as many hosts.
#[derive(Default)]
struct CoveredNames {
    names: HashSet<String>,
    /// Names with more than one star.
    patterns: Vec<String>,
}

impl CoveredNames {
    fn add(&mut self, name: &str) {
        let name = name.trim_end_matches('.');
        if name.starts_with("*.*.") {
            self.patterns.push(name.to_owned());
        } else {
            self.names.insert(name.to_owned());
        }
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.patterns.is_empty()
    }

    fn cover(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        let by_star = || host.split_once('.').is_some_and(|(_, rest)| self.names.contains(&format!("*.{rest}")));
        self.names.contains(host) || by_star() || self.patterns.iter().any(|pattern| name_covers(pattern, host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_is_covered_by_its_name_and_by_stars_for_its_first_labels() {
        let mut names = CoveredNames::default();
        assert!(names.is_empty());
        ["a.test", "*.b.test", "*.*.c.test"].into_iter().for_each(|name| names.add(name));
        for (host, expected) in [
            ("a.test", true),
            ("x.a.test", false),
            ("x.b.test", true),
            ("y.x.b.test", false),
            ("b.test", false),
            ("x.y.c.test", true),
        ] {
            assert_eq!(names.cover(host), expected, "{host}");
        }
    }
}

//! The certificates of all entry points, from the fixed configuration, the providers and ACME, published as one store.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use super::acme::DomainRequest;
use crate::config::compile::{Fixture, host_rules};
use crate::config::dynamic::{Documents, TlsEntry};
use crate::config::pem;
use crate::limits::CERTIFICATES_MAX;
use crate::tls::certificate::Certificate;
use crate::tls::resolver::{CertStore, PointCerts};

/// The certificates as their sources gave them.
pub struct Certs {
    /// One per entry point with TLS; `fixed` and `default` stay as they are.
    points: Vec<PointCerts>,
    generated: Option<Arc<Certificate>>,
    /// By provider: entry point and certificate.
    dynamic: BTreeMap<String, Vec<(String, Arc<Certificate>)>>,
    /// ACME's, and the entry point they belong to.
    acme: Vec<Arc<Certificate>>,
    acme_entry_point: String,
    store: Arc<ArcSwap<CertStore>>,
}

impl Certs {
    /// Publishes the certificates of the fixed configuration.
    pub fn new(
        points: Vec<PointCerts>,
        generated: Option<Arc<Certificate>>,
        acme_entry_point: &str,
        store: Arc<ArcSwap<CertStore>>,
    ) -> Self {
        let certs = Certs {
            points,
            generated,
            dynamic: BTreeMap::new(),
            acme: Vec::new(),
            acme_entry_point: acme_entry_point.to_owned(),
            store,
        };
        certs.publish();
        certs
    }

    /// Replaces a provider's `[[tls]]` certificates. One that cannot be read is left out, and said.
    pub fn set_dynamic(&mut self, provider: &str, entries: &[TlsEntry], fixture: &Fixture) {
        let mut loaded = Vec::new();
        for entry in bounded("certificates", entries) {
            let Some(files) = &entry.certificate else { continue };
            let certificate = match pem::certificate(files, &*fixture.read) {
                Ok(certificate) => Arc::new(certificate),
                Err(e) => {
                    tracing::error!(provider, "[[tls]] certificate: {e}; it is left out");
                    continue;
                }
            };
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
            if let Some(warning) = certificate.expiry_warning(now) {
                tracing::warn!(provider, "{warning}");
            }
            let names = if entry.entry_points.is_empty() { &fixture.default_entry_points } else { &entry.entry_points };
            loaded.extend(names.iter().map(|name| (name.clone(), Arc::clone(&certificate))));
        }
        let before = self.dynamic.insert(provider.to_owned(), loaded);
        if before.is_some() || !entries.is_empty() {
            self.publish();
        }
    }

    /// Replaces ACME's certificates.
    pub fn set_acme(&mut self, certificates: Vec<Arc<Certificate>>) {
        self.acme = certificates;
        self.publish();
    }

    /// The names that the configuration's own certificates cover: ACME leaves them alone.
    pub fn covered(&self) -> Vec<String> {
        let fixed = self.points.iter().flat_map(|point| point.fixed.iter().chain(&point.default));
        let dynamic = self.dynamic.values().flatten().map(|(_, certificate)| certificate);
        fixed.chain(dynamic).flat_map(|certificate| certificate.names.iter().cloned()).collect()
    }

    fn publish(&self) {
        let points = self.points.iter().map(|point| {
            let mut point = point.clone();
            let mine = self.dynamic.values().flatten().filter(|(name, _)| *name == point.entry_point);
            point.dynamic = mine.map(|(_, certificate)| Arc::clone(certificate)).collect();
            if point.entry_point == self.acme_entry_point {
                point.acme.clone_from(&self.acme);
            }
            point
        });
        self.store.store(Arc::new(CertStore::new(points, self.generated.as_ref())));
    }
}

/// Which names ACME is asked for (static.md 10).
pub struct AcmeWishes {
    /// The entry point whose frontends count.
    pub entry_point: String,
    pub on_host_rule: bool,
    /// `[[acme.domains]]`
    pub domains: Vec<DomainRequest>,
}

impl AcmeWishes {
    /// What ACME is asked for: no more than is allowed.
    pub fn requests(&self, documents: &Documents, fixture: &Fixture) -> Vec<DomainRequest> {
        let mut requests = self.all_requests(documents, &fixture.default_entry_points);
        requests.truncate(bounded("certificates from ACME", &requests).len());
        requests
    }

    /// The listed domains, and with onHostRule one request per frontend rule that names hosts.
    fn all_requests(&self, documents: &Documents, default_entry_points: &[String]) -> Vec<DomainRequest> {
        let mut requests = self.domains.clone();
        if !self.on_host_rule {
            return requests;
        }
        let mut known: HashSet<DomainRequest> = requests.iter().cloned().collect();
        for document in documents.values() {
            for hosts in host_rules(document, &self.entry_point, default_entry_points) {
                if let Some((main, sans)) = hosts.split_first() {
                    let request = DomainRequest { main: main.clone(), sans: sans.to_vec() };
                    if known.insert(request.clone()) {
                        requests.push(request);
                    }
                }
            }
        }
        requests
    }
}

/// As much of the list as is allowed; what is left out is said.
fn bounded<'a, T>(what: &str, list: &'a [T]) -> &'a [T] {
    if list.len() > CERTIFICATES_MAX {
        let count = list.len();
        tracing::error!(
            "{count} {what} are asked for and {CERTIFICATES_MAX} allowed: those behind are left out; ask for fewer"
        );
    }
    &list[..list.len().min(CERTIFICATES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dynamic::{Dynamic, Frontend, Route};

    #[test]
    fn each_list_of_hosts_is_asked_for_once_in_the_order_of_the_frontends() {
        let frontend = |n: usize| {
            let rule = format!("Host:a{}.test,b.test", n / 2);
            let routes = [("r".to_owned(), Route { rule })].into();
            (format!("{n:05}"), Frontend { routes, ..Frontend::default() })
        };
        let document = Dynamic { frontends: (0..10_000).map(frontend).collect(), ..Dynamic::default() };
        let request = |n: usize| DomainRequest { main: format!("a{n}.test"), sans: vec!["b.test".to_owned()] };
        let wishes = AcmeWishes { entry_point: "https".to_owned(), on_host_rule: true, domains: vec![request(7)] };
        let start = std::time::Instant::now();
        let requests = wishes.all_requests(&[("file".to_owned(), document.into())].into(), &["https".to_owned()]);
        println!("10,000 frontends: {:?}", start.elapsed());
        let in_order = [7].into_iter().chain((0..5_000).filter(|&n| n != 7)).map(request);
        assert!(requests.into_iter().eq(in_order));
    }

    #[test]
    fn no_more_certificates_than_are_allowed_are_asked_for() {
        let asked: Vec<usize> = (0..CERTIFICATES_MAX + 5).collect();
        assert_eq!(bounded("certificates", &asked), &asked[..CERTIFICATES_MAX]);
        assert_eq!(bounded("certificates", &asked[..7]), &asked[..7]);
    }
}

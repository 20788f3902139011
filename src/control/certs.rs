//! The certificates of all entry points, from the fixed configuration, the providers and ACME, published as one store.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use super::acme::DomainRequest;
use crate::config::compile::{CompileContext, host_rules};
use crate::config::dynamic::{CertificateFiles, Documents, TlsEntry};
use crate::config::pem;
use crate::limits::{Bound, CERTIFICATES_MAX};
use crate::observe::metrics::Metrics;
use crate::tls::certificate::Certificate;
use crate::tls::resolver::{CertStore, EntryPointCerts};

/// The certificates as their sources gave them.
pub struct CertificateSources {
    points: Vec<StaticCertificates>,
    generated: Option<Arc<Certificate>>,
    /// By provider: the names of entry points, and the certificate.
    dynamic: BTreeMap<String, Vec<(Vec<String>, Loaded)>>,
    /// ACME's, and the entry point they belong to.
    acme: Vec<Arc<Certificate>>,
    acme_entry_point: String,
    store: Arc<ArcSwap<CertStore>>,
}

/// An entry point with TLS, and the certificates that the fixed configuration gives it.
pub struct StaticCertificates {
    entry_point: String,
    certificates: Vec<CertificateFiles>,
    default: Option<CertificateFiles>,
    /// Of each of those the one that could be read.
    loaded: Vec<Loaded>,
    default_loaded: Option<Loaded>,
}

/// A certificate, and the files that it was read from.
#[derive(Clone)]
struct Loaded {
    files: CertificateFiles,
    certificate: Arc<Certificate>,
}

type Read<'a> = &'a dyn Fn(&str) -> io::Result<String>;

impl StaticCertificates {
    pub fn new(entry_point: &str, certificates: &[CertificateFiles], default: Option<&CertificateFiles>) -> Self {
        StaticCertificates {
            entry_point: entry_point.to_owned(),
            certificates: certificates.to_vec(),
            default: default.cloned(),
            loaded: Vec::new(),
            default_loaded: None,
        }
    }

    /// Reads them all. What cannot be read is left out, or stays as it was read before.
    fn load(&mut self, read: Read, tell: &dyn Fn(String)) {
        let place = format!("entry point {}", self.entry_point);
        let before: Vec<Loaded> = self.loaded.drain(..).chain(self.default_loaded.take()).collect();
        let mut load = |files| Loaded::read(&place, files, before.iter(), read, tell);
        self.loaded = self.certificates.iter().filter_map(&mut load).collect();
        self.default_loaded = self.default.as_ref().and_then(&mut load);
    }
}

impl Loaded {
    /// Reads a certificate. What `tell` hears of cannot be read, and stays as it was read `before`, if it was.
    fn read<'a>(
        place: &str,
        files: &CertificateFiles,
        mut before: impl Iterator<Item = &'a Loaded>,
        read: Read,
        tell: &dyn Fn(String),
    ) -> Option<Loaded> {
        let certificate = match pem::certificate(files, read) {
            Ok(certificate) => Arc::new(certificate),
            Err(e) => {
                let before = before.find(|loaded| loaded.files == *files).cloned();
                let outcome = if before.is_some() { "the one read before stays in use" } else { "it is left out" };
                tell(format!("{place}: certificate: {e}; {outcome}"));
                return before;
            }
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        if let Some(warning) = certificate.expiry_warning(now) {
            tracing::warn!("{place}: {warning}");
        }
        Some(Loaded { files: files.clone(), certificate })
    }

    fn certificate(&self) -> Arc<Certificate> {
        Arc::clone(&self.certificate)
    }
}

impl CertificateSources {
    /// Publishes the certificates of the fixed configuration. What cannot be read has been told by its check (docs/reference/static-configuration.md#errors).
    pub fn new(
        points: Vec<StaticCertificates>,
        generated: Option<Arc<Certificate>>,
        acme_entry_point: &str,
        store: Arc<ArcSwap<CertStore>>,
        read: Read,
    ) -> Self {
        let mut certs = CertificateSources {
            points,
            generated,
            dynamic: BTreeMap::new(),
            acme: Vec::new(),
            acme_entry_point: acme_entry_point.to_owned(),
            store,
        };
        certs.points.iter_mut().for_each(|point| point.load(read, &drop));
        certs.publish();
        certs
    }

    /// Reads those of the fixed configuration again.
    pub fn reload_static(&mut self, read: Read) {
        self.points.iter_mut().for_each(|point| point.load(read, &|text| tracing::error!("{text}")));
        self.publish();
    }

    /// Replaces a provider's `[[tls]]` certificates. One that cannot be read is left out, or stays as it was read before, and is said.
    pub fn set_dynamic(&mut self, provider: &str, entries: &[TlsEntry], fixture: &CompileContext, metrics: &Metrics) {
        let place = format!("provider {provider}: [[tls]]");
        let before = self.dynamic.remove(provider);
        let mut loaded = Vec::new();
        for entry in bounded("certificates", entries, metrics) {
            let Some(files) = &entry.certificate else { continue };
            let known = before.iter().flatten().map(|(_, loaded)| loaded);
            let tell = |text| tracing::error!("{text}");
            let Some(certificate) = Loaded::read(&place, files, known, &*fixture.read, &tell) else { continue };
            let names = if entry.entry_points.is_empty() { &fixture.default_entry_points } else { &entry.entry_points };
            loaded.push((names.clone(), certificate));
        }
        self.dynamic.insert(provider.to_owned(), loaded);
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
        let fixed = self.points.iter().flat_map(|point| point.loaded.iter().chain(&point.default_loaded));
        let dynamic = self.dynamic.values().flatten().map(|(_, loaded)| loaded);
        fixed.chain(dynamic).flat_map(|loaded| loaded.certificate.names.iter().cloned()).collect()
    }

    fn publish(&self) {
        let points = self.points.iter().map(|point| {
            let mine = self.dynamic.values().flatten().filter(|(names, _)| names.contains(&point.entry_point));
            let is_acmes = point.entry_point == self.acme_entry_point;
            EntryPointCerts {
                entry_point: point.entry_point.clone(),
                fixed: point.loaded.iter().map(Loaded::certificate).collect(),
                default: point.default_loaded.as_ref().map(Loaded::certificate),
                dynamic: mine.map(|(_, loaded)| loaded.certificate()).collect(),
                acme: if is_acmes { self.acme.clone() } else { Vec::new() },
                ..EntryPointCerts::default()
            }
        });
        self.store.store(Arc::new(CertStore::new(points, self.generated.as_ref())));
    }
}

/// Which names ACME is asked for (docs/reference/acme.md#which-names).
pub struct AcmeDomainSources {
    /// The entry point whose frontends count.
    pub entry_point: String,
    pub on_host_rule: bool,
    /// `[[acme.domains]]`
    pub domains: Vec<DomainRequest>,
}

impl AcmeDomainSources {
    /// What ACME is asked for: no more than is allowed.
    pub fn requests(&self, documents: &Documents, fixture: &CompileContext, metrics: &Metrics) -> Vec<DomainRequest> {
        let mut requests = self.all_requests(documents, &fixture.default_entry_points);
        requests.truncate(bounded("certificates from ACME", &requests, metrics).len());
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

/// As much of the list as is allowed; what is left out is said and counted.
fn bounded<'a, T>(what: &str, list: &'a [T], metrics: &Metrics) -> &'a [T] {
    if list.len() > CERTIFICATES_MAX {
        let count = list.len();
        metrics.exceeded(Bound::Certificates, (count - CERTIFICATES_MAX) as u64);
        tracing::error!(
            "{count} {what} are asked for and {CERTIFICATES_MAX} allowed: those behind are left out; ask for fewer"
        );
    }
    &list[..list.len().min(CERTIFICATES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dynamic::{DynamicConfig, Frontend, Route};
    use crate::observe::metrics::{MetricsSettings, Scrape};

    #[test]
    fn each_list_of_hosts_is_asked_for_once_in_the_order_of_the_frontends() {
        let frontend = |n: usize| {
            let rule = format!("Host:a{}.test,b.test", n / 2);
            let routes = [("r".to_owned(), Route { rule })].into();
            (format!("{n:05}"), Frontend { routes, ..Frontend::default() })
        };
        let document = DynamicConfig { frontends: (0..10_000).map(frontend).collect(), ..DynamicConfig::default() };
        let request = |n: usize| DomainRequest { main: format!("a{n}.test"), sans: vec!["b.test".to_owned()] };
        let wishes =
            AcmeDomainSources { entry_point: "https".to_owned(), on_host_rule: true, domains: vec![request(7)] };
        let start = std::time::Instant::now();
        let requests = wishes.all_requests(&[("file".to_owned(), document.into())].into(), &["https".to_owned()]);
        println!("10,000 frontends: {:?}", start.elapsed());
        let in_order = [7].into_iter().chain((0..5_000).filter(|&n| n != 7)).map(request);
        assert!(requests.into_iter().eq(in_order));
    }

    #[test]
    fn no_more_certificates_than_are_allowed_are_asked_for() {
        let asked: Vec<usize> = (0..CERTIFICATES_MAX + 5).collect();
        let metrics = Metrics::new(&MetricsSettings::default());
        assert_eq!(bounded("certificates", &asked, &metrics), &asked[..CERTIFICATES_MAX]);
        assert_eq!(bounded("certificates", &asked[..7], &metrics), &asked[..7]);
        let page = String::from_utf8(metrics.prometheus_text(&Scrape::default())).expect("text");
        assert!(page.contains("{bound=\"certificates\"} 5\n"), "{page}");
    }
}

//! Collects the certificates of all entry points from the static configuration, the providers and ACME, and publishes them as one store.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use super::acme::DomainRequest;
use crate::config::compile::{CompileContext, host_rules};
use crate::config::dynamic::{CertificateFiles, Documents, TlsEntry};
use crate::config::pem;
use crate::diagnostics::{Code, Diagnostic, Level};
use crate::limits::{Bound, CERTIFICATES_MAX};
use crate::observe::certificates::CertificateState;
use crate::observe::metrics::Metrics;
use crate::tls::certificate::Certificate;
use crate::tls::resolver::{CertStore, EntryPointCerts};

/// The certificates by source: static configuration, providers, ACME.
pub struct CertificateSources {
    entry_points: Vec<StaticCertificates>,
    /// The self-signed certificate for entry points to which the static configuration gives no certificate.
    generated: Option<Arc<Certificate>>,
    /// By provider: the names of the entry points, and the certificate.
    dynamic: BTreeMap<String, Vec<(Vec<String>, Loaded)>>,
    acme: Vec<Arc<Certificate>>,
    /// The entry point that serves the certificates of ACME.
    acme_entry_point: String,
    store: Arc<ArcSwap<CertStore>>,
    /// The messages of the first reading of the static configuration's certificates.
    pub startup_remarks: Vec<CertificateRemark>,
}

/// The certificates that the static configuration gives an entry point with TLS.
pub struct StaticCertificates {
    entry_point: String,
    certificates: Vec<CertificateFiles>,
    default: Option<CertificateFiles>,
    /// The certificates of `certificates` that could be read.
    loaded: Vec<Loaded>,
    default_loaded: Option<Loaded>,
}

/// A certificate and the files it was read from.
#[derive(Clone)]
struct Loaded {
    files: CertificateFiles,
    certificate: Arc<Certificate>,
}

/// A message about a certificate of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRemark {
    pub level: Level,
    /// The owner: `entry point https`, `provider file`.
    place: String,
    pub cert_file: String,
    pub diagnostic: Diagnostic,
}

impl fmt::Display for CertificateRemark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.diagnostic)
    }
}

impl CertificateRemark {
    /// Whether the certificate is not used.
    fn is_failure(&self) -> bool {
        self.diagnostic.code == Code::InvalidCertificate
    }

    /// Logs the remark: at the default level if clients refuse the certificate.
    pub fn log(&self) {
        match self.level {
            Level::Error => tracing::error!("{self}"),
            Level::Warning | Level::Note => tracing::warn!("{self}"),
        }
    }
}

/// Logs the remarks, and returns whether all certificates could be read.
pub fn log_all(remarks: &[CertificateRemark]) -> bool {
    remarks.iter().for_each(CertificateRemark::log);
    !remarks.iter().any(CertificateRemark::is_failure)
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

    /// Reads all certificates. A certificate that cannot be read is added to `remarks`; its previous version is kept if there is one,
    /// otherwise it is rejected.
    fn load(&mut self, read: Read, remarks: &mut Vec<CertificateRemark>) {
        let place = format!("entry point {}", self.entry_point);
        let previous: Vec<Loaded> = self.loaded.drain(..).chain(self.default_loaded.take()).collect();
        let mut load = |files| Loaded::read(&place, files, previous.iter(), read, remarks);
        self.loaded = self.certificates.iter().filter_map(&mut load).collect();
        self.default_loaded = self.default.as_ref().and_then(&mut load);
    }
}

impl Loaded {
    /// Reads a certificate. If that fails, the reason goes to `remarks` and the result is the entry of `previous` for the same files, if any.
    fn read<'a>(
        place: &str,
        files: &CertificateFiles,
        mut previous: impl Iterator<Item = &'a Loaded>,
        read: Read,
        remarks: &mut Vec<CertificateRemark>,
    ) -> Option<Loaded> {
        let remark = |level, code, text: String| CertificateRemark {
            level,
            place: place.to_owned(),
            cert_file: files.cert_file.clone(),
            diagnostic: Diagnostic::new(code, "certFile", text),
        };
        let certificate = match pem::certificate(files, read) {
            Ok(certificate) => Arc::new(certificate),
            Err(e) => {
                let kept = previous.find(|loaded| loaded.files == *files).cloned();
                let outcome = if kept.is_some() { "keeping the previous certificate" } else { "certificate rejected" };
                remarks.push(remark(Level::Error, Code::InvalidCertificate, format!("certificate: {e}; {outcome}")));
                return kept;
            }
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        let expired = certificate.expiry_warning(now);
        remarks.extend(expired.map(|text| remark(Level::Error, Code::CertificateExpired, text)));
        let disordered = certificate.order_warning();
        remarks.extend(disordered.map(|text| remark(Level::Warning, Code::CertificateOrder, text)));
        let stapled = certificate.staple_warning();
        remarks.extend(stapled.map(|text| remark(Level::Warning, Code::MustStaple, text)));
        Some(Loaded { files: files.clone(), certificate })
    }

    fn certificate(&self) -> Arc<Certificate> {
        Arc::clone(&self.certificate)
    }
}

impl CertificateSources {
    /// Reads and publishes the certificates of the static configuration. Unreadable files are not logged here: the check of the static
    /// configuration has logged them (docs/reference/static-configuration.md#errors).
    pub fn new(
        entry_points: Vec<StaticCertificates>,
        generated: Option<Arc<Certificate>>,
        acme_entry_point: &str,
        store: Arc<ArcSwap<CertStore>>,
        read: Read,
    ) -> Self {
        let mut certs = CertificateSources {
            entry_points,
            generated,
            dynamic: BTreeMap::new(),
            acme: Vec::new(),
            acme_entry_point: acme_entry_point.to_owned(),
            store,
            startup_remarks: Vec::new(),
        };
        let mut remarks = Vec::new();
        certs.entry_points.iter_mut().for_each(|point| point.load(read, &mut remarks));
        certs.startup_remarks = remarks.into_iter().filter(|remark| !remark.is_failure()).collect();
        certs.publish();
        certs
    }

    /// Reads the certificates of the static configuration again and publishes them. Returns whether all could be read.
    pub fn reload_static(&mut self, read: Read) -> bool {
        let mut remarks = Vec::new();
        self.entry_points.iter_mut().for_each(|point| point.load(read, &mut remarks));
        self.publish();
        log_all(&remarks)
    }

    /// Replaces a provider's `[[tls]]` certificates. The previous version of an unreadable certificate is kept if there is
    /// one, otherwise the certificate is rejected. Returns what is wrong with them.
    pub fn set_dynamic(
        &mut self,
        provider: &str,
        entries: &[TlsEntry],
        compile_context: &CompileContext,
        metrics: &Metrics,
    ) -> Vec<CertificateRemark> {
        let place = format!("provider {provider}: [[tls]]");
        let previous = self.dynamic.remove(provider);
        let (mut loaded, mut remarks) = (Vec::new(), Vec::new());
        for entry in bounded("certificates", entries, metrics) {
            let Some(files) = &entry.certificate else { continue };
            let candidates = previous.iter().flatten().map(|(_, loaded)| loaded);
            let Some(certificate) = Loaded::read(&place, files, candidates, &*compile_context.read, &mut remarks)
            else {
                continue;
            };
            let names =
                if entry.entry_points.is_empty() { &compile_context.default_entry_points } else { &entry.entry_points };
            loaded.push((names.clone(), certificate));
        }
        self.dynamic.insert(provider.to_owned(), loaded);
        if previous.is_some() || !entries.is_empty() {
            self.publish();
        }
        remarks
    }

    /// Replaces the certificates of ACME.
    pub fn set_acme(&mut self, certificates: Vec<Arc<Certificate>>) {
        self.acme = certificates;
        self.publish();
    }

    /// The names that certificates of the static configuration and of providers cover: ACME does not request these.
    pub fn covered(&self) -> Vec<String> {
        let fixed = self.entry_points.iter().flat_map(|point| point.loaded.iter().chain(&point.default_loaded));
        let dynamic = self.dynamic.values().flatten().map(|(_, loaded)| loaded);
        fixed.chain(dynamic).flat_map(|loaded| loaded.certificate.names.iter().cloned()).collect()
    }

    /// The names that the certificates of an entry point cover, the generated certificate excepted.
    pub fn names_on(&self, entry_point: &str) -> impl Iterator<Item = &str> {
        let points = self.entry_points.iter().filter(move |point| point.entry_point == entry_point);
        let fixed = points.flat_map(|point| point.loaded.iter().chain(&point.default_loaded));
        let dynamic = self.dynamic.values().flatten().filter(move |(names, _)| names.iter().any(|n| n == entry_point));
        let loaded = fixed.chain(dynamic.map(|(_, loaded)| loaded)).flat_map(|loaded| &loaded.certificate.names);
        let acme = self.acme.iter().filter(move |_| self.acme_entry_point == entry_point);
        loaded.chain(acme.flat_map(|certificate| &certificate.names)).map(String::as_str)
    }

    /// The states of the certificates from files: those of the static configuration and of providers.
    pub fn states(&self) -> Vec<CertificateState> {
        let state = |source: String, loaded: &Loaded| CertificateState {
            names: loaded.certificate.names.clone(),
            source,
            not_after_secs: Some(loaded.certificate.not_after_secs),
            next_step: "none: replace the file before the certificate expires".to_owned(),
            ..CertificateState::default()
        };
        let fixed = self.entry_points.iter().flat_map(|point| {
            let loaded = point.loaded.iter().chain(&point.default_loaded);
            loaded.map(|loaded| state(format!("entry point {}", point.entry_point), loaded))
        });
        let dynamic = self.dynamic.iter().flat_map(|(provider, list)| {
            list.iter().map(move |(_, loaded)| state(format!("provider {provider}"), loaded))
        });
        fixed.chain(dynamic).collect()
    }

    fn publish(&self) {
        let entry_points = self.entry_points.iter().map(|point| {
            let dynamic = self.dynamic.values().flatten().filter(|(names, _)| names.contains(&point.entry_point));
            let serves_acme = point.entry_point == self.acme_entry_point;
            EntryPointCerts {
                entry_point: point.entry_point.clone(),
                static_certificates: point.loaded.iter().map(Loaded::certificate).collect(),
                default: point.default_loaded.as_ref().map(Loaded::certificate),
                dynamic: dynamic.map(|(_, loaded)| loaded.certificate()).collect(),
                acme: if serves_acme { self.acme.clone() } else { Vec::new() },
            }
        });
        self.store.store(Arc::new(CertStore::new(entry_points, self.generated.as_ref())));
    }
}

/// The sources of the names for which ACME requests certificates (docs/reference/acme.md#which-names).
pub struct AcmeDomainSources {
    /// `acme.entryPoint`: with `on_host_rule`, certificates are requested for the frontends on this entry point.
    pub entry_point: String,
    /// `acme.onHostRule`
    pub on_host_rule: bool,
    /// `[[acme.domains]]`
    pub domains: Vec<DomainRequest>,
}

impl AcmeDomainSources {
    /// The certificates to request from ACME, at most [`CERTIFICATES_MAX`].
    pub fn requests(
        &self,
        documents: &Documents,
        compile_context: &CompileContext,
        metrics: &Metrics,
    ) -> Vec<DomainRequest> {
        let mut requests = self.all_requests(documents, &compile_context.default_entry_points);
        requests.truncate(bounded("certificates from ACME", &requests, metrics).len());
        requests
    }

    /// The requests without the limit: one per `[[acme.domains]]` entry and, with `on_host_rule`, one per frontend rule that names hosts.
    /// A frontend's request that equals an earlier request is not added.
    fn all_requests(&self, documents: &Documents, default_entry_points: &[String]) -> Vec<DomainRequest> {
        let mut requests = self.domains.clone();
        if !self.on_host_rule {
            return requests;
        }
        let mut seen: HashSet<DomainRequest> = requests.iter().cloned().collect();
        for document in documents.values() {
            for hosts in host_rules(document, &self.entry_point, default_entry_points) {
                if let Some((main, sans)) = hosts.split_first() {
                    let request = DomainRequest { main: main.clone(), sans: sans.to_vec() };
                    if seen.insert(request.clone()) {
                        requests.push(request);
                    }
                }
            }
        }
        requests
    }
}

/// The first [`CERTIFICATES_MAX`] entries of `list`. The rest is rejected: logged and counted.
fn bounded<'a, T>(what: &str, list: &'a [T], metrics: &Metrics) -> &'a [T] {
    if list.len() > CERTIFICATES_MAX {
        let count = list.len();
        metrics.exceeded(Bound::Certificates, (count - CERTIFICATES_MAX) as u64);
        tracing::error!(
            "{count} {what} requested, the limit is {CERTIFICATES_MAX}: the rest is rejected; reduce the list"
        );
    }
    &list[..list.len().min(CERTIFICATES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dynamic::{DynamicConfig, Frontend, Route};
    use crate::observe::metrics::{Format, MetricsSettings, Scrape};

    #[test]
    fn equal_host_lists_are_requested_once_in_frontend_order() {
        let frontend = |n: usize| {
            let rule = format!("Host:a{}.test,b.test", n / 2);
            let routes = [("r".to_owned(), Route { rule })].into();
            (format!("{n:05}"), Frontend { routes, ..Frontend::default() })
        };
        let document = DynamicConfig { frontends: (0..10_000).map(frontend).collect(), ..DynamicConfig::default() };
        let request = |n: usize| DomainRequest { main: format!("a{n}.test"), sans: vec!["b.test".to_owned()] };
        let domains =
            AcmeDomainSources { entry_point: "https".to_owned(), on_host_rule: true, domains: vec![request(7)] };
        let start = std::time::Instant::now();
        let requests = domains.all_requests(&[("file".to_owned(), document.into())].into(), &["https".to_owned()]);
        println!("10,000 frontends: {:?}", start.elapsed());
        let in_order = [7].into_iter().chain((0..5_000).filter(|&n| n != 7)).map(request);
        assert!(requests.into_iter().eq(in_order));
    }

    #[test]
    fn certificates_above_the_limit_are_rejected_and_counted() {
        let requested: Vec<usize> = (0..CERTIFICATES_MAX + 5).collect();
        let metrics = Metrics::new(&MetricsSettings::default());
        assert_eq!(bounded("certificates", &requested, &metrics), &requested[..CERTIFICATES_MAX]);
        assert_eq!(bounded("certificates", &requested[..7], &metrics), &requested[..7]);
        let page = String::from_utf8(metrics.prometheus_page(&Scrape::default(), Format::Text)).expect("text");
        assert!(page.contains("{bound=\"certificates\"} 5\n"), "{page}");
    }
}

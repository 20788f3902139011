//! The routes of the file provider and of containers, compiled together as the running proxy compiles them.

use super::containers::AskedContainers;
use super::places::RoutePlaces;
use crate::app::acme;
use crate::app::bootstrap::Components;
use crate::cli::Invocation;
use crate::config::compile::{compile, with_defaults};
use crate::config::dynamic::Documents;
use crate::config::labels;
use crate::config::snapshot::Snapshot;
use crate::config::{Rejected, Severity};
use crate::control::certs::CertificateRemark;
use crate::control::coverage::{AcmeCoverage, uncovered_hosts};
use crate::control::file::{self, FileSettings, LoadError, RouteFiles};
use crate::diagnostics::{Code, Finding, Level, Place};
use crate::observe::metrics::{Metrics, MetricsSettings};

/// Lists what is rejected, ignored or never reached.
pub fn findings(
    invocation: &Invocation,
    components: &mut Components,
    containers: Option<AskedContainers>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let files = route_files(invocation, &mut findings);
    let places = RoutePlaces::new(&files);
    let mut rejected = Vec::new();
    let mut documents = Documents::new();
    if !files.texts.is_empty() {
        let merged = files.merge();
        rejected.extend(merged.rejected);
        documents.insert(file::PROVIDER.to_owned(), merged.dynamic.into());
    }
    if let Some(asked) = &containers {
        findings.extend(asked.findings());
        rejected.extend(asked.translation.rejected.iter().cloned());
        documents.insert(labels::PROVIDER.to_owned(), asked.translation.dynamic.clone().into());
    }
    let ctx = &components.compile_context;
    let before = Snapshot::empty(ctx.entry_points.len());
    let snapshot = compile(ctx, &documents, &rejected, &before, &mut components.endpoints);
    let documents: Documents = documents
        .into_iter()
        .map(|(name, document)| (name, with_defaults(document, &ctx.entry_points, &ctx.default_entry_points)))
        .collect();
    findings.extend(certificates(invocation, components, &documents, &places));
    let uncovered = uncovered(invocation, components, &documents);
    let place = |rejected: &Rejected| match (&containers, rejected.provider.as_str()) {
        (Some(asked), labels::PROVIDER) => asked.place(rejected),
        _ => places.place(rejected),
    };
    findings.extend(snapshot.rejected.iter().chain(&uncovered).map(|rejected| {
        let finding = finding_of(rejected);
        match finding.key.starts_with("entryPoints.") {
            true => invocation.located(finding),
            false => finding.at(place(rejected)).narrowed(),
        }
    }));
    findings
}

/// The files of the file provider. If they cannot be read, the reason is added to `findings`.
fn route_files(invocation: &Invocation, findings: &mut Vec<Finding>) -> RouteFiles {
    let table = invocation.static_config.file.as_ref();
    let settings = table.and_then(|table| FileSettings::new(table, invocation.file.as_deref()));
    let Some(settings) = settings else { return RouteFiles::default() };
    match RouteFiles::read(&settings.location) {
        Ok(files) => {
            findings.extend(files.warnings.iter().map(|warning| warning.finding()));
            files
        }
        Err(LoadError::Invalid(invalid)) => {
            findings.push(invalid.finding());
            RouteFiles::default()
        }
        Err(error @ LoadError::Unreadable { .. }) => {
            let key =
                if table.is_some_and(|table| table.directory.is_empty()) { "file.filename" } else { "file.directory" };
            let finding = Finding::new(Level::Error, Code::UnreadableFile, error.to_string()).about(key);
            findings.push(invocation.located(finding));
            RouteFiles::default()
        }
    }
}

fn finding_of(rejected: &Rejected) -> Finding {
    let Rejected { name, reason, severity, code, key, .. } = rejected;
    let level = match severity {
        Severity::Rejected => Level::Error,
        Severity::Partial => Level::Warning,
    };
    let object = name.replacen(' ', "s.", 1);
    let key = match (key.is_empty(), name.split_once(' ')) {
        (true, _) => object,
        (false, Some(("frontend", _))) if !key.starts_with("backends.") => format!("{object}.{key}"),
        (false, _) => key.clone(),
    };
    Finding::new(level, *code, format!("{name}: {reason}")).about(key)
}

/// Reads the certificates of the providers' documents, and lists what is wrong with all certificates.
fn certificates(
    invocation: &Invocation,
    components: &mut Components,
    documents: &Documents,
    places: &RoutePlaces,
) -> Vec<Finding> {
    let finding = |remark: &CertificateRemark| {
        Finding::new(remark.level, remark.diagnostic.code, remark.to_string()).about(remark.diagnostic.key.as_str())
    };
    let of_static = |remark: &CertificateRemark| finding(remark).at(static_certificate(invocation, &remark.cert_file));
    let of_provider = |remark: &CertificateRemark| finding(remark).at(places.certificate(&remark.cert_file));
    let metrics = Metrics::new(&MetricsSettings::default());
    let (certs, ctx) = (&mut components.certs, &components.compile_context);
    let remarks: Vec<CertificateRemark> = documents
        .iter()
        .flat_map(|(provider, document)| certs.set_dynamic(provider, &document.tls, ctx, &metrics))
        .collect();
    certs.startup_remarks.iter().map(of_static).chain(remarks.iter().map(of_provider)).collect()
}

fn uncovered(invocation: &Invocation, components: &Components, documents: &Documents) -> Vec<Rejected> {
    let acme = acme::settings(&invocation.static_config).map(|(_, domains)| domains);
    let on_demand = components.on_demand.is_some();
    let acme = acme.as_ref().map(|domains| AcmeCoverage { domains, on_demand });
    uncovered_hosts(&components.certs, documents, &components.compile_context, acme)
}

/// The line of a certificate of an entry point.
fn static_certificate(invocation: &Invocation, cert_file: &str) -> Place {
    let keys = invocation.static_config.entry_points.iter().flat_map(|(name, entry)| {
        let tls = entry.tls.as_ref();
        let listed = tls.into_iter().flat_map(|tls| tls.certificates.iter().enumerate());
        let listed = listed.filter(|(_, files)| files.cert_file == cert_file);
        listed.map(move |(index, _)| format!("entryPoints.{name}.tls.certificates[{index}].certFile"))
    });
    let default = "entryPoints".to_owned();
    let key = keys.chain([default]).next().unwrap_or_default();
    invocation.located(Finding::new(Level::Note, Code::InvalidCertificate, "").about(key)).place
}

//! The control plane: one thread with a tokio runtime. It receives the providers' configurations, merges and compiles them and publishes
//! the snapshot. It never calls the workers: each worker loads the new snapshot at its next request.

pub mod acme;
pub mod certs;
pub mod coverage;
pub mod docker;
pub mod file;
pub mod kv;
pub mod watched_files;
mod health;
mod history;
mod dns;
mod file_stamp;
mod backoff;
mod client_tls;
pub mod on_demand;
pub mod host_resolver;
pub mod pausable;
pub mod push;
pub mod trace_export;
pub mod update;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::config::compile::{CompileContext, EndpointInterner, compile, has_host_route, with_defaults};
use crate::config::dynamic::{Documents, DynamicConfig};
use crate::config::{Rejected, labels};
use crate::observe::Published;
use crate::observe::certificates::CertificateState;
use crate::observe::metrics::Metrics;
use crate::tls::challenge::ChallengeTable;
use acme::{AcmeEvent, AcmeSettings};
use certs::{AcmeDomainSources, CertificateSources};
use coverage::{AcmeCoverage, uncovered_hosts};
use health::HealthChecks;
use update::{ProviderReadiness, ProviderUpdate};
use watched_files::WatchedFiles;

/// Everything the control plane works with; built by `app`.
pub struct Control {
    pub compile_context: CompileContext,
    /// Receives the providers' updates; `sender` is the other end.
    pub updates: update::UpdateReceiver,
    /// Kept until the process ends: without providers the channel stays open, so that the control plane waits instead of ending.
    pub sender: update::UpdateSender,
    /// Addresses that the chains of the entry points use already.
    pub endpoints: EndpointInterner,
    /// `providersThrottleDuration`: the minimum time between two applications of one provider's configurations.
    pub throttle: Duration,
    pub docker: Option<docker::DockerProviderSettings>,
    pub file: Option<file::FileSettings>,
    pub stores: Vec<kv::StoreSettings>,
    /// The ACME settings, the sources of domain names, and the task that runs ACME and can be paused.
    pub acme: Option<(AcmeSettings, AcmeDomainSources, pausable::PausableTask)>,
    /// The names that clients ask for, with `acme.onDemand`.
    pub on_demand: Option<on_demand::OnDemandNames>,
    pub certs: CertificateSources,
    pub watched_files: WatchedFiles,
    pub published: Arc<ArcSwap<Published>>,
    pub challenges: Arc<ArcSwap<ChallengeTable>>,
    pub metrics: Arc<Metrics>,
    /// The hosts that workers ask about, with `hostResolver.cnameFlattening`.
    pub host_resolver: Option<(host_resolver::HostResolverSettings, host_resolver::HostQuestions)>,
    /// The receivers that metrics are pushed to.
    pub receivers: Vec<push::Receiver>,
    /// Updates that are applied at the start: the demo's routes, and the REST document of the process before a hand-over.
    pub initial: Vec<ProviderUpdate>,
    /// Exports traces; `None` if nothing is traced.
    pub trace_export: Option<trace_export::ExportSettings>,
    /// Returns freed memory to the operating system.
    pub release_memory: fn(),
}

impl Control {
    /// Expects a first configuration from each configured provider and returns the readiness of all.
    pub fn readiness(&self) -> Arc<ProviderReadiness> {
        let readiness = self.sender.readiness();
        let initial = self.initial.iter().map(|update| update.provider);
        let file = self.file.as_ref().map(|_| file::PROVIDER);
        let docker = self.docker.as_ref().map(|_| labels::PROVIDER);
        let stores = self.stores.iter().map(|store| store.provider);
        initial.chain(file).chain(docker).chain(stores).for_each(|provider| readiness.expect(provider));
        Arc::clone(readiness)
    }

    /// Runs until the process ends.
    pub async fn run(self) {
        LocalSet::new().run_until(self.work()).await;
    }

    async fn work(mut self) {
        let send = self.sender.clone();
        for update in self.initial.drain(..) {
            let _ = send.send(update);
        }
        if let Some(settings) = self.file.take() {
            tokio::task::spawn_local(file::run(settings, send.clone()));
        }
        if let Some(settings) = self.docker.take() {
            tokio::task::spawn_local(docker::run(settings, send.clone()));
        }
        for settings in self.stores.drain(..) {
            tokio::task::spawn_local(kv::run(settings, send.clone()));
        }
        tokio::task::spawn_local(history::run(Arc::clone(&self.metrics)));
        if let Some((settings, questions)) = self.host_resolver.take() {
            tokio::task::spawn_local(host_resolver::run(settings, questions));
        }
        for receiver in self.receivers.drain(..) {
            let (metrics, published) = (Arc::clone(&self.metrics), Arc::clone(&self.published));
            tokio::task::spawn_local(push::run(receiver, metrics, published));
        }
        if let Some(settings) = self.trace_export.take() {
            tokio::task::spawn_local(trace_export::run(settings));
        }
        let (desired_sender, desired) = watch::channel(None);
        let (event_sender, acme_events) = unbounded_channel();
        let acme_domains = self.acme.take().map(|(settings, domains, task)| {
            let challenges = Arc::clone(&self.challenges);
            tokio::task::spawn_local(task.run(move || {
                let (settings, desired) = (settings.clone(), desired.clone());
                let (challenges, events) = (Arc::clone(&challenges), event_sender.clone());
                async move {
                    // An error has been logged by `acme`; the proxy keeps serving without ACME (docs/reference/acme.md#when-acme-is-off).
                    let _ = acme::run(settings, desired, challenges, |event| drop(events.send(event))).await;
                }
            }));
            domains
        });
        let merger = Merger {
            endpoints: std::mem::take(&mut self.endpoints),
            health_checks: HealthChecks::new(self.compile_context.client_tls.clone()),
            control: self,
            desired: desired_sender,
            acme_domains,
            acme_states: Vec::new(),
            resolver: dns::NameResolver::default(),
            documents: BTreeMap::new(),
            rejected: BTreeMap::new(),
            logged: BTreeSet::new(),
            uncovered: BTreeSet::new(),
            is_accepting: false,
            is_memory_released: true,
        };
        merger.run(acme_events).await;
    }
}

/// Merges the providers' latest configurations, and compiles and publishes the result.
struct Merger {
    control: Control,
    desired: watch::Sender<Option<acme::DesiredCertificates>>,
    acme_domains: Option<AcmeDomainSources>,
    endpoints: EndpointInterner,
    health_checks: HealthChecks,
    /// The states of the certificates of ACME.
    acme_states: Vec<CertificateState>,
    resolver: dns::NameResolver,
    documents: Documents,
    /// The objects that each provider itself rejected.
    rejected: BTreeMap<String, Vec<Rejected>>,
    /// Rejections (provider, name, reason) that are in the log already, so that a reload does not log them again.
    logged: BTreeSet<(String, String, String)>,
    /// Provider and message of hosts without a certificate that are in the log already.
    uncovered: BTreeSet<(String, String)>,
    /// Whether the workers accept connections: only then can an ACME authority's challenge request be answered.
    is_accepting: bool,
    /// Whether freed memory has been released a second time since the last compilation.
    is_memory_released: bool,
}

impl Merger {
    async fn run(mut self, mut acme_events: UnboundedReceiver<AcmeEvent>) {
        let mut waiting: BTreeMap<&'static str, ProviderUpdate> = BTreeMap::new();
        let mut applied_at: BTreeMap<&'static str, Instant> = BTreeMap::new();
        let mut look_ups = tokio::time::interval(dns::LOOK_UP_INTERVAL);
        let readiness = Arc::clone(self.control.sender.readiness());
        let (change_sender, mut file_changes) = unbounded_channel();
        tokio::task::spawn_local(self.control.watched_files.clone().watch(change_sender));
        loop {
            // A provider's first configuration is applied at once; of later ones, only the newest, at most once per throttle period.
            let throttle = self.control.throttle;
            let now = Instant::now();
            let due = |name: &'static str| applied_at.get(name).map_or(now, |at: &Instant| *at + throttle);
            let next = waiting.keys().map(|name| due(name)).min();
            tokio::select! {
                Some(update) = self.control.updates.recv() => {
                    if self.documents.get(update.provider).is_some_and(|before| removes_servers(before, &update.dynamic)) {
                        waiting.remove(update.provider);
                        applied_at.insert(update.provider, now);
                        self.apply(update);
                    } else {
                        waiting.insert(update.provider, update);
                    }
                }
                Some(event) = acme_events.recv() => {
                    match event {
                        AcmeEvent::Certificates(certificates) => self.control.certs.set_acme(certificates),
                        AcmeEvent::States(states) => {
                            self.acme_states = states;
                            self.publish_certificate_states();
                        }
                        AcmeEvent::Obtained { .. } | AcmeEvent::Failed { .. } => {}
                    }
                }
                Some(name) = next_on_demand(&mut self.control.on_demand) => self.request_on_demand(&name),
                () = tokio::time::sleep_until(next.unwrap_or(now)), if next.is_some() => {
                    let now = Instant::now();
                    let ready: Vec<_> = waiting.keys().copied().filter(|name| due(name) <= now).collect();
                    for update in ready.into_iter().filter_map(|name| waiting.remove(name)) {
                        applied_at.insert(update.provider, now);
                        self.apply(update);
                    }
                }
                () = readiness.opened(), if !self.is_accepting => {
                    self.is_accepting = true;
                    self.publish_acme_domains();
                }
                Some(()) = file_changes.recv() => self.reload_files(),
                _ = look_ups.tick() => {
                    self.release_memory_again();
                    self.endpoints.forget_unused();
                    self.resolver.look_up_all(self.endpoints.names());
                }
            }
        }
    }

    fn apply(&mut self, update: ProviderUpdate) {
        let provider = update.provider;
        let name = provider.to_owned();
        let ctx = &self.control.compile_context;
        let document = with_defaults(Arc::new(update.dynamic), &ctx.entry_points, &ctx.default_entry_points);
        if self.documents.get(&name) == Some(&document) && self.rejected.get(&name) == Some(&update.rejected) {
            tracing::debug!(provider = %name, "configuration unchanged");
            return;
        }
        let certs = &mut self.control.certs;
        let remarks = certs.set_dynamic(&name, &document.tls, &self.control.compile_context, &self.control.metrics);
        if !certs::log_all(&remarks) {
            self.control.sender.count_failure();
        }
        self.documents.insert(name.clone(), document);
        self.rejected.insert(name, update.rejected);
        self.compile_and_publish(provider);
        self.control.sender.readiness().applied(provider);
    }

    /// Reads all files again that entry points and the providers' configurations refer to, and compiles everything again.
    fn reload_files(&mut self) {
        tracing::info!("a file with certificates, keys or users has changed: reading all of them again");
        self.control.watched_files.clear();
        let Control { certs, compile_context, metrics, .. } = &mut self.control;
        let mut all_read = certs.reload_static(&*compile_context.read);
        for (provider, document) in &self.documents {
            all_read &= certs::log_all(&certs.set_dynamic(provider, &document.tls, compile_context, metrics));
        }
        if !all_read {
            self.control.sender.count_failure();
        }
        self.compile_and_publish("all");
    }

    /// Compiles the configurations of all providers and publishes the snapshot. `provider`, for the log: whose configuration changed.
    fn compile_and_publish(&mut self, provider: &str) {
        let rejections: Vec<Rejected> = self.rejected.values().flatten().cloned().collect();
        let previous = self.control.published.load();
        let snapshot = compile(
            &self.control.compile_context,
            &self.documents,
            &rejections,
            &previous.snapshot,
            &mut self.endpoints,
        );
        self.log_rejections(&snapshot.rejected);
        self.log_uncovered_hosts();
        self.resolver.look_up_new(self.endpoints.names());
        let metrics = &self.control.metrics;
        let published = Published::new(snapshot, metrics);
        let frontends: usize = self.documents.values().map(|d| d.frontends.len()).sum();
        let (backends, rejected) = (published.snapshot.backends.len(), published.snapshot.rejected.len());
        let named: HashSet<&str> = published.snapshot.backends.iter().map(|backend| backend.name.as_str()).collect();
        metrics.retain_backends(|name| named.contains(name));
        let frontends_left: BTreeSet<&str> =
            published.snapshot.frontends.iter().map(|(_, name)| name.as_str()).collect();
        metrics.retain_frontends(|name| frontends_left.contains(name));
        self.health_checks.apply(&published.snapshot);
        self.control.published.store(Arc::new(published));
        metrics.reloaded(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()));
        tracing::info!(provider, frontends, backends, rejected, "Server configuration reloaded");
        self.publish_acme_domains();
        self.publish_certificate_states();
        // The memory that parsing and compiling used is released now. The previous snapshot is freed only after the workers have
        // dropped it: `release_memory_again` returns its memory.
        (self.control.release_memory)();
        self.is_memory_released = false;
    }

    /// Releases freed memory once more after each compilation, at the next round of name look-ups.
    fn release_memory_again(&mut self) {
        if !std::mem::replace(&mut self.is_memory_released, true) {
            (self.control.release_memory)();
        }
    }

    /// Logs hosts that no certificate covers, each once.
    fn log_uncovered_hosts(&mut self) {
        let on_demand = self.control.on_demand.is_some();
        let acme = self.acme_domains.as_ref().map(|domains| AcmeCoverage { domains, on_demand });
        let uncovered = uncovered_hosts(&self.control.certs, &self.documents, &self.control.compile_context, acme);
        let lines: BTreeSet<(String, String)> =
            uncovered.into_iter().map(|host| (host.provider, format!("{}: {}", host.name, host.reason))).collect();
        for (provider, line) in lines.difference(&self.uncovered) {
            tracing::warn!(%provider, "{line}");
        }
        self.uncovered = lines;
    }

    fn log_rejections(&mut self, rejected: &[Rejected]) {
        let now: BTreeSet<_> =
            rejected.iter().map(|r| (r.provider.clone(), r.name.clone(), r.reason.clone())).collect();
        let is_new = |r: &&Rejected| !self.logged.contains(&(r.provider.clone(), r.name.clone(), r.reason.clone()));
        for bound in rejected.iter().filter(is_new).filter_map(|rejected| rejected.bound) {
            self.control.metrics.exceeded(bound, 1);
        }
        for (provider, name, reason) in now.difference(&self.logged) {
            // Traefik logs a skipped frontend at the level error too, which is the default level.
            tracing::error!(%provider, "{name}: {reason}");
        }
        self.logged = now;
    }

    /// Requests a certificate for a name that a client asks for, if the name has a route on `acme.entryPoint`.
    fn request_on_demand(&mut self, name: &str) {
        let Some(domains) = self.acme_domains.as_ref() else { return };
        let Some(names) = self.control.on_demand.as_mut() else { return };
        let (documents, defaults) = (&self.documents, &self.control.compile_context.default_entry_points);
        let has_route = |name: &str| {
            documents.values().any(|document| has_host_route(document, &domains.entry_point, defaults, name))
        };
        if names.accept(name, Instant::now(), has_route) {
            tracing::info!("acme.onDemand: a certificate for {name} is requested");
            self.publish_acme_domains();
        }
    }

    /// Publishes the states of all certificates, for the API, the dashboard and the metrics.
    fn publish_certificate_states(&self) {
        let mut states = self.control.certs.states();
        states.extend(self.acme_states.iter().cloned());
        self.control.metrics.set_certificates(states);
    }

    /// Publishes which certificates ACME should manage, without the names that certificates of the configuration cover. Does nothing
    /// until connections are accepted.
    fn publish_acme_domains(&self) {
        let Some(domains) = self.acme_domains.as_ref().filter(|_| self.is_accepting) else { return };
        let mut requests = domains.requests(&self.documents, &self.control.compile_context, &self.control.metrics);
        requests.extend(self.control.on_demand.iter().flat_map(|names| names.requests()).cloned());
        let desired = acme::DesiredCertificates { requests, covered: self.control.certs.covered() };
        self.desired.send_if_modified(|current| {
            let is_new = current.as_ref() != Some(&desired);
            *current = Some(desired);
            is_new
        });
    }
}

/// The next name that a client asks for; never one without `acme.onDemand`.
async fn next_on_demand(names: &mut Option<on_demand::OnDemandNames>) -> Option<String> {
    match names {
        Some(names) => names.next().await,
        None => std::future::pending().await,
    }
}

/// Whether `after` lacks a server of `before`. Such a configuration is applied without waiting for the throttle, because requests are
/// still sent to that server.
fn removes_servers(before: &DynamicConfig, after: &DynamicConfig) -> bool {
    before.backends.iter().any(|(name, backend)| {
        let left = after.backends.get(name);
        let stays = |(id, url): (&String, &String)| {
            left.is_some_and(|left| left.servers.get(id).is_some_and(|s| s.url == *url))
        };
        !backend.servers.iter().map(|(id, server)| (id, &server.url)).all(stays)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dynamic::{Backend, Server};

    #[test]
    fn only_removed_servers_bypass_the_throttle() {
        let document = |backends: &[(&str, &[&str])]| {
            let server = |url: &&str| (format!("s-{url}"), Server { url: (*url).to_owned(), weight: 1 });
            let backend = |(name, urls): &(&str, &[&str])| {
                ((*name).to_owned(), Backend { servers: urls.iter().map(server).collect(), ..Backend::default() })
            };
            DynamicConfig { backends: backends.iter().map(backend).collect(), ..DynamicConfig::default() }
        };
        let two = document(&[("a", &["1", "2"])]);
        assert!(!removes_servers(&two, &two));
        assert!(
            !removes_servers(&two, &document(&[("a", &["1", "2", "3"]), ("b", &["4"])])),
            "an added server can wait"
        );
        assert!(removes_servers(&two, &document(&[("a", &["2", "3"])])));
        assert!(removes_servers(&two, &document(&[])));
    }
}

//! The control plane: one thread with a tokio runtime. Providers speak here; what they say is merged, compiled and published.
//! It never calls the workers: they notice the new value at their next request.

pub mod acme;
pub mod certs;
pub mod docker;
pub mod file;
pub mod watched_files;
mod health;
mod dns;
mod file_stamp;
pub mod pausable;
pub mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::config::compile::{CompileContext, EndpointInterner, compile, with_defaults};
use crate::config::dynamic::{Documents, DynamicConfig};
use crate::config::{Rejected, labels};
use crate::observe::Published;
use crate::observe::metrics::Metrics;
use crate::tls::challenge::ChallengeTable;
use acme::{AcmeEvent, AcmeSettings};
use certs::{AcmeDomainSources, CertificateSources};
use health::HealthChecks;
use update::{ProviderReadiness, ProviderUpdate};
use watched_files::WatchedFiles;

/// Everything the control plane works with; made by the wiring.
pub struct Control {
    pub fixture: CompileContext,
    /// What providers say, and where they say it.
    pub updates: update::UpdateReceiver,
    /// Kept for the life of the process, so that a run without providers waits instead of ending.
    pub sender: update::UpdateSender,
    /// Addresses that the entry points use already.
    pub interned: EndpointInterner,
    /// `providersThrottleDuration`: the least time between two applications of one provider's configurations.
    pub throttle: Duration,
    pub docker: Option<docker::DockerProviderSettings>,
    pub file: Option<file::FileSettings>,
    /// ACME, and when it has to rest.
    pub acme: Option<(AcmeSettings, AcmeDomainSources, pausable::PausableTask)>,
    pub certs: CertificateSources,
    pub followed: WatchedFiles,
    pub published: Arc<ArcSwap<Published>>,
    pub challenges: Arc<ArcSwap<ChallengeTable>>,
    pub metrics: Arc<Metrics>,
    /// Documents that stand from the start (the demo's).
    pub initial: Vec<ProviderUpdate>,
    /// Gives freed memory back to the system.
    pub release_memory: fn(),
}

impl Control {
    /// The providers' first words: one is awaited of each.
    pub fn readiness(&self) -> Arc<ProviderReadiness> {
        let words = self.sender.readiness();
        let initial = self.initial.iter().map(|update| update.provider);
        let file = self.file.as_ref().map(|_| file::PROVIDER);
        let docker = self.docker.as_ref().map(|_| labels::PROVIDER);
        initial.chain(file).chain(docker).for_each(|provider| words.expect(provider));
        Arc::clone(words)
    }

    /// Runs for the life of the process.
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
        let (wish, wanted) = watch::channel(None);
        let (certificates, events) = unbounded_channel();
        let wishes = self.acme.take().map(|(settings, wishes, duty)| {
            let challenges = Arc::clone(&self.challenges);
            tokio::task::spawn_local(duty.run(move || {
                let (settings, wanted) = (settings.clone(), wanted.clone());
                let (challenges, certificates) = (Arc::clone(&challenges), certificates.clone());
                async move {
                    // The room has logged why; the proxy goes on without ACME (docs/reference/acme.md#when-acme-is-off, docs/reference/static-configuration.md#errors).
                    let _ = acme::run(settings, wanted, challenges, |event| drop(certificates.send(event))).await;
                }
            }));
            wishes
        });
        let merge = Merger {
            interned: std::mem::take(&mut self.interned),
            checks: HealthChecks::new(self.fixture.client_tls.clone()),
            control: self,
            wish,
            wishes,
            lookups: dns::NameResolver::default(),
            documents: BTreeMap::new(),
            rejected: BTreeMap::new(),
            told: BTreeSet::new(),
            is_open: false,
            is_settled: true,
        };
        merge.run(events).await;
    }
}

/// What the providers said, and what became of it.
struct Merger {
    control: Control,
    wish: watch::Sender<Option<acme::DesiredCertificates>>,
    wishes: Option<AcmeDomainSources>,
    interned: EndpointInterner,
    checks: HealthChecks,
    lookups: dns::NameResolver,
    documents: Documents,
    rejected: BTreeMap<String, Vec<Rejected>>,
    /// Rejections that the log has, so that a reload repeats none.
    told: BTreeSet<(String, String, String)>,
    /// Connections are accepted: an authority's question would be answered.
    is_open: bool,
    /// Nothing has changed since freed memory was given back.
    is_settled: bool,
}

impl Merger {
    async fn run(mut self, mut events: UnboundedReceiver<AcmeEvent>) {
        let mut waiting: BTreeMap<&'static str, ProviderUpdate> = BTreeMap::new();
        let mut applied: BTreeMap<&'static str, Instant> = BTreeMap::new();
        let mut lookups = tokio::time::interval(dns::EVERY);
        let words = Arc::clone(self.control.sender.readiness());
        let (changed, mut changes) = unbounded_channel();
        tokio::task::spawn_local(self.control.followed.clone().watch(changed));
        loop {
            // The first configuration of a provider is applied at once, later ones at most once per period, the newest only.
            let throttle = self.control.throttle;
            let now = Instant::now();
            let due = |name: &'static str| applied.get(name).map_or(now, |at: &Instant| *at + throttle);
            let next = waiting.keys().map(|name| due(name)).min();
            tokio::select! {
                Some(update) = self.control.updates.recv() => {
                    if self.documents.get(update.provider).is_some_and(|before| removes_servers(before, &update.dynamic)) {
                        waiting.remove(update.provider);
                        applied.insert(update.provider, now);
                        self.apply(update);
                    } else {
                        waiting.insert(update.provider, update);
                    }
                }
                Some(event) = events.recv() => {
                    if let AcmeEvent::Certificates(certificates) = event {
                        self.control.certs.set_acme(certificates);
                    }
                }
                () = tokio::time::sleep_until(next.unwrap_or(now)), if next.is_some() => {
                    let now = Instant::now();
                    let ready: Vec<_> = waiting.keys().copied().filter(|name| due(name) <= now).collect();
                    for update in ready.into_iter().filter_map(|name| waiting.remove(name)) {
                        applied.insert(update.provider, now);
                        self.apply(update);
                    }
                }
                () = words.opened(), if !self.is_open => {
                    self.is_open = true;
                    self.publish_acme_domains();
                }
                Some(()) = changes.recv() => self.reread(),
                _ = lookups.tick() => {
                    self.settle();
                    self.interned.forget_unused();
                    self.lookups.start(self.interned.names());
                }
            }
        }
    }

    fn apply(&mut self, update: ProviderUpdate) {
        let provider = update.provider;
        let name = provider.to_owned();
        let document = with_defaults(Arc::new(update.dynamic), &self.control.fixture.default_entry_points);
        if self.documents.get(&name) == Some(&document) && self.rejected.get(&name) == Some(&update.rejected) {
            tracing::debug!(provider = %name, "configuration unchanged");
            return;
        }
        self.control.certs.set_dynamic(&name, &document.tls, &self.control.fixture, &self.control.metrics);
        self.documents.insert(name.clone(), document);
        self.rejected.insert(name, update.rejected);
        self.compile_and_publish(provider);
        self.control.sender.readiness().applied(provider);
    }

    /// Reads the files again that entry points and documents refer to.
    fn reread(&mut self) {
        tracing::info!("a file with certificates, keys or users has changed: all of them are read again");
        self.control.followed.clear();
        self.control.certs.reload_static(&*self.control.fixture.read);
        for (provider, document) in &self.documents {
            self.control.certs.set_dynamic(provider, &document.tls, &self.control.fixture, &self.control.metrics);
        }
        self.compile_and_publish("all");
    }

    /// Compiles what the providers have said and publishes it; `provider` is the one with news.
    fn compile_and_publish(&mut self, provider: &str) {
        let written: Vec<Rejected> = self.rejected.values().flatten().cloned().collect();
        let previous = self.control.published.load();
        let snapshot =
            compile(&self.control.fixture, &self.documents, &written, &previous.snapshot, &mut self.interned);
        self.log_rejections(&snapshot.rejected);
        self.lookups.start_new(self.interned.names());
        let metrics = &self.control.metrics;
        let published = Published::new(snapshot, metrics);
        let frontends: usize = self.documents.values().map(|d| d.frontends.len()).sum();
        let (backends, left_out) = (published.snapshot.backends.len(), published.snapshot.rejected.len());
        metrics.retain_backends(|name| published.snapshot.backends.iter().any(|b| b.name == name));
        self.checks.follow(&published.snapshot);
        self.control.published.store(Arc::new(published));
        metrics.reloaded(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()));
        tracing::info!(provider, frontends, backends, left_out, "Server configuration reloaded");
        self.publish_acme_domains();
        // What reading and compiling left behind goes back to the system now, the configuration before this one when the workers have
        // let go of it.
        (self.control.release_memory)();
        self.is_settled = false;
    }

    fn settle(&mut self) {
        if !std::mem::replace(&mut self.is_settled, true) {
            (self.control.release_memory)();
        }
    }

    fn log_rejections(&mut self, rejected: &[Rejected]) {
        let now: BTreeSet<_> =
            rejected.iter().map(|r| (r.provider.clone(), r.name.clone(), r.reason.clone())).collect();
        let is_new = |r: &&Rejected| !self.told.contains(&(r.provider.clone(), r.name.clone(), r.reason.clone()));
        for bound in rejected.iter().filter(is_new).filter_map(|rejected| rejected.bound) {
            self.control.metrics.exceeded(bound, 1);
        }
        for (provider, name, reason) in now.difference(&self.told) {
            // At this level Traefik says that a frontend was skipped, and it is the default one.
            tracing::error!(%provider, "{name}: {reason}");
        }
        self.told = now;
    }

    /// Which certificates ACME should see to: the configuration's own cover the rest.
    fn publish_acme_domains(&self) {
        let Some(wishes) = self.wishes.as_ref().filter(|_| self.is_open) else { return };
        let wanted = acme::DesiredCertificates {
            requests: wishes.requests(&self.documents, &self.control.fixture, &self.control.metrics),
            covered: self.control.certs.covered(),
        };
        self.wish.send_if_modified(|current| {
            let is_new = current.as_ref() != Some(&wanted);
            *current = Some(wanted);
            is_new
        });
    }
}

/// Whether a server is gone: such a configuration does not wait for the throttle, because requests still go there.
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
    fn only_a_server_that_is_gone_makes_a_change_urgent() {
        let document = |backends: &[(&str, &[&str])]| {
            let server = |url: &&str| (format!("s-{url}"), Server { url: (*url).to_owned(), weight: 1 });
            let backend = |(name, urls): &(&str, &[&str])| {
                ((*name).to_owned(), Backend { servers: urls.iter().map(server).collect(), ..Backend::default() })
            };
            DynamicConfig { backends: backends.iter().map(backend).collect(), ..DynamicConfig::default() }
        };
        let two = document(&[("a", &["1", "2"])]);
        assert!(!removes_servers(&two, &two));
        assert!(!removes_servers(&two, &document(&[("a", &["1", "2", "3"]), ("b", &["4"])])), "more can wait");
        assert!(removes_servers(&two, &document(&[("a", &["2", "3"])])));
        assert!(removes_servers(&two, &document(&[])));
    }
}
